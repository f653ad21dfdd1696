"""The pages have every table, also where nothing was measured."""

import json
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.benchmark import NAMES


def row(label: str, source: str) -> dict[str, Any]:
    return {
        "label": label,
        "source": source,
        "changes": {"training.max_epochs": 9},
        "seeds": [1, 2],
        "test": {"recall@20": [0.1, 0.3]},
        "epochs": [4, 8],
        "epoch_s_median": 0.5,
        "num_parameters": 1234,
    }


STUDY: dict[str, Any] = {
    "study": "compare",
    "dataset": "small",
    "seeds": [1, 2],
    "metric": "recall@20",
    "metrics": ["recall@20"],
    "best": "lightgcn",
    "against": "mine",
    "rows": [row("lightgcn", "small/lightgcn"), row("mine", "my recipes/mine.toml")],
    "tests": [
        {
            "metric": metric,
            "label": "lightgcn",
            "against": "mine",
            "num_users": 1000,
            "difference": difference,
            "low": 0.01,
            "high": 0.05,
            "p_value": 0.01,
            "p_holm": 0.02,
        }
        for metric, difference in (("recall@20", 0.03), ("ndcg@20", 0.9))
    ],
}


def written(folder: Path, *records: dict[str, Any]) -> str:
    for number, record in enumerate(records):
        (folder / f"{number}.json").write_text(json.dumps(record))
    report.main(["--results", str(folder), "--out", str(folder / "docs")])
    return (folder / "docs" / "results.md").read_text()


def test_the_page_of_quality_has_the_table_and_the_tests(tmp_path: Path) -> None:
    text = written(tmp_path, STUDY, {"study": "sweep"}, {"other": 1})
    assert "python -m benchmarks.report" in text
    assert "| lightgcn | 0.2000 ± 0.1414 | 0.50 | 6 | 1,234 |" in text
    difference = "recall@20 +0.0300 over 1,000 users, 95 % interval [+0.0100, +0.0500], p = 0.02"
    assert f"- lightgcn – mine: {difference}" in text
    assert "0.9" not in text
    assert (
        "`mmgraph compare lightgcn mine.toml --dataset small --seeds 2 --first-seed 1 "
        "--set training.max_epochs=9 --against mine`" in text
    )


def test_an_ablation_is_on_the_page_too(tmp_path: Path) -> None:
    rows = [row("full", "defaults of mm_gef"), {**row("w/o CF", "x"), "epoch_s_median": None}]
    changes = {"study": "ablate", "recipe": "mm_gef", "seeds": [2026], "rows": rows, "tests": []}
    text = written(tmp_path, {**STUDY, **changes})
    assert "## small: mm_gef and its parts" in text
    assert "| mm_gef | recall@20 |" in text
    assert "| w/o CF | 0.2000 ± 0.1414 |  | 6 | 1,234 |" in text
    assert "`mmgraph ablate mm_gef --dataset small --seeds 1 --set training.max_epochs=9`" in text


def test_the_committed_results_make_their_page() -> None:
    studies = report.read_records(report.RESULTS)
    assert studies
    text = report.page(studies)
    assert all(f"## {study['dataset']}" in text for study in studies)
    assert text == (report.DOCS / "results.md").read_text(encoding="utf-8")


def test_every_benchmark_has_a_page_before_it_has_results(tmp_path: Path) -> None:
    report.main(["--results", str(tmp_path), "--out", str(tmp_path / "docs")])
    for name in NAMES:
        assert "No results yet." in (tmp_path / "docs" / f"{name}.md").read_text()
