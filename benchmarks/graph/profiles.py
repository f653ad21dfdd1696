"""Which cells a profile has, and what the options leave of them."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.graph.cells import GraphCell, What

SHAPES = ((7050, 4096), (23033, 384), (23033, 4096), (100_000, 384))
"""Items and columns of data sets that papers build such graphs from, and a catalogue."""

_DUEL = ("mmgraph", "faiss-flat", "torch-dense")
_COUNTS = ("mmgraph", "scipy", "sparse-dot-topn", "dict")
_HOUR = 3600.0


@dataclass(frozen=True)
class Choice:
    """What the user asked for.

    Attributes:
        datasets: Name to folder or bundled name, of the cells that are about a data set.
        shapes: Sizes that take the place of those of the profile.
    """

    datasets: dict[str, str]
    only: Sequence[What] = ()
    rows: Sequence[int] = ()
    dim: Sequence[int] = ()
    data: Sequence[str] = ()
    methods: Sequence[str] = ()
    sections: Sequence[str] = ()
    shapes: Sequence[tuple[int, int]] = ()
    k: int | None = None
    repeats: int | None = None
    threads: int = 2
    device: str = "cpu"
    seed: int = 0
    time_limit: float | None = None


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
    ours = ("mmgraph-ivf", "mmgraph-hnsw")
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


def choose_cells(profile: str, choice: Choice) -> list[GraphCell]:
    """Return the cells of a profile that the choice leaves, each once, in order."""
    cells: dict[GraphCell, None] = {}
    for cell in PROFILES[profile](list(choice.datasets)):
        for sized in _with_shapes(cell, choice):
            kept = _restricted(sized, choice)
            if kept is not None:
                cells[kept] = None
    return list(cells)


def _with_shapes(cell: GraphCell, choice: Choice) -> Iterator[GraphCell]:
    if cell.what != "knn" or not choice.shapes:
        yield cell
        return
    for rows, dim in choice.shapes:
        yield dataclasses.replace(cell, rows=rows, dim=dim)


def _restricted(cell: GraphCell, choice: Choice) -> GraphCell | None:
    """Return the cell as the options want it, or None if they leave it out."""
    methods = cell.methods
    if "torch-dense" in methods and not cell.alone and choice.device != "cpu":
        methods = (*methods, "torch-blocks")  # the peer on a device, where it has no N x N matrix
    methods = tuple(m for m in methods if not choice.methods or m in choice.methods)
    sized = cell.what == "knn"
    refused = (
        not methods,
        choice.only and cell.what not in choice.only,
        choice.sections and cell.section not in choice.sections,
        sized and choice.rows and cell.rows not in choice.rows,
        sized and choice.dim and cell.dim not in choice.dim,
        sized and choice.data and cell.data not in choice.data,
    )
    if any(refused):
        return None
    return dataclasses.replace(
        cell,
        methods=methods,
        k=choice.k if choice.k is not None and sized else cell.k,
        repeats=choice.repeats or cell.repeats,
        threads=choice.threads,
        device=choice.device,
        seed=choice.seed,
        time_limit=choice.time_limit or cell.time_limit,
    )
