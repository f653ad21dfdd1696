"""Ablations: the tables of the class and of the recipe, each variant against the whole."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmgraph.config import shipped_recipes
from mmgraph.errors import ConfigError
from mmgraph.models import MODELS, get_model
from mmgraph.models.lightgcn import LightGCN
from mmgraph.study import ablate
from mmgraph.study.ablation import ablations_of, modality_variants
from mmgraph.study.plan import build_all, setting_of

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, shop: Path) -> Write:
    """Return a function that writes a recipe of LightGCN with an end of its own."""

    def recipe(text: str) -> Path:
        path = tmp_path / "mine.toml"
        path.write_text(
            f'[data]\ndataset = "{shop}"\n[model]\nname = "lightgcn"\nembedding_dim = 4\n'
            f"[training]\nmax_epochs = 2\n{text}"
        )
        return path

    return recipe


@pytest.fixture
def of_the_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LightGCN, "ablations", {"w/o layers": {"model.num_layers": 0}})


OWN = '[ablations."one layer"]\nmodel.num_layers = 1\ntraining.batch_size = 64\n'


@pytest.mark.usefixtures("of_the_class")
def test_variants_of_the_class_and_the_recipe_are_tested_against_the_whole(
    write: Write, tmp_path: Path
) -> None:
    record = ablate(write(OWN), seeds=2, out=tmp_path / "out")
    assert [row["label"] for row in record["rows"]] == ["full", "w/o layers", "one layer"]
    assert record["rows"][1]["changes"] == {"model.num_layers": 0}
    assert record["rows"][1]["recipe"]["model"]["num_layers"] == 0
    assert record["rows"][2]["recipe"]["training"]["batch_size"] == 64
    assert record["rows"][0]["recipe"]["ablations"] == {}
    assert {test["against"] for test in record["tests"]} == {"full"}
    assert (record["study"], record["recipe"]) == ("ablate", "mine")
    stored = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert stored["rows"] == record["rows"]
    assert (tmp_path / "out" / "w-o-layers" / "seed-2027" / "run.json").is_file()


@pytest.mark.usefixtures("of_the_class")
def test_only_some_variants(write: Write, tmp_path: Path) -> None:
    record = ablate(write(OWN), seeds=1, only=["one layer"], out=tmp_path / "out")
    assert [row["label"] for row in record["rows"]] == ["full", "one layer"]
    assert record["options"] == {
        "recipe": str(tmp_path / "mine.toml"),
        "set": [],
        "only": ["one layer"],
        "by_modality": False,
        "metric": "recall@20",
    }
    assert record["against_by"] == "name"
    with pytest.raises(ConfigError, match=r"got 'one lyer'\); did you mean 'one layer'"):
        ablate(write(OWN), seeds=1, only=["one lyer"], out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_variants_by_modality(shop: Path, tmp_path: Path) -> None:
    record = ablate("cb", str(shop), seeds=1, by_modality=True, out=tmp_path / "out")
    rows = {row["label"]: row["recipe"]["data"].get("modalities") for row in record["rows"]}
    assert rows == {"full": None, "text alone": ["text"], "image alone": ["image"]}
    three = setting_of("cb", str(shop), overrides=['data.modalities=["text","image","sound"]'])
    variants = modality_variants(three)
    assert list(variants) == [*(f"{x} alone" for x in ("text", "image", "sound")), *_WITHOUT]
    assert variants["w/o image"] == {"data.modalities": ["text", "sound"]}


def test_variants_that_would_not_differ_for_want_of_modalities_are_refused(
    shop: Path, tmp_path: Path
) -> None:
    text = ["data.modalities=['text']"]
    with pytest.raises(ConfigError, match=r"'w/o weight' needs at least 2 modalities .*got text"):
        ablate("margo", str(shop), overrides=text, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_options_that_name_modalities_go_with_them(shop: Path) -> None:
    def changes_of(model: str, *overrides: str) -> dict[str, Any]:
        whole, found = setting_of(model, str(shop), overrides=overrides), {}
        for label, kept in modality_variants(whole).items():
            changes = whole.changed(label, kept).changes
            found[label] = {k: v for k, v in changes.items() if whole.changes.get(k) != v}
        return found

    shares = "model.backbone={name='freedom', shares={image=0.1}}"
    assert changes_of("margo", shares) == {
        "text alone": {"data.modalities": ["text"], "model.backbone.shares": {}},
        "image alone": {"data.modalities": ["image"]},
    }
    three = ['data.modalities=["text","image","sound"]', "model.mix_order=['sound', 'image']"]
    found = changes_of("cm3", *three)
    assert found["w/o image"]["model.mix_order"] == ("sound",)
    assert found["image alone"]["model.mix_order"] == ("image",)
    assert found["w/o text"] == {"data.modalities": ["image", "sound"]}


@pytest.mark.parametrize("keys", [["model.flip_from='features'"], ["model.backbone='vbpr'"]])
def test_a_wrapper_reads_features_if_a_part_of_it_does(shop: Path, keys: list[str]) -> None:
    assert len(modality_variants(setting_of("nbpo", str(shop), overrides=keys))) == 2


_WITHOUT = ["w/o text", "w/o image", "w/o sound"]


@pytest.mark.parametrize(
    ("recipe", "overrides", "part"),
    [
        ("lightgcn", [], "need a model that reads features \\(got 'lightgcn'\\)"),
        ("cb", ['data.modalities=["text"]'], r"at least two of them \(got text\)"),
        ("nbpo", [], "need a model that reads features \\(got 'nbpo'\\)"),
        (
            "nbpo",
            ["model.criterion='bpo'", "model.flip_from='features'"],
            "need a model that reads",
        ),
    ],
)
def test_variants_by_modality_that_make_no_sense(
    shop: Path, tmp_path: Path, recipe: str, overrides: list[str], part: str
) -> None:
    with pytest.raises(ConfigError, match=part):
        ablate(recipe, str(shop), by_modality=True, overrides=overrides, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("of_the_class")
def test_the_recipe_has_the_last_word_about_a_label(write: Write) -> None:
    own = '[ablations."w/o layers"]\nmodel.num_layers = 5\n'
    assert ablations_of(setting_of(write(own), None)) == {"w/o layers": {"model.num_layers": 5}}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "lightgcn has no ablations"),
        ('[ablations.x]\n"model.depth" = 1\n', "x: unknown key 'model.depth'"),
        ('[ablations.x]\n"model.num_layers" = -1\n', "x: model.num_layers"),
        ("[ablations.x]\nseed = 3\n", "cannot set the seed"),
        ("[ablations.x]\n", "needs a label other than 'full' and changed keys"),
        ("[ablations.full]\nmodel.num_layers = 1\n", "needs a label other than 'full'"),
        ("[ablations]\nx = 3\n", "ablations.x"),
        ("[ablations.x]\nevaluation.mask_valid_at_test = true\n", "evaluated alike .* for x"),
        ("[ablations.x]\ndata.split.seed = 9\n", "the same split .* those of full and x"),
        ('[ablations."a b"]\ngraph.k = 3\n[ablations."a/b"]\ngraph.k = 4\n', "labels must differ"),
    ],
)
def test_tables_that_make_no_sense(write: Write, tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        ablate(write(text), seeds=1, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [*sorted(MODELS), *shipped_recipes()])
def test_every_variant_that_comes_with_the_package_is_a_valid_recipe(name: str) -> None:
    whole = setting_of(name, "movielens-small")  # of the data set only the name is used
    named = whole.ablations or get_model(whole.values["model"]["name"]).ablations
    variants = ablations_of(whole) if named else {}
    recipes = build_all(whole.changed(label, changes) for label, changes in variants.items())
    assert list(recipes) == list(variants)
