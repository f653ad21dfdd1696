"""Which cells a profile has, and what the options leave of them."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.choice import Choice
from benchmarks.graph.cells import GraphCell

SHAPES = ((7050, 4096), (23033, 384), (23033, 4096), (100_000, 384))
"""Items and columns of data sets that papers build such graphs from, and a catalogue."""

_DUEL = ("mmgraph", "faiss-flat", "torch-dense")
_COUNTS = ("mmgraph", "scipy", "sparse-dot-topn", "dict")
_HOUR = 3600.0


def fast(datasets: Sequence[str]) -> Iterator[GraphCell]:
    """Yield small cells that finish within a minute on an ordinary machine."""
    for data in ("clustered", "isotropic"):
        yield GraphCell("duel", "knn", _DUEL, data, 4000, 512, repeats=3, time_limit=120)
    for method in _DUEL:
        yield GraphCell("alone", "knn", (method,), "clustered", 4000, 512, time_limit=120)
    approximate = ("mmgraph-hnsw", "mmgraph-ivf", "faiss-hnsw", "usearch")
    yield GraphCell("rivals", "knn", approximate, "clustered", 5000, 64, repeats=3, time_limit=120)
    for name in datasets:
        yield GraphCell("duel", "cointeraction", _COUNTS, name, k=10, repeats=2, time_limit=120)
        yield GraphCell("duel", "build", ("mmgraph", "plain"), name, repeats=1, time_limit=120)


def regular(datasets: Sequence[str]) -> Iterator[GraphCell]:
    """Yield the exact searches at four sizes, counts and builds, and how time and memory grow."""
    limit = 2 * _HOUR
    for rows, dim in SHAPES:
        for data in ("clustered", "imagelike", "isotropic"):
            yield GraphCell("duel", "knn", _DUEL, data, rows, dim, repeats=5, time_limit=limit)
        for method in _DUEL:
            yield GraphCell("alone", "knn", (method,), "clustered", rows, dim, time_limit=limit)
    others = ("mmgraph", "faiss-flat", "sklearn", "pyg", *_approximate(tuned=False))
    yield GraphCell("rivals", "knn", others, "clustered", 23033, 384, repeats=3, time_limit=limit)
    for name in datasets:
        yield from _interactions(name, time_limit=_HOUR)
        for dim in (0, 4096):
            ways = ("mmgraph", "plain")
            yield GraphCell("duel", "build", ways, name, 0, dim, repeats=5, time_limit=_HOUR)
            for way in ways:
                yield GraphCell("alone", "build", (way,), name, 0, dim, time_limit=_HOUR)
    yield from _scaling((1000, 3162, 10_000, 31_623, 100_000), _DUEL)


def large(datasets: Sequence[str]) -> Iterator[GraphCell]:
    """Yield a million rows: approximate ways side by side, features on disk, the exact ways once."""
    for method in ("mmgraph-auto", *_approximate(tuned=True)):
        yield GraphCell(
            "catalogue", "knn", (method,), "clustered", 1_000_000, 128, time_limit=2 * _HOUR
        )
    for dtype in ("float16", "float32"):
        yield GraphCell(
            "disk",
            "knn",
            ("mmgraph",),
            "clustered",
            1_000_000,
            256,
            dtype=dtype,
            storage="disk",
            max_memory=3_300_000_000,
            time_limit=6 * _HOUR,
        )
    yield from _scaling((316_228, 1_000_000), ("mmgraph", "faiss-flat"))


PROFILES: dict[str, Callable[[Sequence[str]], Iterator[GraphCell]]] = {
    "fast": fast,
    "regular": regular,
    "large": large,
}


def _approximate(*, tuned: bool) -> tuple[str, ...]:
    ours = ("mmgraph-ivf", "mmgraph-hnsw", "mmgraph-nndescent")
    others = ("faiss-ivf", "faiss-hnsw", "pynndescent", "usearch")
    more = tuple(f"{name}-tuned" for name in others) if tuned else ()
    return ours + others + more


def _interactions(name: str, time_limit: float) -> Iterator[GraphCell]:
    for side, k in (("item", 0), ("item", 10), ("user", 10)):
        yield GraphCell(
            "duel",
            "cointeraction",
            _COUNTS,
            name,
            k=k,
            side=side,
            repeats=3,
            time_limit=time_limit,
        )
    for way in _COUNTS[:3]:
        yield GraphCell("alone", "cointeraction", (way,), name, k=10, time_limit=time_limit)


def _scaling(sizes: Sequence[int], methods: Sequence[str]) -> Iterator[GraphCell]:
    for rows in sizes:
        repeats = 5 if rows <= 31_623 else 1
        for method in methods:
            yield GraphCell(
                "scaling",
                "knn",
                (method,),
                "clustered",
                rows,
                128,
                repeats=repeats,
                time_limit=3 * _HOUR,
            )


@dataclass(frozen=True)
class GraphChoice(Choice):
    """What the user asked for.

    Attributes:
        rows: Items of the neighbour searches that are left.
        dim: Their columns.
        data: Their kinds of features.
        shapes: Sizes that take the place of those of the profile.
        k: Neighbours of each item, in place of that of the profile.
    """

    rows: Sequence[int] = ()
    dim: Sequence[int] = ()
    data: Sequence[str] = ()
    shapes: Sequence[tuple[int, int]] = ()
    k: int | None = None

    def variants(self, cell: Any) -> Iterator[Any]:
        """Yield the cell in the shapes asked for, with the k asked for."""
        if cell.what != "knn":
            yield cell
            return
        k = self.k if self.k is not None else cell.k
        for rows, dim in self.shapes or [(cell.rows, cell.dim)]:
            yield dataclasses.replace(cell, rows=rows, dim=dim, k=k)

    def allows(self, cell: Any) -> bool:
        """Return whether the size and the features are among those asked for."""
        wanted = ((self.rows, cell.rows), (self.dim, cell.dim), (self.data, cell.data))
        return cell.what != "knn" or all(not few or value in few for few, value in wanted)

    def methods_of(self, cell: Any) -> tuple[str, ...]:
        """Add the peer on a device, where it has no N x N matrix."""
        methods: tuple[str, ...] = cell.methods
        if "torch-dense" in methods and not cell.alone and self.device != "cpu":
            methods = (*methods, "torch-blocks")
        return methods
