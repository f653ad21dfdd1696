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


def options(folder: Path, tmp_path: Path, *models: str) -> list[str]:
    words = ["--dataset", str(folder), "--models", *models, "--jobs", "1"]
    return [*words, "--out", str(tmp_path / "runs"), "--recipes", str(tmp_path / "recipes")]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SHARED", ("training.max_epochs=2", "training.batch_size=64"))


@pytest.mark.usefixtures("quick")
def test_a_recipe_that_somebody_wrote_stays(small_folder: Path, tmp_path: Path) -> None:
    mine = tmp_path / "recipes" / "small" / "bpr_mf.toml"
    mine.parent.mkdir(parents=True)
    mine.write_text('# Chosen by hand.\n[model]\nname = "bpr_mf"\n')
    with pytest.raises(ConfigError, match=r"bpr_mf.toml: was not written by this search"):
        search.main(options(small_folder, tmp_path, "cb", "bpr_mf"))
    assert mine.read_text().startswith("# Chosen by hand.")
    assert not (tmp_path / "runs").exists()  # found before the first system is searched


@pytest.mark.usefixtures("quick")
def test_published_figures_stay_when_a_recipe_is_replaced(
    small_folder: Path, tmp_path: Path
) -> None:
    search.main(options(small_folder, tmp_path, "cb"))
    path = tmp_path / "recipes" / "small" / "cb.toml"
    found = tomllib.loads(path.read_text())
    told = {
        "published": {"recall@20": 0.0754, "source": "somebody's table"},
        "ablations": {"w/o shrink": {"model.shrink": 0.0}},
    }
    own = '[published]\n"recall@20" = 0.0754\nsource = "somebody\'s table"\n'
    own += '[ablations."w/o shrink"]\n"model.shrink" = 0.0\n[evaluation]\nselect_by = "ndcg@10"\n'
    path.write_text(f"{path.read_text()}\n{own}")
    search.main(options(small_folder, tmp_path, "cb"))
    assert tomllib.loads(path.read_text()) == {**found, **told}
    Recipe.build(tomllib.loads(path.read_text()))


@pytest.mark.usefixtures("quick")
def test_failed_runs_are_named_and_end_with_1(
    small_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    broken = search.Space(
        "model.reg_weight", (0.003, 0.01), ("training.learning_rate", (0.002, 1e38))
    )
    hopeless = search.Space(
        "model.reg_weight", (1.0, 2.0), ("training.learning_rate", (1e38, 2e38)), model="bpr_mf"
    )
    whole = search.Space("model.shrink", (0.0,), ("model.form", ("profile",)))
    spaces = {"hopeless": hopeless, "bpr_mf": broken, "cb": whole}
    monkeypatch.setattr(search, "SPACES", spaces)
    with pytest.raises(SystemExit) as caught:
        search.main(options(small_folder, tmp_path, *spaces))
    assert caught.value.code == 1
    made = tmp_path / "recipes" / "small"
    assert {path.name for path in made.iterdir()} == {"bpr_mf.toml", "cb.toml"}
    first, _, third, *_ = (made / "bpr_mf.toml").read_text().splitlines()
    assert first.startswith("# Chosen by `python -m benchmarks.search`: the best of 2 by")
    assert third.startswith("# Failed: learning_rate=1e+38, reg_weight=0.003; learning_rate=1e")
    assert "small/hopeless: nothing can be chosen" in capsys.readouterr().err
