"""Cells of the evaluation benchmark."""

from dataclasses import dataclass
from typing import Literal

from benchmarks.cells import Cell

What = Literal["ranking"]
SECTIONS = ("duel", "alone", "blocks")


@dataclass(frozen=True)
class EvaluationCell(Cell):
    """Full ranking: all items for every user of a data set who has test items, and all metrics.

    Attributes:
        dim: Width of user and item vectors.
        block: Users scored at once.
        vectors: ``grid`` for numbers whose inner products are exact up to a width of 256, so that every
            way must find the same lists; ``normal`` for numbers whose products are rounded, as those of a model are.
    """

    what: What
    dim: int = 64
    block: int = 1024
    vectors: str = "grid"

    def title(self) -> str:
        """Return a short description without the methods.

        Example:
            >>> EvaluationCell("duel", "ranking", ("mmgraph",), "movielens-small").title()
            'movielens-small, 64 dimensions, blocks of 1,024 users'
        """
        return f"{self.data}, {self.dim} dimensions, blocks of {self.block:,} users"
