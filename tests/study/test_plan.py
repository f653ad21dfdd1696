"""What a study trains: where settings come from, what they are called, where their runs go."""

import inspect
from pathlib import Path

import pytest

from mmgraph.cli.ablate import ablate
from mmgraph.cli.compare import compare
from mmgraph.cli.sweep import sweep
from mmgraph.config import Recipe
from mmgraph.errors import ConfigError, DataError
from mmgraph.study.plan import (
    FIRST_SEED,
    Setting,
    Study,
    build_all,
    dataset_name,
    flat_changes,
    one_dataset,
    seeds_from,
    setting_of,
    told_overrides,
)


def setting(label: str, **model: object) -> Setting:
    values = {"data": {"dataset": "d"}, "model": {"name": "lightgcn", **model}}
    return Setting(label, values, "mine.toml", {})


def test_a_model_takes_the_recipe_shipped_for_the_data_set() -> None:
    found = setting_of("lightgcn", "movielens-small")
    assert (found.label, found.source) == ("lightgcn", "movielens-small/lightgcn")
    assert found.values["training"]["eval_every"] == 4
    named = setting_of("movielens-small/lightgcn", None)
    assert named.values == found.values
    assert one_dataset([found, named]) == "movielens-small"
    no_model = setting_of("mario_lightgcn", "movielens-small")
    assert (no_model.label, no_model.source) == ("mario_lightgcn", "movielens-small/mario_lightgcn")
    assert no_model.values["model"]["backbone"]["name"] == "lightgcn"


def test_without_a_shipped_recipe_it_takes_the_defaults(shop: Path) -> None:
    found = setting_of("lightgcn", str(shop), overrides=["training.max_epochs=3", "seed=9"])
    assert (found.label, found.source) == ("lightgcn", "defaults of lightgcn")
    assert found.values == {
        "model": {"name": "lightgcn"},
        "training": {"max_epochs": 3},
        "data": {"dataset": str(shop)},
    }
    assert found.changes == {"training.max_epochs": 3, "seed": 9}


def test_a_folder_with_the_name_of_a_data_set_gets_its_recipes(tmp_path: Path) -> None:
    (tmp_path / "dataset.toml").write_text(
        'name = "amazon-baby"\n[interactions]\nfile = "x.csv"\nuser = "u"\nitem = "i"\n'
    )
    assert dataset_name(str(tmp_path)) == "amazon-baby"
    assert setting_of("mm_gef", str(tmp_path)).source == "amazon-baby/mm_gef"


def test_a_file_is_called_by_its_name_and_keeps_its_variants(tmp_path: Path, shop: Path) -> None:
    path = tmp_path / "wide.toml"
    path.write_text(
        f'seed = 3\n[data]\ndataset = "{shop}"\n[model]\nname = "bpr_mf"\n[published]\nx = 1\n'
        '[ablations.narrow]\n"model.embedding_dim" = 2\n'
    )
    found = setting_of(path, None)
    assert (found.label, found.source) == ("wide", str(path))
    assert set(found.values) == {"data", "model"}
    assert found.ablations == {"narrow": {"model.embedding_dim": 2}}


@pytest.mark.parametrize(
    ("recipe", "dataset", "part"),
    [
        ("lightgnc", "movielens-small", "did you mean 'lightgcn'"),
        ("missing.toml", "movielens-small", "no such recipe"),
        ("lightgcn", None, "a data set is needed"),
    ],
)
def test_what_names_no_setting(recipe: str, dataset: str | None, part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        setting_of(recipe, dataset)


def test_a_broken_card_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "dataset.toml").write_text("[interactions\n")
    with pytest.raises(DataError, match="not valid TOML"):
        setting_of("lightgcn", str(tmp_path))


def test_a_study_has_one_data_set(shop: Path) -> None:
    with pytest.raises(ConfigError, match=r"one data set .*give --dataset"):
        one_dataset([setting_of("lightgcn", str(shop)), setting_of("lightgcn", "movielens-small")])


def test_changes_are_noted_and_the_base_stays_as_it_is() -> None:
    base = setting("full", num_layers=2)
    other = base.changed("w/o layers", {"model.num_layers": 0, "graph.k": 4})
    assert other.values["model"]["num_layers"] == 0
    assert other.values["graph"] == {"k": 4}
    assert other.changes == {"model.num_layers": 0, "graph.k": 4}
    assert base.values["model"]["num_layers"] == 2
    with pytest.raises(ConfigError, match=r"x: model.name.deep: 'name' is a value"):
        base.changed("x", {"model.name.deep": 1})


def test_shares_follow_the_modalities_of_a_setting(shop: Path) -> None:
    """Of a grid over modalities, say, whose recipe gives the image a share."""
    base = setting_of("dragon", str(shop), overrides=["model.shares.image=0.1"])
    text, both = (
        base.changed(f"{n}", {"data.modalities": n}) for n in (["text"], ["text", "image"])
    )
    assert text.values["model"]["shares"] == {}
    assert text.changes["model.shares"] == {}
    assert both.values["model"]["shares"] == {"image": 0.1}
    assert base.values["model"]["shares"] == {"image": 0.1}
    build_all([text, both])


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("w/o CF", "w-o-CF"),
        ("k=5, learning_rate=0.001", "k=5-learning_rate=0.001"),
        ("../up", "up"),
        ("..", "-"),
        ("größe", "größe"),
    ],
)
def test_a_label_becomes_the_name_of_one_folder(label: str, name: str) -> None:
    assert setting(label).folder_name == name


def test_labels_that_would_share_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"got 'w/o CF' and 'w-o CF'"):
        Study(tmp_path, (setting("w/o CF"), setting("w-o CF")), (1,))
    with pytest.raises(ConfigError, match=r"got 'a' and 'a'"):
        Study(tmp_path, (setting("a"), setting("a")), (1,))


def test_trials_come_seed_by_seed_in_folders_of_their_own(tmp_path: Path) -> None:
    study = Study(tmp_path, (setting("a"), setting("b c")), (1, 2))
    assert [(t.label, t.seed) for t in study.trials()] == [
        ("a", 1),
        ("b c", 1),
        ("a", 2),
        ("b c", 2),
    ]
    assert [str(t.path.relative_to(tmp_path)) for t in study.trials()][1:3] == [
        "b-c/seed-1",
        "a/seed-2",
    ]
    assert next(study.trials()).recipe.seed == 1


def test_a_place_that_cannot_hold_runs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="cannot be written"):
        Study(tmp_path / "file" / "deep", (setting("a"),), (1,)).check_folder()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    with pytest.raises(ConfigError, match="must not be a run itself"):
        Study(tmp_path / "run", (setting("a"),), (1,)).check_folder()


def test_seeds_are_positive_and_in_a_row() -> None:
    assert seeds_from(5, 2) == (5, 6)
    with pytest.raises(ConfigError, match="--seeds must be at least 1"):
        seeds_from(5, 0)
    with pytest.raises(ConfigError, match="--first-seed must be at least 0"):
        seeds_from(-1, 2)


def test_the_first_seed_is_that_of_a_recipe_and_the_command_line_has_no_other() -> None:
    assert Recipe.build({"model": {"name": "bpr_mf"}}).seed == FIRST_SEED
    for command in (compare, ablate, sweep):
        assert inspect.signature(command).parameters["first_seed"].default is None


def test_where_the_data_lie_is_not_told() -> None:
    assert told_overrides([" data.dataset = /x", "data.split.seed=3", "a=data.dataset=x"]) == [
        "data.split.seed=3",
        "a=data.dataset=x",
    ]


def test_tables_are_flattened_and_quoted_keys_keep_theirs() -> None:
    table = {"model": {"deep": {"k": 1}}, "graph.k": 2, "model.backbone": {"name": "x"}, "seed": 3}
    assert flat_changes(table) == {
        "model.deep.k": 1,
        "graph.k": 2,
        "model.backbone": {"name": "x"},
        "seed": 3,
    }


def test_all_recipes_are_built_before_the_first_is_trained() -> None:
    with pytest.raises(ConfigError, match=r"b: unknown key 'model.depth'"):
        build_all([setting("a"), setting("b", depth=3)])
