"""What is measured: a cell is one piece of work and the methods that do it in one process."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

What = Literal["knn", "cointeraction", "build"]
WHATS: tuple[What, ...] = ("knn", "cointeraction", "build")
SECTIONS = ("duel", "alone", "rivals", "scaling", "catalogue", "disk")

OK, FAILED, TIMEOUT = "ok", "failed", "out of time"
MISSING, SKIPPED = "not installed", "skipped"
FINAL = (OK, MISSING, SKIPPED)
"""What a resumed run does not try again."""


@dataclass(frozen=True)
class GraphCell:
    """One piece of work, and who does it.

    Several methods in a cell take turns, so that their seconds can be divided by each other. A cell
    of one method has the process for itself, so its memory is measured too.

    Attributes:
        section: Where the page shows it, one of ``SECTIONS``.
        what: ``knn`` builds neighbour lists, ``cointeraction`` counts, ``build`` does all graphs
            from raw files.
        methods: Names in ``benchmarks.graph.methods``.
        data: Kind of made features, or the name of a data set.
        rows: Items; 0 where the data set says how many.
        dim: Columns; for ``build`` the width of one more modality (0 for none).
        k: Neighbours of each row; for ``cointeraction`` edges of each node, 0 for all.
        storage: ``memory``, or ``disk`` for features memory-mapped from a file.
        side: For ``cointeraction``: ``item`` or ``user``.
        max_memory: Bytes that mmgraph may work with, None for no limit.
        time_limit: Seconds after which the process is ended.
    """

    section: str
    what: What
    methods: tuple[str, ...]
    data: str
    rows: int = 0
    dim: int = 0
    k: int = 10
    repeats: int = 1
    threads: int = 2
    device: str = "cpu"
    seed: int = 0
    dtype: str = "float32"
    storage: str = "memory"
    side: str = "item"
    max_memory: int | None = None
    time_limit: float = 1800.0

    @property
    def alone(self) -> bool:
        """Whether memory is measured: the process does nothing else."""
        return len(self.methods) == 1

    def title(self) -> str:
        """Return a short description without the methods.

        Example:
            >>> GraphCell("duel", "knn", ("mmgraph",), "clustered", 7050, 4096).title()
            'clustered 7,050 x 4,096'
        """
        if self.what == "cointeraction":
            kept = f"top {self.k}" if self.k else "all pairs"
            return f"{self.data} {self.side}-{self.side}, {kept}"
        if self.what == "build":
            return f"{self.data} + {self.dim:,} columns" if self.dim else self.data
        storage = f" {self.dtype} on disk" if self.storage == "disk" else ""
        return f"{self.data} {self.rows:,} x {self.dim:,}{storage}"


def to_json(cell: GraphCell) -> dict[str, Any]:
    """Return the cell as JSON values."""
    return {**dataclasses.asdict(cell), "methods": list(cell.methods)}


def from_json(values: Mapping[str, Any]) -> GraphCell:
    """Return the cell that :func:`to_json` wrote."""
    return GraphCell(**{**values, "methods": tuple(values["methods"])})


def identity(values: Mapping[str, Any]) -> str:
    """Return what makes two cells the same piece of work; the time limit does not count."""
    return repr(sorted((key, value) for key, value in values.items() if key != "time_limit"))


def outcome_line(
    cell: GraphCell, method: str, status: str, reason: str = "", **facts: Any
) -> dict[str, Any]:
    """Return one line of a result file: a method in a cell, measured or not, and why not."""
    return {
        "benchmark": "graph",
        "cell": to_json(cell),
        "method": method,
        "status": status,
        "reason": reason,
        **facts,
    }
