"""What is measured: a cell is one piece of work and the methods that do it in one process."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

OURS, PLAIN = "mmgraph", "plain"

OK, FAILED, TIMEOUT = "ok", "failed", "out of time"
MISSING, SKIPPED = "not installed", "skipped"
FINAL = (OK, MISSING, SKIPPED)
"""What a resumed run does not try again."""


@dataclass(frozen=True)
class Cell:
    """One piece of work, and who does it; every benchmark adds what its work is about.

    Several methods in a cell take turns, so that their seconds can be divided by each other. A cell
    of one method has the process for itself, so its memory is measured too.

    Attributes:
        section: Where the page shows it.
        what: The kind of work.
        methods: Names in the benchmark's table of methods.
        data: Kind of made data, or the name of a data set.
        repeats: Timed calls of each method.
        threads: Threads of each method.
        device: ``cpu`` or ``cuda``.
        seed: Of data and methods.
        time_limit: Seconds after which the process is ended.
    """

    section: str
    what: str
    methods: tuple[str, ...]
    data: str
    repeats: int = field(default=1, kw_only=True)
    threads: int = field(default=2, kw_only=True)
    device: str = field(default="cpu", kw_only=True)
    seed: int = field(default=0, kw_only=True)
    time_limit: float = field(default=1800.0, kw_only=True)

    @property
    def alone(self) -> bool:
        """Whether memory is measured: the process does nothing else."""
        return len(self.methods) == 1

    def title(self) -> str:
        """Return a short description without the methods."""
        return self.data

    def to_json(self) -> dict[str, Any]:
        """Return the cell as JSON values."""
        return {**dataclasses.asdict(self), "methods": list(self.methods)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the cell that :meth:`to_json` wrote."""
        return cls(**{**values, "methods": tuple(values["methods"])})


def identity(values: Mapping[str, Any]) -> str:
    """Return what makes two cells the same piece of work; the time limit does not count.

    Example:
        >>> identity({"what": "knn", "time_limit": 5}) == identity({"time_limit": 9, "what": "knn"})
        True
    """
    return repr(sorted((key, value) for key, value in values.items() if key != "time_limit"))


def outcome_line(
    benchmark: str, cell: Cell, method: str, status: str, reason: str = "", **facts: Any
) -> dict[str, Any]:
    """Return one line of a result file: a method in a cell, measured or not, and why not."""
    return {
        "benchmark": benchmark,
        "cell": cell.to_json(),
        "method": method,
        "status": status,
        "reason": reason,
        **facts,
    }
