"""Methods take turns; medians, ratios and memory are those of the right calls."""

import dataclasses
from collections.abc import Callable, Iterator

import pytest

from benchmarks.benchmark import NAMES, Benchmark, load_benchmark
from benchmarks.cells import FAILED, OK, SKIPPED, Cell
from benchmarks.evaluation.benchmark import BENCHMARK as ANY
from benchmarks.methods import Method
from benchmarks.process import CellRun
from benchmarks.tasks import Outcome, Task

CELL = Cell("duel", "work", ("x", "y"), "none", repeats=3)


def make_benchmark() -> Benchmark:
    methods = {"work": {name: Method("nowhere:nothing") for name in "xyz"}}
    return dataclasses.replace(ANY, cell=Cell, methods=methods, baselines={"work": ("y",)})


class Scripted(Task):
    """Answers with seconds that were written down, and notes who was called."""

    def __init__(self, cell: Cell, **seconds: list[float]) -> None:
        super().__init__(cell)
        self.left: dict[str, Iterator[float]] = {name: iter(s) for name, s in seconds.items()}
        self.calls: list[str] = []
        self.kept: list[object] = []

    def refusal(self, name: str) -> str:
        return "not today" if name == "z" else ""

    def get_ready(self, method: Method, name: str) -> None:
        self.calls.append(f"ready {name}")

    def warm_up(self, method: Method, name: str) -> None:
        self.calls.append(f"warm {name}")

    def run(self, method: Method, name: str) -> Outcome:
        self.calls.append(name)
        seconds = next(self.left[name])
        return Outcome({"half": seconds / 2}, {"last": seconds}, name, seconds)

    def spared(self, outcome: Outcome) -> float:
        return 1.0

    def judge(self, outcomes: dict[str, Outcome]) -> dict[str, dict[str, object]]:
        return {name: {"answer": outcome.value} for name, outcome in outcomes.items()}


def lines_of(task: Scripted) -> dict[str, dict]:
    cell = task.work
    return {x["method"]: x for x in CellRun(make_benchmark(), cell, task, lambda event: None)()}


def test_ways_take_turns_after_a_warm_up() -> None:
    task = Scripted(CELL, x=[1.0, 2.0, 4.0], y=[4.0, 4.0, 5.0])
    lines = lines_of(task)
    calls = [call for call in task.calls if not call.startswith("ready")]
    assert calls == ["warm x", "warm y", "x", "y", "y", "x", "x", "y"]
    assert task.calls[2:4] == ["ready x", "x"]
    ours, other = lines["x"], lines["y"]
    assert (ours["seconds"], ours["median_s"], ours["best_s"]) == ([1.0, 2.0, 4.0], 2.0, 1.0)
    assert (ours["q25_s"], ours["q75_s"]) == (1.5, 3.0)
    assert ours["phases"] == {"half": 1.0}
    assert (ours["settings"], ours["answer"]) == ({"last": 4.0}, "x")
    # Of 3/1, 3/2, 4/4: the baseline is spared one second, and each quotient is of one round.
    assert ours["ratios"] == {"y": 1.5}
    assert other["ratios"] == {}
    assert "peak_mib" not in ours


def test_a_method_that_fails_or_is_refused_leaves_the_others_alone() -> None:
    cell = dataclasses.replace(CELL, methods=("x", "y", "z"))
    lines = lines_of(Scripted(cell, x=[1.0, 2.0, 3.0], y=[]))
    assert lines["x"]["status"] == OK
    assert lines["x"]["ratios"] == {}
    assert (lines["y"]["status"], lines["y"]["reason"]) == (FAILED, "StopIteration: no message")
    assert (lines["z"]["status"], lines["z"]["reason"]) == (SKIPPED, "not today")


class Hungry(Scripted):
    """Makes 40 MiB before the work and needs 20 more in it."""

    def __init__(self, cell: Cell, hold: Callable[[int], object], **seconds: list[float]) -> None:
        super().__init__(cell, **seconds)
        self.hold = hold

    def get_ready(self, method: Method, name: str) -> None:
        if not self.kept:
            self.kept.append(self.hold(40))

    def run(self, method: Method, name: str) -> Outcome:
        self.hold(20)
        return super().run(method, name)


def test_alone_the_making_counts_as_memory_and_not_as_time(hold: Callable[[int], object]) -> None:
    cell = dataclasses.replace(CELL, methods=("x",))
    line = lines_of(Hungry(cell, hold, x=[1.0, 2.0, 3.0]))["x"]
    if line["peak_mib"] is None:
        pytest.skip("this system does not tell the peak")
    assert 55 < line["peak_mib"] < 150
    assert line["life_mib"] >= line["process_mib"] > line["peak_mib"]
    assert line["seconds"] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_is_whole(name: str) -> None:
    benchmark = load_benchmark(name)
    assert benchmark.name == name
    assert set(benchmark.baselines) == set(benchmark.methods) >= set(benchmark.made)
    for what, baselines in benchmark.baselines.items():
        assert set(baselines) <= set(benchmark.methods[what])
    for methods in benchmark.methods.values():
        for method in methods.values():
            if not method.is_missing():
                assert callable(method.load())
