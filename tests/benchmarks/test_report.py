"""The pages have every table, also where nothing was measured."""

import json
from pathlib import Path
from typing import Any

from benchmarks import quality, report
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
        "recipe": {"evaluation": {"candidates": "all"}},
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
    text = written(tmp_path, STUDY, {"study": "analysis"}, {"other": 1})
    assert "python -m benchmarks.report" in text
    assert "| model | recall@20 | recall@20 – mine | p | s/epoch | epochs | parameters |" in text
    tested = "+0.0300 [+0.0100, +0.0500] | 0.02"
    assert f"| lightgcn | 0.2000 ± 0.1414 | {tested} | 0.50 | 6 | 1,234 |" in text
    assert "| mine | 0.2000 ± 0.1414 |  |  | 0.50 | 6 | 1,234 |" in text
    assert "0.9" not in text
    assert (
        "`mmgraph compare lightgcn mine.toml --dataset small --seeds 2 --first-seed 1 "
        "--set training.max_epochs=9 --against mine`" in text
    )
    assert "### 2 models, 2 seeds\n" in text


def test_cold_items_alone_are_named(tmp_path: Path) -> None:
    rows = [
        {**made, "recipe": {"evaluation": {"candidates": "cold"}}}
        for made in (row("lightgcn", "small/lightgcn"), row("mine", "mine.toml"))
    ]
    assert "### 2 models, among cold items alone, 2 seeds\n" in written(
        tmp_path, {**STUDY, "rows": rows}
    )


def test_an_ablation_is_on_the_page_too(tmp_path: Path) -> None:
    rows = [row("full", "defaults of mm_gef"), {**row("w/o CF", "x"), "epoch_s_median": None}]
    changes = {"study": "ablate", "recipe": "mm_gef", "seeds": [2026], "rows": rows, "tests": []}
    text = written(tmp_path, {**STUDY, **changes, "against": "full"})
    assert "### mm_gef and its parts, 1 seed\n" in text
    assert "| mm_gef | recall@20 |" in text
    assert "| w/o CF | 0.2000 ± 0.1414 |  | 6 | 1,234 |" in text
    assert "`mmgraph ablate mm_gef --dataset small --seeds 1 --set training.max_epochs=9`" in text


def test_a_sweep_tells_the_validation_part_in_the_order_of_its_grid(tmp_path: Path) -> None:
    rows = []
    for value, recall in ((1.0, 0.3), (0, 0.2), (10, 0.1)):  # the best first, as a sweep has them
        made = {**row(f"mu={value}", "defaults of mario"), "valid": {"recall@20": [recall]}}
        del made["test"]
        changes = {"data.dataset": "small", "model.mu": value, "training.max_epochs": 9}
        rows.append({**made, "point": {"model.mu": value}, "changes": changes})
    record = {**STUDY, "study": "sweep", "recipe": "mario", "seeds": [2026], "rows": rows}
    del record["tests"], record["against"], record["best"]
    text = written(tmp_path, {**record, "grid": {"model.mu": [0, 1.0, 10]}})
    assert "### mario: model.mu, 1 seed\n" in text
    at = [
        text.index(f"| {cell} |") for cell in ("mu=0 | 0.2000", "mu=1.0 | 0.3000", "mu=10 | 0.1000")
    ]
    assert at == sorted(at)
    assert (
        "`mmgraph sweep mario --grid model.mu=0,1.0,10 --dataset small --seeds 1 "
        "--set training.max_epochs=9`" in text
    )


def test_studies_of_a_data_set_stand_together_and_have_pictures(tmp_path: Path) -> None:
    other = {**STUDY, "dataset": "large"}
    ablation = {**STUDY, "study": "ablate", "recipe": "mm_gef"}
    text = written(tmp_path, ablation, other, STUDY)
    heads = [line for line in text.splitlines() if line.startswith("#")]
    models = "### 2 models, 2 seeds"
    parts = ["## large", models, "## small", models, "### mm_gef and its parts, 2 seeds"]
    assert heads == ["# Quality", *parts]
    for name in ("results_0", "results_1", "results_2"):
        assert f"({name}.png)" in text
        assert (tmp_path / "docs" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_committed_results_make_their_page() -> None:
    studies = quality.read_studies(report.RESULTS)
    assert studies
    text = quality.page(studies)
    assert all(f"## {study.record['dataset']}" in text for study in studies)
    assert text == (report.DOCS / "results.md").read_text(encoding="utf-8")
    for study in studies:
        assert (report.DOCS / f"{study.picture}.png").is_file()


def test_every_benchmark_has_a_page_before_it_has_results(tmp_path: Path) -> None:
    report.main(["--results", str(tmp_path), "--out", str(tmp_path / "docs")])
    for name in NAMES:
        assert "No results yet." in (tmp_path / "docs" / f"{name}.md").read_text()
