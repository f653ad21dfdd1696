"""What the user asked for: which cells of a profile, with which values in place of its own."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from benchmarks.cells import Cell

AnyCell = TypeVar("AnyCell", bound=Cell)


@dataclass(frozen=True)
class Choice:
    """Base of the choices; a benchmark adds what its cells have more.

    Attributes:
        datasets: Name to folder or bundled name, of the cells that are about a data set.
        only: Kinds of work; all of them if empty.
        sections: Parts of the profile; all of them if empty.
        methods: Names of methods; all of them if empty.
        seed: Added to that of each cell.
    """

    datasets: dict[str, str]
    only: Sequence[str] = ()
    sections: Sequence[str] = ()
    methods: Sequence[str] = ()
    repeats: int | None = None
    threads: int = 2
    device: str = "cpu"
    seed: int = 0
    time_limit: float | None = None

    def select(self, cells: Iterable[Cell]) -> list[Cell]:
        """Return what the choice leaves of some cells, each once, in order."""
        kept: dict[Cell, None] = {}
        for cell in cells:
            for variant in self.variants(cell):
                fitted = self._fitted(variant)
                if fitted is not None:
                    kept[fitted] = None
        return list(kept)

    def variants(self, cell: AnyCell) -> Iterator[AnyCell]:
        """Yield the cell with the sizes that take the place of its own."""
        yield cell

    def allows(self, cell: AnyCell) -> bool:
        """Return whether the cell is one of those that the benchmark's own options leave."""
        del cell
        return True

    def methods_of(self, cell: AnyCell) -> tuple[str, ...]:
        """Return the methods of the cell on the device of the choice."""
        return cell.methods

    def _fitted(self, cell: AnyCell) -> AnyCell | None:
        methods = tuple(
            name for name in self.methods_of(cell) if not self.methods or name in self.methods
        )
        refused = (
            not methods,
            self.only and cell.what not in self.only,
            self.sections and cell.section not in self.sections,
            not self.allows(cell),
        )
        if any(refused):
            return None
        return dataclasses.replace(
            cell,
            methods=methods,
            repeats=self.repeats or cell.repeats,
            threads=self.threads,
            device=self.device,
            seed=self.seed + cell.seed,
            time_limit=self.time_limit or cell.time_limit,
        )
