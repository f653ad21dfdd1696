"""The harness alternates, summarises and keeps what it should; seconds are never judged."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.harness import (
    OURS,
    PLAIN,
    Samples,
    format_table,
    measure,
    peak_memory,
    quartiles,
    run_program,
    to_cells,
    write_cells,
)
from mmgraph.errors import DataError


def make_samples() -> dict[str, Samples]:
    return {
        OURS: Samples({"a": [1.0, 2.0, 4.0], "total": [2.0, 2.0, 5.0]}, [1.0, 1.0, 1.0], 10.0),
        PLAIN: Samples({"a": [3.0, 4.0, 4.0], "total": [8.0, 6.0, 5.0]}, [2.0, 2.0, 2.0], 20.0),
    }


def make_cells() -> list:
    return to_cells(
        make_samples(),
        benchmark="test",
        dataset="board",
        settings={"repeats": 3, "threads": 1},
        quality={"equal": 1.0},
        command="python -m nothing",
    )


def test_ways_take_turns_after_a_warm_up() -> None:
    calls: list[str] = []

    def way(name: str) -> dict[str, float]:
        calls.append(name)
        return {"part": 0.25}

    samples = measure({"x": lambda: way("x"), "y": lambda: way("y")}, repeats=3)
    assert calls == [*"xy", *"xyyxxy", *"xy"]  # warm-up, repeats, memory
    assert samples["x"].seconds["part"] == [0.25] * 3
    assert len(samples["x"].seconds["total"]) == len(samples["x"].cpu_seconds) == 3


def test_cells_have_medians_and_the_median_of_paired_ratios() -> None:
    cells = {(cell.phase, cell.way): cell for cell in make_cells()}
    assert [phase for phase, way in cells if way == OURS] == ["a", "total"]
    ours = cells["total", OURS]
    assert (ours.q25_s, ours.median_s, ours.q75_s, ours.best_s) == (2.0, 2.0, 3.5, 2.0)
    assert ours.ratio == 3.0  # of 4, 3, 1; the ratio of the medians is the same only by chance
    assert cells["a", OURS].ratio == 2.0
    assert cells["total", PLAIN].ratio is None
    assert cells["a", OURS].peak_mib is None
    assert ours.peak_mib == 10.0


def test_the_table_shows_every_phase() -> None:
    table = format_table(make_cells())
    assert [line.split()[0] for line in table.splitlines()[:5]] == [
        "phase",
        "a",
        "total",
        "processor",
        "peak",
    ]
    assert "3.00x" in table


def test_lines_are_json_and_name_no_folder(tmp_path: Path) -> None:
    write_cells(make_cells(), tmp_path / "new" / "x.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "new" / "x.jsonl").read_text().splitlines()]
    assert len(lines) == 4
    assert lines[0]["environment"]["packages"]["torch"]
    assert str(Path.cwd()) not in json.dumps(lines)
    assert not list(tmp_path.rglob("*.partial"))


def test_quartiles_of_one_value() -> None:
    assert quartiles([3.0]) == (3.0, 3.0, 3.0)


def test_peak_memory_sees_what_was_freed_again() -> None:
    rise = peak_memory(lambda: np.ones(50 << 17).sum())  # 50 MiB of float64
    if rise is None:
        pytest.skip("this system does not tell the peak")
    assert 45 < rise < 150


def test_bad_data_ends_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def program(arguments: object) -> None:
        raise DataError("x.csv: wrong")

    with pytest.raises(SystemExit) as stop:
        run_program(program)
    assert stop.value.code == 2
    assert capsys.readouterr().err == "x.csv: wrong\n"
