"""The pages have every table, also where nothing was measured."""

import json
from pathlib import Path

from benchmarks import report
from benchmarks.benchmark import NAMES


def test_the_page_of_quality_has_its_table(tmp_path: Path) -> None:
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
    (tmp_path / "accuracy.json").write_text(json.dumps(comparison))
    report.main(["--results", str(tmp_path), "--out", str(tmp_path / "docs")])
    text = (tmp_path / "docs" / "results.md").read_text()
    assert "python -m benchmarks.report" in text
    assert "| lightgcn | 0.2000 ± 0.1414 | 0.50 | 6 | 1,234 |" in text


def test_every_benchmark_has_a_page_before_it_has_results(tmp_path: Path) -> None:
    report.main(["--results", str(tmp_path), "--out", str(tmp_path / "docs")])
    for name in NAMES:
        assert "No results yet." in (tmp_path / "docs" / f"{name}.md").read_text()
