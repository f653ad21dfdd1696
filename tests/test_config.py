import tomllib

import pytest

from mmgraph.config import (
    Recipe,
    apply_overrides,
    read_recipe,
    resolve_recipe,
    shipped_recipes,
)
from mmgraph.errors import ConfigError
from mmgraph.models import MODELS
from mmgraph.testing import checkerboard_dataset


def test_a_resolved_recipe_reads_back_as_itself():
    values = {
        "seed": 5,
        "data": {
            "dataset": "movielens-small",
            "modalities": ["text"],
            "split": {"method": "ratio", "seed": 1},
        },
        "model": {"name": "mm_gef", "num_layers": 3, "attention": "global"},
        "graph": {"k": 7},
        "published": {"recall@20": 0.1, "source": 'a "quoted" table \U0001f4c4 é'},
    }
    recipe = Recipe.build(values)
    assert Recipe.build(tomllib.loads(recipe.to_toml())) == recipe


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_bare_name_is_a_recipe(name):
    assert resolve_recipe(name, "movielens-small").model.name == name


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_every_shipped_recipe_resolves(name):
    recipe = resolve_recipe(name)
    assert name.split("/")[1].startswith(recipe.model.name)


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("model.num_layers=3", ("model", "num_layers"), 3),
        ("training.learning_rate=1e-4", ("training", "learning_rate"), 1e-4),
        ("model.init=normal0.1", ("model", "init"), "normal0.1"),
        ("evaluation.ks=[10, 20]", ("evaluation", "ks"), [10, 20]),
        ("evaluation.mask_valid_at_test=true", ("evaluation", "mask_valid_at_test"), True),
        ("seed=4", ("seed",), 4),
    ],
)
def test_overrides_are_typed_like_toml(override, path, value):
    result = apply_overrides({"model": {"name": "lightgcn"}}, [override])
    for part in path:
        result = result[part]
    assert result == value
    assert type(result) is type(value)


def test_overrides_leave_their_input_alone():
    values = {"model": {"name": "lightgcn"}}
    apply_overrides(values, ["model.num_layers=3"])
    assert values == {"model": {"name": "lightgcn"}}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.layers=3"], r"unknown key 'model.layers'; did you mean 'num_layers'"),
        (["trainin.max_epochs=3"], r"unknown key 'trainin'; did you mean 'training'"),
        (["training.max_epoch=3"], r"unknown key 'training.max_epoch'; did you mean 'max_epochs'"),
        (["model.num_layers=many"], r"model.num_layers: .*integer.*'many'"),
        (["training.batch_size=0"], r"training.batch_size: .*greater than or equal to 1 \(got 0\)"),
        (["data.split.sed=1"], r"unknown key 'data.split.sed'; did you mean 'seed'"),
        (["evaluation.select_by=recall@7"], r"select_by must be one of the metrics computed"),
        (["model.num_layers"], r"--set takes key=value"),
        (["seed.a=1"], r"'seed' is a value, not a table"),
    ],
)
def test_wrong_values_name_their_path(overrides, message):
    with pytest.raises(ConfigError, match=message) as caught:
        resolve_recipe({"seed": 1, "model": {"name": "lightgcn"}}, overrides=overrides)
    assert "\n" not in str(caught.value)


def test_an_unknown_model_or_recipe_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'lightgcn'"):
        read_recipe("lightgnc")
    with pytest.raises(ConfigError, match=r"model.name must be a known model \(got 'mmgef'\)"):
        Recipe.build({"model": {"name": "mmgef"}})
    with pytest.raises(ConfigError, match="no such recipe"):
        read_recipe("nothing.toml")


def test_a_recipe_that_is_no_toml_is_named(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text("model = [")
    with pytest.raises(ConfigError, match=r"r.toml: not valid TOML"):
        read_recipe(path)


def test_what_follows_other_keys_cannot_be_set_against_them():
    recipe = resolve_recipe("mm_gef", overrides=["graph.k=7"])
    assert (recipe.model.k, recipe.graph.edges) == (7, ("co_item",))
    again = resolve_recipe(recipe, overrides=["graph.k=20", "model.use_cointeraction=false"])
    assert (again.graph.k, again.model.k, again.graph.edges) == (20, 20, ())
    with pytest.raises(ConfigError, match=r"model.k follows graph.k \(got 3, which is 10\)"):
        resolve_recipe("mm_gef", overrides=["model.k=3"])
    with pytest.raises(ConfigError, match=r"graph.edges follows what the model needs"):
        resolve_recipe("lightgcn", overrides=["graph.edges=['knn']"])


def test_list_lengths_fit_small_catalogues_unless_chosen():
    recipe = Recipe.build({"model": {"name": "bpr_mf"}})
    assert recipe.fitted_to(30).evaluation.ks == (5, 10, 20)
    small = recipe.fitted_to(12).evaluation
    assert (small.ks, small.select_by) == ((5, 10), "recall@10")
    chosen = Recipe.build({"model": {"name": "bpr_mf"}, "evaluation": {"ks": [20, 50]}})
    assert chosen.fitted_to(30) == chosen


def test_a_folder_is_remembered_by_its_absolute_path(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "dataset.toml").touch()
    (tmp_path / "movielens-small").mkdir()  # such as the runs on it; no data set
    monkeypatch.chdir(tmp_path)
    assert resolve_recipe("bpr_mf", "mine").data.dataset == str(tmp_path / "mine")
    assert resolve_recipe("bpr_mf", "movielens-small").data.dataset == "movielens-small"


def test_a_folder_named_in_a_recipe_is_remembered_too(tmp_path, monkeypatch):
    (tmp_path / "dataset.toml").touch()
    monkeypatch.chdir(tmp_path)
    recipe = resolve_recipe("bpr_mf", overrides=["data.dataset=."])
    assert recipe.data.dataset == str(tmp_path)


def test_a_loaded_data_set_is_not_changed_by_a_recipe():
    board = checkerboard_dataset()
    resolve_recipe("mm_gef", board, overrides=["data.modalities=['text', 'image']"])
    with pytest.raises(ConfigError, match=r"data.modalities must be that of the loaded data set"):
        resolve_recipe("mm_gef", board, overrides=["data.modalities=['text']"])
    with pytest.raises(ConfigError, match=r"data.split must be that of the loaded data set"):
        resolve_recipe("gowalla/lightgcn", board)


@pytest.mark.parametrize(
    "override",
    [
        "training.learning_rate=inf",
        "training.checkpoint_seconds=inf",
        "model.reg_weight=nan",
        "seed=9223372036854775808",
    ],
)
def test_numbers_that_cannot_be_stored_or_used_are_refused(override):
    with pytest.raises(ConfigError, match=override.split("=")[0]):
        resolve_recipe("lightgcn", overrides=[override])


def test_data_must_be_a_table():
    with pytest.raises(ConfigError, match="data must be a table"):
        resolve_recipe({"model": {"name": "bpr_mf"}, "data": "movielens-small"}, "movielens-small")
