"""A task: a piece of work with its input in place, let to each method in turn and judged afterwards."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.cells import Cell
from benchmarks.methods import Method


@dataclass(frozen=True)
class Outcome:
    """What one call answered.

    Attributes:
        phases: Seconds of its parts, in order.
        settings: What it decided or was told, for the record.
        value: The answer itself, for :meth:`Task.judge`.
        seconds: Of what is compared, where that is not the whole call.
    """

    phases: dict[str, float]
    settings: dict[str, Any] = field(default_factory=dict)
    value: Any = None
    seconds: float | None = None


class Task:
    """Base of all tasks; made once in the process of a cell, which prepares the input.

    Args:
        cell: What to do.
    """

    def __init__(self, cell: Cell) -> None:
        self.work = cell

    def refusal(self, name: str) -> str:
        """Return why a method cannot do it here, or an empty string."""
        del name
        return ""

    def warm_up(self, method: Method, name: str) -> None:
        """Let a method load and compile what it needs: by default, do the whole work."""
        self.get_ready(method, name)
        self.run(method, name)

    def get_ready(self, method: Method, name: str) -> None:
        """Make, once, what a method works with; it is no part of the seconds, but of the memory."""

    def run(self, method: Method, name: str) -> Outcome:
        """Let a method do the work once."""
        raise TypeError(f"{type(self).__name__} must define run()")

    def spared(self, outcome: Outcome) -> float:
        """Return the seconds of a call that a baseline does not pay for when it is compared."""
        del outcome
        return 0.0

    def observe_machine(self) -> None:
        """Measure what the machine reaches now; called before the methods and after every round."""

    def machine_facts(self) -> dict[str, Any]:
        """Return what :meth:`observe_machine` found, for every line."""
        return {}

    def facts(self, method: Method, median_s: float, phases: Mapping[str, float]) -> dict[str, Any]:
        """Return figures that follow from the seconds of a method."""
        del method, median_s, phases
        return {}

    def judge(self, outcomes: Mapping[str, Outcome]) -> dict[str, dict[str, Any]]:
        """Return for each method how right its last answer is."""
        return {name: {} for name in outcomes}


def free_bytes(device: str) -> int:
    """Return the memory that is free on a device; 0 where the system does not tell."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    free = [line for line in lines if line.startswith("MemAvailable")]
    return int(free[0].split()[1]) * 1024 if free else 0
