"""The evaluation benchmark on a small data set: same metrics everywhere, lines, page."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import report
from benchmarks.cells import OK
from benchmarks.evaluation.benchmark import BENCHMARK
from benchmarks.evaluation.cells import EvaluationCell
from benchmarks.evaluation.profiles import BLOCKS, PROFILES, EvaluationChoice
from benchmarks.evaluation.tasks import make_task
from benchmarks.evaluation.ways import digest, draw_vectors, largest_difference
from benchmarks.process import CellRun
from benchmarks.program import choose_cells, run

BOTH = ("mmgraph", "plain")
CELL = EvaluationCell("duel", "ranking", BOTH, "small", block=16, repeats=2, threads=1)


def measured(cell: EvaluationCell, place: Path) -> dict[str, dict]:
    task = make_task(cell, str(place), Path())
    lines = CellRun(BENCHMARK, cell, task, lambda event: None)()
    return {line["method"]: json.loads(json.dumps(line, allow_nan=False)) for line in lines}


def test_both_ways_find_the_same_metrics(small_folder: Path) -> None:
    lines = measured(CELL, small_folder)
    assert [line["status"] for line in lines.values()] == [OK, OK]
    ours = lines["mmgraph"]
    assert ours["difference"] < 1e-12
    assert list(ours["phases"]) == ["lists", "metrics"]
    assert sum(ours["phases"].values()) <= ours["median_s"] * 1.5
    assert ours["ratios"]["plain"] > 0
    assert ours["settings"]["users"] > 10


def test_a_wrong_list_is_seen(small_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "benchmarks.rivals.python_ranking.PythonRanking.lists",
        lambda self: [[0] for _ in self.users],
    )
    assert measured(CELL, small_folder)["mmgraph"]["difference"] > 0.1


@pytest.mark.parametrize("vectors", ["grid", "normal"])
def test_the_block_changes_no_metric(small_folder: Path, vectors: str) -> None:
    alone = dataclasses.replace(
        CELL, section="blocks", methods=("mmgraph",), repeats=1, vectors=vectors
    )
    lines = [
        measured(dataclasses.replace(alone, block=block), small_folder)["mmgraph"]
        for block in (1, 16, 1024)
    ]
    assert len({line["digest"] for line in lines}) == 1
    if lines[0]["peak_mib"] is None:
        pytest.skip("this system does not tell the peak")
    assert all(line["life_mib"] >= line["peak_mib"] for line in lines)


def test_products_on_the_grid_are_exact_in_any_order() -> None:
    user, item = draw_vectors(CELL, 50, 200)
    scores = user @ item.T
    turned = user.flip(1) @ item.flip(1).T
    exact = user.double() @ item.double().T
    assert torch.equal(scores, turned)
    assert torch.equal(scores.double(), exact)
    normal = dataclasses.replace(CELL, vectors="normal")
    user, item = draw_vectors(normal, 50, 200)
    assert not torch.equal((user @ item.T).double(), user.double() @ item.double().T)


def test_no_inner_product_on_the_grid_can_need_more_bits_than_float32_has() -> None:
    """Whatever is drawn, up to a width of 256: the largest sum, counted in steps of a product."""
    values = torch.cat(draw_vectors(dataclasses.replace(CELL, dim=256), 50, 200)).double()
    assert values.abs().max() <= 1
    bits = next(k for k in range(30) if torch.equal(values * 2**k, (values * 2**k).round()))
    assert 256 * 4**bits <= 2**24


def test_differences_and_digests_see_one_user() -> None:
    first = {"recall@5": np.array([0.5, 0.25]), "hit@5": np.array([1.0, 1.0])}
    other = {name: values.copy() for name, values in first.items()}
    assert largest_difference(first, other) == 0
    assert digest(first) == digest(dict(reversed(list(other.items()))))
    other["recall@5"][1] += 1e-9
    assert largest_difference(first, other) == pytest.approx(1e-9)
    assert digest(first) != digest(other)


@pytest.mark.parametrize("profile", list(PROFILES))
def test_profiles_have_duels_memory_and_blocks(profile: str) -> None:
    cells = choose_cells(BENCHMARK, profile, EvaluationChoice({"a": "a", "b": "b"}))
    assert len(cells) == len(set(cells))
    assert {(cell.section, cell.data) for cell in cells} == {
        (section, data) for section in ("duel", "alone", "blocks") for data in "ab"
    }
    blocks = [cell.block for cell in cells if cell.section == "blocks" and cell.data == "a"]
    assert set(blocks) <= set(BLOCKS)
    assert blocks == sorted(blocks)


def test_options_restrict_a_profile() -> None:
    choice = EvaluationChoice({"a": "a"}, sections=["blocks"], blocks=[64, 8192], dim=8)
    cells = choose_cells(BENCHMARK, "regular", choice)
    assert [(cell.block, cell.dim) for cell in cells] == [(64, 8), (8192, 8)]


def test_the_program_measures_and_the_page_shows_it(
    small_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "evaluation" / "small.jsonl"
    arguments = ["--dataset", str(small_folder), "--blocks", "64", "--repeats", "1"]
    arguments += ["--threads", "1", "--section", "duel", "blocks", "--json", str(out)]
    lines = run(BENCHMARK, arguments)
    assert [line["status"] for line in lines] == [OK] * 3
    assert "taking turns" in " ".join(capsys.readouterr().out.split())  # where the title is broken
    report.main(["--results", str(tmp_path), "--out", str(tmp_path / "docs")])
    text = (tmp_path / "docs" / "evaluation.md").read_text()
    assert "### In turn with the plain way" in text
    assert "| lists |" in text
    assert "small, 1 threads: the same metrics to the last bit." in text
    pytest.importorskip("matplotlib")
    (picture,) = (tmp_path / "docs").glob("evaluation_*_ratio.png")
    assert f"({picture.name})" in text


def test_metrics_that_differ_are_named_on_the_page(tmp_path: Path, small_folder: Path) -> None:
    cell = dataclasses.replace(
        CELL, section="blocks", methods=("mmgraph",), repeats=1, vectors="normal"
    )
    line = measured(cell, small_folder)["mmgraph"]
    line |= {
        "peak_mib": 1.0,  # what a small board needs may not be seen, and has no place in the picture then
        "measured_at": "2026-01-02T00:00:00",
        "environment": {
            "processor": "Some CPU",
            "cores": 2,
            "memory_gb": 16,
            "python": "3.11",
            "packages": {"torch": "2"},
            "commit": None,
        },
    }
    other = {**line, "cell": {**line["cell"], "block": 32}, "digest": "0"}
    (tmp_path / "evaluation").mkdir()
    text = "".join(json.dumps(x) + "\n" for x in (line, other))
    (tmp_path / "evaluation" / "x.jsonl").write_text(text)
    report.main(["--results", str(tmp_path), "--out", str(tmp_path)])
    assert "small, 1 threads: metrics differ." in (tmp_path / "evaluation.md").read_text()
    pytest.importorskip("matplotlib")
    assert (tmp_path / "evaluation_some_cpu_blocks.png").read_bytes()[:4] == b"\x89PNG"
