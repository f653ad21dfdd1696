import tomllib

import pytest

from mmgraph.config import (
    Recipe,
    apply_overrides,
    read_recipe,
    recipe_values,
    resolve_recipe,
    shipped_recipes,
)
from mmgraph.errors import ConfigError
from mmgraph.models import MODELS
from mmgraph.testing import checkerboard_dataset
from mmgraph.toml import to_toml


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


def test_variants_of_a_recipe_read_back_as_they_are():
    ablations = {
        "w/o CF": {"model.use_cointeraction": False, "data.modalities": ["text"]},
        "tables": {"model": {"deep": {"k": 3}}, "model.backbone": {"name": "x", "k": 1.5}},
    }
    values = {"model": {"name": "lightgcn"}, "ablations": ablations}
    recipe = Recipe.build(values)
    assert recipe.ablations == ablations
    assert tomllib.loads(recipe.to_toml())["ablations"] == ablations
    assert tomllib.loads(to_toml(values)) == values


def test_the_plain_values_are_those_of_the_recipe():
    values, origin = recipe_values("lightgcn", "movielens-small", overrides=["graph.k=3"], seed=4)
    assert origin == "lightgcn"
    assert values == {
        "model": {"name": "lightgcn"},
        "graph": {"k": 3},
        "seed": 4,
        "data": {"dataset": "movielens-small"},
    }
    assert Recipe.build(values) == resolve_recipe(
        "lightgcn", "movielens-small", overrides=["graph.k=3"], seed=4
    )


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


@pytest.mark.parametrize(
    ("model", "key", "value", "needed"),
    [
        ("dragon", "co_normalize", "max", "none"),
        ("dualgnn", "co_normalize", "jaccard", "none"),
        ("margo", "co_normalize", "max", "none"),
        ("freedom", "ui_norm", "rw_self", "sym"),
    ],
)
def test_a_graph_on_which_a_models_equations_are_others_is_refused(model, key, value, needed):
    assert getattr(resolve_recipe(model).graph, key) == needed
    told = rf"graph.{key} must be '{needed}' for the equations of {model} \(got '{value}'\)"
    with pytest.raises(ConfigError, match=told):
        resolve_recipe(model, overrides=[f"graph.{key}='{value}'"])


def test_freedom_takes_any_normalisation_where_it_keeps_all_edges():
    recipe = resolve_recipe("freedom", overrides=["model.drop=0", "graph.ui_norm='rw'"])
    assert recipe.graph.ui_norm == "rw"


@pytest.mark.parametrize("model", ["ngcf", "lattice", "micro"])
def test_what_a_model_chose_of_the_graph_is_not_kept_for_another(model):
    released = resolve_recipe(model, overrides=["model.preset=as_released"])
    assert released.graph.ui_norm == "rw_self"
    assert resolve_recipe(released, overrides=["model.preset=paper"]).graph.ui_norm == "sym"
    chosen = resolve_recipe(released, overrides=["graph.ui_norm=rw"])
    assert resolve_recipe(chosen, overrides=["model.preset=paper"]).graph.ui_norm == "rw"


def test_what_was_fitted_to_one_catalogue_is_fitted_again_to_another():
    small = Recipe.build({"model": {"name": "bpr_mf"}}).fitted_to(12)
    assert resolve_recipe(small).fitted_to(100).evaluation.ks == (5, 10, 20, 50)
    chosen = Recipe.build({"model": {"name": "bpr_mf"}, "evaluation": {"ks": [5, 20]}})
    shrunk = chosen.fitted_to(12, chosen_too=True)
    assert resolve_recipe(shrunk).fitted_to(100).evaluation.ks == (5,)


def test_list_lengths_fit_small_catalogues_unless_chosen():
    recipe = Recipe.build({"model": {"name": "bpr_mf"}})
    assert recipe.fitted_to(30).evaluation.ks == (5, 10, 20)
    small = recipe.fitted_to(12).evaluation
    assert (small.ks, small.select_by) == ((5, 10), "recall@10")
    chosen = Recipe.build({"model": {"name": "bpr_mf"}, "evaluation": {"ks": [20, 50]}})
    assert chosen.fitted_to(30) == chosen


def test_lengths_the_user_chose_go_where_the_catalogue_has_shrunk():
    table = {"ks": [5, 20, 50], "select_by": "ndcg@20"}
    chosen = Recipe.build({"model": {"name": "bpr_mf"}, "evaluation": table})
    fitted = chosen.fitted_to(30, chosen_too=True).evaluation
    assert (fitted.ks, fitted.select_by) == ((5, 20), "ndcg@20")
    fitted = chosen.fitted_to(12, chosen_too=True).evaluation
    assert (fitted.ks, fitted.select_by) == ((5,), "ndcg@5")
    assert chosen.fitted_to(50, chosen_too=True) == chosen


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
    for names in ("'text', 'image'", "'image', 'text'"):
        recipe = resolve_recipe("mm_gef", board, overrides=[f"data.modalities=[{names}]"])
        assert recipe.data.modalities == ("text", "image")
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


def test_a_backbone_is_a_table_or_a_name():
    table = {"name": "mario", "backbone": {"name": "lightgcn", "num_layers": 1}}
    recipe = Recipe.build({"model": table})
    assert recipe.model.backbone.num_layers == 1
    named = resolve_recipe("mario", overrides=["model.backbone=lightgcn"])
    dotted = resolve_recipe("mario", overrides=["model.backbone.name=lightgcn"])
    assert named == dotted
    assert named.model.backbone.num_layers == 3
    assert resolve_recipe("mario").model.backbone.name == "bpr_mf"
    kept = resolve_recipe("mario", overrides=["model.backbone.embedding_dim=8"])
    assert (kept.model.backbone.name, kept.model.backbone.embedding_dim) == ("bpr_mf", 8)


@pytest.mark.parametrize("backbone", ["bpr_mf", "lightgcn", "mm_gef", "ngcf"])
def test_a_recipe_with_a_backbone_reads_back_as_itself(backbone):
    recipe = resolve_recipe("mario", overrides=[f"model.backbone={backbone}", "graph.k=7"])
    assert Recipe.build(tomllib.loads(recipe.to_toml())) == recipe
    assert "\nk = 7\n" not in recipe.to_toml().partition("[model]")[2]
    again = resolve_recipe(recipe, overrides=["model.mu=0.5"])
    assert again.model.backbone == recipe.model.backbone
    assert again.model.mu == 0.5


def test_a_backbone_has_the_graph_it_needs():
    recipe = resolve_recipe("mario", overrides=["model.backbone=mm_gef", "graph.k=7"])
    assert recipe.model.backbone.k == 7
    assert recipe.graph.edges == ("co_item",)
    assert resolve_recipe(recipe, overrides=["graph.k=5"]).model.backbone.k == 5
    released = ["model.backbone.name=ngcf", "model.backbone.preset=as_released"]
    assert resolve_recipe("mario", overrides=released).graph.ui_norm == "rw_self"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.backbone.num_layer=2"], "mario: unknown key 'model.backbone.num_layer'; known: e"),
        (
            ["model.backbone={name='lightgcn', num_layer=2}"],
            "mario: unknown key 'model.backbone.num_layer'; did you mean 'num_layers'?",
        ),
        (["model.backbone.embedding_dim=0"], "mario: model.backbone.embedding_dim: .* .got 0."),
        (["model.backbone=lightgcm"], "mario: model.backbone.name must be .*; did you mean 'light"),
        (["model.backbone=mario"], "mario: model.backbone must be a model of its own .got 'mario'"),
        (["model.backbone=[1]"], "mario: model.backbone must be a table or a model's name .got .1"),
        (
            ["model.backbone.name=mm_gef", "model.backbone.k=3"],
            "mario: model.backbone.k follows graph.k .got 3, which is 10.; remove model.backbone.k",
        ),
    ],
)
def test_wrong_backbones_are_named_in_one_line(overrides, message):
    with pytest.raises(ConfigError, match=message) as refused:
        resolve_recipe("mario", overrides=overrides)
    assert "\n" not in str(refused.value)
