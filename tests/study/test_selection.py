"""Sweeps: chosen on validation, silent about test, written so that the choice can be repeated."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmgraph.config import read_recipe, resolve_recipe
from mmgraph.errors import ConfigError, FitError
from mmgraph.experiment import load_run
from mmgraph.study import Place, sweep

QUICK = ("training.max_epochs=3", "model.embedding_dim=4")
GRID = {"model.num_layers": [1, 2], "training.learning_rate": [0.001, 0.05]}
Finished = tuple[Path, dict[str, Any], Path]


@pytest.fixture(scope="module")
def finished(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    out = tmp_path_factory.mktemp("sweep")
    target = out.with_name("chosen.toml")
    return (
        out,
        sweep("lightgcn", GRID, str(shop), seeds=2, overrides=QUICK, out=out, write=target),
        target,
    )


def test_the_best_mean_on_validation_is_chosen(finished: Finished) -> None:
    out, record, _ = finished
    assert (record["tried"], record["of"], record["metric"]) == (4, 4, "recall@20")
    means = []
    for row in record["rows"]:
        runs = [load_run(out / row["label"].replace(", ", "-") / f"seed-{s}") for s in (2026, 2027)]
        values = [run.metrics["valid"]["recall@20"] for run in runs]
        assert row["valid"]["recall@20"] == values
        assert runs[0].recipe.model.num_layers == row["point"]["model.num_layers"]  # type: ignore[attr-defined]
        means.append(sum(values) / 2)
    assert means == sorted(means, reverse=True)
    assert record["chosen"] == record["rows"][0]["point"]


def test_no_figure_of_the_test_part_is_told(finished: Finished) -> None:
    out, record, target = finished
    told = {key: value for key, value in record.items() if key != "files"}
    stored = (out / "sweep.json").read_text()
    assert json.loads(stored) == told
    all_metrics = [json.loads(path.read_text()) for path in out.rglob("metrics.json")]
    tested, validated = (
        {value for metrics in all_metrics for value in metrics[part].values()}
        for part in ("test", "valid")
    )
    # What is no simple fraction cannot stand there by chance.
    figures = {str(value) for value in tested - validated if len(str(value)) > 12}
    assert len(figures) > 20
    for text in (stored, target.read_text(), (out / "sweep.svg").read_text()):
        assert '"test"' not in text
        assert figures.isdisjoint(re.findall(r"\d+\.\d+", text))


def test_the_written_recipe_is_the_chosen_one_and_says_how(finished: Finished, shop: Path) -> None:
    _, record, target = finished
    text = target.read_text()
    assert text.startswith("# Chosen by mmgraph sweep ")
    assert "the best of all 4 with model.num_layers in [1, 2]" in text
    assert "validation recall@20 over seeds 2026 to 2027" in text
    recipe = resolve_recipe(target)
    assert recipe.model.num_layers == record["chosen"]["model.num_layers"]  # type: ignore[attr-defined]
    assert recipe.training.learning_rate == record["chosen"]["training.learning_rate"]
    assert recipe.training.max_epochs == 3
    assert recipe.data.dataset == str(shop)
    assert "seed" not in read_recipe(target)


def test_the_same_sweep_again_trains_nothing_and_writes_the_same(
    finished: Finished, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, record, target = finished
    before = target.read_text()
    monkeypatch.setattr("mmgraph.study.trial.train", lambda *a, **k: pytest.fail("trained again"))
    texts = ["model.num_layers=1,2", "training.learning_rate=0.001,0.05"]
    again = sweep("lightgcn", texts, str(shop), seeds=2, overrides=QUICK, out=out, write=target)
    assert again["rows"] == record["rows"]
    assert target.read_text() == before


def test_a_random_part_of_the_grid(finished: Finished, shop: Path) -> None:
    out, record, _ = finished
    part = sweep("lightgcn", GRID, str(shop), seeds=2, trials=2, overrides=QUICK, out=out)
    assert (part["tried"], part["of"], len(part["rows"])) == (2, 4, 2)
    assert all(row in record["rows"] for row in part["rows"])


def test_settings_that_fail_are_not_chosen(shop: Path, tmp_path: Path) -> None:
    rates = {"training.learning_rate": [1e38, 0.01]}
    words: dict[str, Any] = {"seeds": 1, "overrides": QUICK, "out": tmp_path / "out"}
    record = sweep("bpr_mf", rates, str(shop), **words)
    assert record["chosen"] == {"training.learning_rate": 0.01}
    assert [f["label"] for f in record["failed"]] == ["learning_rate=1e+38"]
    assert len(record["rows"]) == 1
    with pytest.raises(FitError, match="no setting came to its end"):
        sweep("bpr_mf", {"training.learning_rate": [1e38]}, str(shop), **words)


def test_a_written_recipe_leaves_out_what_has_no_value(shop: Path, tmp_path: Path) -> None:
    grid = {"model.backbone.num_layers": [None], "model.mu": [0.0]}
    keys = [*QUICK, "model.backbone={name='mmgcn', embedding_dim=4}"]
    keys = [key for key in keys if not key.startswith("model.embedding_dim")]
    target = tmp_path / "chosen.toml"
    record = sweep(
        "mario", grid, str(shop), seeds=1, overrides=keys, out=tmp_path / "o", write=target
    )
    assert record["chosen"] == {"model.backbone.num_layers": None, "model.mu": 0.0}
    assert read_recipe(target)["model"]["backbone"] == {"name": "mmgcn", "embedding_dim": 4}


def test_the_written_recipe_counts_what_came_to_its_end_and_names_what_failed(
    shop: Path, tmp_path: Path
) -> None:
    grid = {"training.learning_rate": [1e38, 0.01, 0.02]}
    target = tmp_path / "chosen.toml"
    words: Any = {"seeds": 1, "overrides": QUICK, "out": tmp_path / "out", "write": target}
    record = sweep("bpr_mf", grid, str(shop), **words)
    assert (record["tried"], len(record["rows"])) == (3, 2)
    assert record["options"] == {"recipe": "bpr_mf", "set": list(QUICK), "trials": None}
    comment = [line for line in target.read_text().splitlines() if line.startswith("#")]
    assert "the best of the 2 that came to their end, of all 3 with" in comment[1]
    assert comment[-1] == "# Failed: learning_rate=1e+38."


def test_a_grid_of_numpy_is_trained_in_processes_of_their_own(shop: Path, tmp_path: Path) -> None:
    grid = {"model.num_layers": np.arange(1, 3)}
    words: Any = {"seeds": 1, "overrides": QUICK, "out": tmp_path, "place": Place(jobs=2)}
    record = sweep("lightgcn", grid, str(shop), **words)  # type: ignore[arg-type]
    assert record["failed"] == []
    assert sorted(row["point"]["model.num_layers"] for row in record["rows"]) == [1, 2]


def test_equal_settings_go_by_the_order_of_the_grid(shop: Path, tmp_path: Path) -> None:
    # How often a run saves checkpoints changes no figure.
    grid = {"training.checkpoint_seconds": [20, 10]}
    record = sweep("bpr_mf", grid, str(shop), seeds=1, overrides=QUICK, out=tmp_path / "out")
    assert record["chosen"] == {"training.checkpoint_seconds": 20}


@pytest.mark.parametrize(
    ("grid", "changes", "part"),
    [
        ([], {}, "needs a grid"),
        (["model.depth=1,2"], {}, "unknown key 'model.depth'"),
        (["model.embedding_dim=0,4"], {}, "model.embedding_dim"),
        (["model.name.x=1"], {}, "is a value, not a table"),
        (["model.embedding_dim=4"], {"seeds": -1}, "--seeds must be at least 1"),
        (["model.embedding_dim=4"], {"trials": 0}, "--trials must be at least 1"),
        (["model.embedding_dim=4"], {"write": "chosen.json"}, "must name a .toml file"),
        (["model.embedding_dim=4"], {"write": "no/where/chosen.toml"}, "its folder must exist"),
    ],
)
def test_nothing_is_trained_for_a_mistake(
    shop: Path, tmp_path: Path, grid: list[str], changes: dict[str, Any], part: str
) -> None:
    with pytest.raises(ConfigError, match=part):
        sweep("bpr_mf", grid, str(shop), out=tmp_path / "out", **changes)
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_that_somebody_wrote_stays(shop: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text("# years of work\n")
    with pytest.raises(ConfigError, match="was not written by a sweep"):
        sweep("lightgcn", GRID, str(shop), out=tmp_path / "out", write=mine)
    assert mine.read_text() == "# years of work\n"
