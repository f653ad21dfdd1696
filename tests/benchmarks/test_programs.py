"""The command line programs run on a small data set and write what the report reads."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import report
from benchmarks.evaluation import ranking
from benchmarks.graph import build, memory
from benchmarks.harness import OURS, PLAIN, TOTAL
from benchmarks.training import epoch

QUICK = ["--repeats", "1", "--threads", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data-set folder: 30 users, 25 items, one modality."""
    place = tmp_path_factory.mktemp("small")
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((30, 60)) < 0.3)
    rows = "".join(f"{u},{i}\n" for u, i in zip(users, items, strict=True))
    (place / "pairs.csv").write_text(f"user,item\n{rows}")
    ids = np.unique(items)
    (place / "ids.csv").write_text("item\n" + "".join(f"{i}\n" for i in ids))
    np.save(place / "text.npy", rng.standard_normal((len(ids), 6)).astype(np.float32))
    (place / "dataset.toml").write_text(
        'name = "small"\n[interactions]\nfile = "pairs.csv"\nuser = "user"\nitem = "item"\n'
        '[features.text]\nfile = "text.npy"\nids = "ids.csv"\n'
    )
    return place


@pytest.mark.parametrize(
    ("program", "phases"),
    [
        (epoch, ["sampling", "steps", "total"]),
        (ranking, ["lists", "metrics", "total"]),
        (build, ["features", "knn_text", "co_item", "co_user", "assemble", "total"]),
    ],
)
def test_speed_programs(
    program: object, phases: list[str], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "cells.jsonl"
    cells = program.main(["--dataset", str(folder), "--out", str(out), *QUICK])
    assert [cell.phase for cell in cells if cell.way == OURS] == phases
    assert [cell.phase for cell in cells if cell.way == PLAIN] == phases
    for way in (OURS, PLAIN):
        seconds = {cell.phase: cell.median_s for cell in cells if cell.way == way}
        assert sum(seconds[phase] for phase in phases[:-1]) <= seconds[TOTAL] * 1.001 + 1e-3
    lines = out.read_text().splitlines()
    assert len(lines) == 2 * len(phases)
    record = json.loads(lines[0])
    assert record["command"].endswith("--dataset small --repeats 1 --threads 1")
    assert str(folder) not in out.read_text()
    assert "ratio" in capsys.readouterr().out


def test_ranking_says_how_far_apart_the_two_ways_are(folder: Path) -> None:
    cells = ranking.main(["--dataset", str(folder), *QUICK])
    assert 0 <= cells[0].quality["largest difference of a mean metric"] < 1e-9


def test_memory_is_measured_in_a_process_of_its_own(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "memory.jsonl"
    cell = memory.main(
        ["--dataset", str(folder), "--dim", "64", "--threads", "1", "--out", str(out)]
    )
    assert cell.dataset == "small"
    assert cell.matrix == pytest.approx(cell.num_items * 64 * 4 / 1e9)
    assert cell.peak >= cell.before > 0.05
    assert cell.above_matrix == pytest.approx(cell.peak - cell.matrix)
    assert "knn_random" in cell.phase_seconds
    assert json.loads(out.read_text())["limit"] == 1.5


def test_the_report_has_every_table(folder: Path, tmp_path: Path) -> None:
    results, docs = tmp_path / "results", tmp_path / "docs"
    epoch.main(["--dataset", str(folder), "--out", str(results / "epoch.jsonl"), *QUICK])
    comparison = {
        "benchmark": "accuracy",
        "dataset": "small",
        "models": [
            {
                "label": "lightgcn",
                "seeds": [1, 2],
                "test": {"recall@20": [0.1, 0.3]},
                "epochs": [4, 8],
                "epoch_s_median": 0.5,
                "num_parameters": 1234,
            }
        ],
        "paired": [],
        "command": "python -m x",
    }
    (results / "accuracy.json").write_text(json.dumps(comparison))
    report.main(["--results", str(results), "--out", str(docs)])
    text = (docs / "results.md").read_text()
    assert "python -m benchmarks.report" in text
    assert "### Training epoch, small" in text
    assert "| sampling |" in text
    assert "| lightgcn | 0.2000 ± 0.1414 | 0.50 | 6 | 1,234 |" in text
    if "training_epoch.png" in text:
        assert (docs / "training_epoch.png").read_bytes()[:4] == b"\x89PNG"
