import tomllib
from pathlib import Path

import pytest

from benchmarks import search
from mmgraph.config import Recipe
from mmgraph.errors import ConfigError
from mmgraph.models import MODELS


def test_every_model_is_searched_with_as_many_settings() -> None:
    assert {space.model or label for label, space in search.SPACES.items()} == set(MODELS)
    sizes = {len(a) * len(b) for a, b in (s.grid.values() for s in search.SPACES.values())}
    assert sizes == {4}


def test_the_chosen_recipe_is_a_recipe_of_the_best_setting(
    small_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(search, "SHARED", ("training.max_epochs=2", "training.batch_size=64"))
    options = ["--dataset", str(small_folder), "--models", "bpr_mf", "--jobs", "1"]
    options += ["--out", str(tmp_path / "runs"), "--recipes", str(tmp_path / "recipes")]
    search.main(options)
    (path,) = (tmp_path / "recipes").glob("*/bpr_mf.toml")
    text = path.read_text()
    assert text.startswith("# Chosen by `python -m benchmarks.search`: the best of 4")
    values = tomllib.loads(text)
    assert "data" not in values  # the folder of a data set is the business of its owner
    assert values["training"]["max_epochs"] == 2
    assert values["model"]["reg_weight"] in search.SPACES["bpr_mf"].values
    Recipe.build(values)
    first = capsys.readouterr().out
    assert "done" not in first.splitlines()[-1]

    search.main(options)  # goes on: nothing is left to train
    assert capsys.readouterr().out.splitlines() == first.splitlines()[-1:]
    assert path.read_text() == text


def test_an_unknown_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--models must name systems .* 'lightgcm'"):
        search.main(["--out", str(tmp_path), "--models", "lightgcm"])
