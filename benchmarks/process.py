"""One cell in a process of its own: ``python -m benchmarks.process``, JSON in and JSON lines out.

Reads ``{"benchmark": ..., "cell": ..., "place": ..., "folder": ...}`` from standard input. Writes a
line ``{"event": "call", ...}`` as each call begins and, last, a line ``{"event": "lines", ...}``.
What libraries print goes to standard error.
"""

import functools
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.benchmark import Benchmark, load_benchmark
from benchmarks.bound import synchronize
from benchmarks.cells import FAILED, MISSING, OK, SKIPPED, Cell, outcome_line
from benchmarks.harness import peak_memory, process_memory, quartiles, set_threads
from benchmarks.methods import Method
from benchmarks.tasks import Outcome, Task

_ROUNDS_SHARE = 0.8
"""No round begins that would end after this share of the time limit."""


@dataclass
class Taken:
    """What one method took in one cell."""

    seconds: list[float] = field(default_factory=list)
    compared: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    phases: dict[str, list[float]] = field(default_factory=dict)
    memory: dict[str, float | None] = field(default_factory=dict)
    outcome: Outcome | None = None
    status: str = OK
    reason: str = ""


class CellRun:
    """Measures the methods of one cell in turn."""

    def __init__(
        self, benchmark: Benchmark, cell: Cell, task: Task, say: Callable[[dict[str, Any]], None]
    ) -> None:
        self.benchmark, self.cell, self.task, self.say = benchmark, cell, task, say
        self.begun = time.monotonic()
        self.taken = {name: Taken() for name in cell.methods}
        self.gpu = cell.device.startswith("cuda")

    def __call__(self) -> list[dict[str, Any]]:
        """Warm up, measure, judge; return the lines of the result file."""
        self.task.observe_machine()
        for name in self.cell.methods:
            self.prepare(name)
        if self.cell.alone:
            self.measure_memory(self.cell.methods[0])
        last = 0.0
        for repeat in range(1 if self.cell.alone else 0, self.cell.repeats):
            left = _ROUNDS_SHARE * self.cell.time_limit - (time.monotonic() - self.begun)
            if repeat and left < last:
                break
            begin = time.monotonic()
            names = self.cell.methods if repeat % 2 == 0 else self.cell.methods[::-1]
            for name in names:
                self.guarded(name, repeat, functools.partial(self.call, name))
            self.task.observe_machine()
            last = time.monotonic() - begin
        return self.lines()

    def prepare(self, name: str) -> None:
        """Find out whether a method can take part; warm it up."""
        method, taken = self.method(name), self.taken[name]
        if method.is_missing():
            taken.status, taken.reason = MISSING, f"not installed: {method.install}"
        elif reason := self.task.refusal(name):
            taken.status, taken.reason = SKIPPED, reason
        else:
            self.guarded(name, -1, lambda: self.task.warm_up(method, name))

    def guarded(self, name: str, repeat: int, work: Callable[[], object]) -> None:
        """Do a part of the work of a method that is still well; note what goes wrong."""
        taken = self.taken[name]
        if taken.status != OK:
            return
        self.say({"event": "call", "method": name, "repeat": repeat, "of": self.cell.repeats})
        try:
            work()
        except Exception as error:
            message = " ".join(str(error).split()) or "no message"
            taken.status, taken.reason = FAILED, f"{type(error).__name__}: {message}"

    def measure_memory(self, name: str) -> None:
        """Call once and note how far the memory of the process rises above what is there already."""
        taken = self.taken[name]
        if self.gpu:
            torch.cuda.reset_peak_memory_stats(self.cell.device)

        def call() -> None:
            self.guarded(name, 0, lambda: self.call(name))

        before = process_memory("VmHWM")
        peak = peak_memory(call)
        if peak is None:  # the system does not let the peak be reset
            call()
        if taken.status == OK:
            taken.memory["peak_mib"] = peak
            taken.memory["process_mib"] = process_memory("VmHWM")
            taken.memory["life_mib"] = max(before, process_memory("VmHWM"))
            if self.gpu:
                most = torch.cuda.max_memory_allocated(self.cell.device)
                taken.memory["device_peak_mib"] = most / 2**20

    def call(self, name: str) -> None:
        """Time one call."""
        taken = self.taken[name]
        method = self.method(name)
        taken.outcome = None  # the answer of the call before is not this call's memory
        self.task.get_ready(method, name)
        gc.collect()
        begin, cpu_begin = time.perf_counter(), time.process_time()
        outcome = self.task.run(method, name)
        synchronize(self.cell.device)
        seconds = time.perf_counter() - begin
        taken.cpu_seconds.append(time.process_time() - cpu_begin)
        if outcome.seconds is not None:
            seconds = outcome.seconds
        taken.seconds.append(seconds)
        # Our side is compared with everything it does, a baseline without what it is spared.
        spared = self.task.spared(outcome) if name in self.baselines() else 0.0
        taken.compared.append(seconds - spared)
        for phase, value in outcome.phases.items():
            taken.phases.setdefault(phase, []).append(value)
        taken.outcome = outcome

    def lines(self) -> list[dict[str, Any]]:
        """Return what was measured, a line for each method."""
        outcomes = {
            name: taken.outcome
            for name, taken in self.taken.items()
            if taken.status == OK and taken.outcome is not None
        }
        judged = self.task.judge(outcomes) if outcomes else {}
        gpu = torch.cuda.get_device_name(self.cell.device) if self.gpu else None
        shared = {**self.task.machine_facts(), "gpu": gpu}
        return [
            self.line(name, taken.status, taken.reason, **shared)
            if name not in outcomes
            else self.line(name, OK, **self.facts(name), **judged[name], **shared)
            for name, taken in self.taken.items()
        ]

    def line(self, name: str, status: str, reason: str = "", **facts: Any) -> dict[str, Any]:
        """Return the line of a method."""
        return outcome_line(self.benchmark.name, self.cell, name, status, reason, **facts)

    def facts(self, name: str) -> dict[str, Any]:
        """Return the figures of a method that ran."""
        taken = self.taken[name]
        assert taken.outcome is not None
        q25, median, q75 = quartiles(taken.seconds)
        phases = {key: statistics.median(value) for key, value in taken.phases.items()}
        return {
            "seconds": taken.seconds,
            "median_s": median,
            "q25_s": q25,
            "q75_s": q75,
            "best_s": min(taken.seconds),
            "cpu_median_s": statistics.median(taken.cpu_seconds),
            "phases": phases,
            "settings": taken.outcome.settings,
            "ratios": self.ratios(name),
            **taken.memory,
            **self.task.facts(self.method(name), median, phases),
        }

    def ratios(self, name: str) -> dict[str, float]:
        """Return, for each baseline that took turns with it, the median of seconds over seconds."""
        mine = self.taken[name].compared
        return {
            other: statistics.median(
                theirs / ours for theirs, ours in zip(self.taken[other].compared, mine, strict=True)
            )
            for other in self.baselines()
            if other != name and self.taken[other].status == OK and mine
        }

    def baselines(self) -> list[str]:
        """Return the baselines among the methods of the cell."""
        return [name for name in self.benchmark.baselines[self.cell.what] if name in self.taken]

    def method(self, name: str) -> Method:
        """Return a method by name."""
        return self.benchmark.find_method(self.cell.what, name)


def main() -> None:
    """Read the request, measure, answer."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(event: dict[str, Any]) -> None:
        answers.write(json.dumps(event, allow_nan=False) + "\n")
        answers.flush()

    request = json.load(sys.stdin)
    benchmark = load_benchmark(request["benchmark"])
    cell = benchmark.cell.from_json(request["cell"])
    set_threads(cell.threads)
    say({"event": "call", "method": "data", "repeat": -1, "of": cell.repeats})
    task = benchmark.make_task(cell, request["place"], Path(request["folder"]))
    say({"event": "lines", "lines": CellRun(benchmark, cell, task, say)()})


if __name__ == "__main__":
    main()
