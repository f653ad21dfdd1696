"""Cells of the graph benchmark."""

from dataclasses import dataclass
from typing import Literal

from benchmarks.cells import Cell

What = Literal["knn", "cointeraction", "build"]
SECTIONS = ("duel", "alone", "rivals", "scaling", "catalogue", "disk")


@dataclass(frozen=True)
class GraphCell(Cell):
    """Building graphs.

    ``what`` is ``knn`` for neighbour lists, ``cointeraction`` for counts, ``build`` for all graphs from
    raw files; ``data`` is a kind of made features or the name of a data set.

    Attributes:
        rows: Items; 0 where the data set says how many.
        dim: Columns; for ``build`` the width of one more modality (0 for none).
        k: Neighbours of each row; for ``cointeraction`` edges of each node, 0 for all.
        storage: ``memory``, or ``disk`` for features memory-mapped from a file.
        side: For ``cointeraction``: ``item`` or ``user``.
        max_memory: Bytes that mmgraph may work with, None for no limit.
    """

    what: What
    rows: int = 0
    dim: int = 0
    k: int = 10
    dtype: str = "float32"
    storage: str = "memory"
    side: str = "item"
    max_memory: int | None = None

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
