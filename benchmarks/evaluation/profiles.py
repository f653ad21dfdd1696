"""Which cells a profile has, and what the options leave of them."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.cells import OURS, PLAIN
from benchmarks.choice import Choice
from benchmarks.evaluation.cells import EvaluationCell

BLOCKS = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
_BOTH = (OURS, PLAIN)
_HOUR = 3600.0


def fast(datasets: Sequence[str]) -> Iterator[EvaluationCell]:
    """Yield small cells that finish within a minute on an ordinary machine."""
    for name in datasets:
        yield EvaluationCell("duel", "ranking", _BOTH, name, repeats=3, time_limit=300)
        yield from _alone(name, time_limit=300)
        yield from _blocks(name, BLOCKS[::2], time_limit=120)


def regular(datasets: Sequence[str]) -> Iterator[EvaluationCell]:
    """Yield full rankings next to the plain way, their memory, and every block size."""
    for name in datasets:
        yield EvaluationCell("duel", "ranking", _BOTH, name, repeats=5, time_limit=2 * _HOUR)
        yield from _alone(name, time_limit=_HOUR)
        yield from _blocks(name, BLOCKS, repeats=3, time_limit=_HOUR)


PROFILES: dict[str, Callable[[Sequence[str]], Iterator[EvaluationCell]]] = {
    "fast": fast,
    "regular": regular,
}


def _alone(name: str, **more: Any) -> Iterator[EvaluationCell]:
    for way in _BOTH:
        yield EvaluationCell("alone", "ranking", (way,), name, **more)


def _blocks(name: str, blocks: Sequence[int], **more: Any) -> Iterator[EvaluationCell]:
    for block in blocks:
        yield EvaluationCell(
            "blocks", "ranking", (OURS,), name, block=block, vectors="normal", **more
        )


@dataclass(frozen=True)
class EvaluationChoice(Choice):
    """What the user asked for.

    Attributes:
        dim: Width of the vectors, in place of that of the profile.
        blocks: Block sizes that are left of the section about them.
    """

    dim: int | None = None
    blocks: Sequence[int] = ()

    def variants(self, cell: Any) -> Iterator[Any]:
        """Yield the cell with the width asked for."""
        yield dataclasses.replace(cell, dim=self.dim or cell.dim)

    def allows(self, cell: Any) -> bool:
        """Return whether the block is one of those asked for."""
        return cell.section != "blocks" or not self.blocks or cell.block in self.blocks
