"""The feature rows of a nearest-neighbour search: checked, measured, and freed of needless copies."""

import mmap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmgraph.errors import GraphError

Metric = Literal["cosine", "inner_product", "l2"]

_DONTNEED: int | None = getattr(mmap, "MADV_DONTNEED", None)

CHUNK_VALUES = 1 << 17
"""Values converted to float64 at a time by each thread: they fit into the cache of a core."""


@dataclass(frozen=True)
class FeatureRows:
    """The rows that take part in a search, numbered by position among themselves.

    Attributes:
        source: The matrix as it was given.
        present: Row of ``source`` of each taking part, ascending.
        square: Squared Euclidean length of each, float64.
        norm: Its square root.
        metric: How rows are compared.
    """

    source: NDArray[Any]
    present: NDArray[np.int64]
    square: NDArray[np.float64]
    norm: NDArray[np.float64]
    metric: Metric

    def __len__(self) -> int:
        """Return the number of rows that take part."""
        return len(self.present)

    @property
    def dim(self) -> int:
        """Width of a row."""
        return int(self.source.shape[1])

    @cached_property
    def scale(self) -> NDArray[np.float64]:
        """What each row is divided by for a search: its length (cosine), else the largest length."""
        if self.metric == "cosine":
            return self.norm
        return np.full(len(self), self.norm.max(initial=0.0) or 1.0)

    @property
    def unit(self) -> float:
        """What an exact score of two rows is divided by to be that of the scaled rows."""
        return 1.0 if self.metric == "cosine" else float(self.scale[0]) ** 2 if len(self) else 1.0

    def select(self, positions: NDArray[np.int64]) -> "FeatureRows":
        """Return some of the rows, by position."""
        return replace(
            self,
            present=self.present[positions],
            square=self.square[positions],
            norm=self.norm[positions],
        )


def read_matrix(x: NDArray[Any] | Tensor) -> NDArray[Any]:
    """View features as a numpy matrix of numbers, row after row in memory.

    There is no copy, unless the rows are not stored one after another.

    Raises:
        GraphError: Not a matrix of numbers.
    """
    if isinstance(x, Tensor):
        if x.layout is not torch.strided or (x.dtype.itemsize == 1 and x.is_floating_point()):
            raise GraphError(
                f"features must be a dense tensor of a common type (got {x.layout}, {x.dtype}); "
                "convert them to dense float32"
            )
        x = x.detach().cpu()
        x = (x.float() if x.dtype == torch.bfloat16 else x).numpy()
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "fiub":
        kind = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
        raise GraphError(
            f"features must be a numpy array or tensor of numbers (got {kind}); convert them to "
            "float32"
        )
    if x.ndim != 2 or x.shape[1] == 0:
        raise GraphError(
            f"features must have shape (num_items, dim) (got {x.shape}); one row for each item"
        )
    return np.asarray(x, dtype=x.dtype.newbyteorder("="), order="C")


def build_rows(source: NDArray[Any], present: NDArray[np.int64], metric: Metric) -> FeatureRows:
    """Measure the rows; under cosine, rows of zeros drop out.

    Args:
        source: Matrix of numbers.
        present: Rows of it to use.
        metric: How rows are compared.

    Returns:
        The rows.

    Raises:
        GraphError: Rows hold NaN or infinity, or a length is out of range.
    """
    square = np.empty(len(present))

    def measure(part: slice, buffer: NDArray[np.float64]) -> None:
        values = buffer[: part.stop - part.start]
        with np.errstate(over="ignore", invalid="ignore"):
            given = source[present[part]]
            np.multiply(given, given, out=values, dtype=np.float64)
            square[part] = sum_rows(values)

    for_chunks(len(present), source.shape[1], measure)
    suspects = np.flatnonzero(~((square >= 1e-290) & (square <= 1e300)))
    if len(suspects):
        _check_rows(source, present[suspects])
    if metric == "cosine" and not square.all():
        present, square = present[square > 0], square[square > 0]
    return FeatureRows(source, present, square, np.sqrt(square), metric)


def release_pages(source: NDArray[Any]) -> None:
    """Give back the memory that holds pages of a mapped file; they are read again when they are needed.

    Rows that lie in memory of their own are left alone, and so are mapped ones that were changed without the file.
    """
    base: Any = source
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap) and base.mode == "c":
            return
        base = base.base
    if isinstance(base, mmap.mmap) and _DONTNEED is not None:
        base.madvise(_DONTNEED)


def scaled_rows(
    rows: FeatureRows,
    positions: NDArray[np.int64],
    out: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Write rows divided by their scale into the top of ``out`` and return that part of it."""
    values = out[: len(positions)]
    np.divide(
        rows.source[rows.present[positions]],
        rows.scale[positions, None],
        out=values,
        dtype=np.float64,
    )
    return values


def for_chunks(
    num_rows: int,
    dim: int,
    work: Callable[[slice, NDArray[np.float64]], None],
    *,
    chunk_values: int | None = None,
) -> None:
    """Call ``work`` for every chunk of rows, in as many threads as torch uses.

    Every call gets a float64 buffer of its thread with room for the chunk: memory that is given
    back and asked for again for every chunk would cost more than the arithmetic.

    Args:
        num_rows: Number of rows.
        dim: Width of the buffer.
        work: Takes the rows of a chunk, as a slice, and the buffer.
        chunk_values: Size of the buffer; ``CHUNK_VALUES`` when None.
    """
    step = max(1, (chunk_values or CHUNK_VALUES) // dim)
    chunks = -(-num_rows // step)
    workers = max(1, min(torch.get_num_threads(), chunks))

    def run(worker: int) -> None:
        buffer = np.empty((min(step, num_rows), dim))
        for chunk in range(worker, chunks, workers):
            work(slice(chunk * step, min((chunk + 1) * step, num_rows)), buffer)

    if workers == 1:
        run(0)
        return
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(run, range(workers)))


def sum_rows(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum every row by folding it in half again and again, inside the given array.

    Element-wise additions only, in an order that depends on the width alone: a row has the same sum
    to the last bit whatever stands beside it, for any number of threads and any processor. Library
    sums promise none of that: they split rows by buffer and by vector width.

    Args:
        values: Matrix; used up.

    Returns:
        The sums.

    Example:
        >>> sum_rows(np.array([[1.0, 2.0, 3.0]])).tolist()
        [6.0]
    """
    width = values.shape[1]
    while width > 1:
        half = (width + 1) // 2
        values[:, : width - half] += values[:, half:width]
        width = half
    return values[:, 0].copy()


def run_sizes(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return how many equal values stand together, run by run.

    Example:
        >>> run_sizes(np.array([7, 7, 3, 7])).tolist()
        [2, 1, 1]
    """
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])[: len(values)])
    return np.diff(starts, append=len(values))


def rank_in_runs(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the members of each run from zero.

    Example:
        >>> rank_in_runs(np.array([2, 0, 3])).tolist()
        [0, 1, 0, 1, 2]
    """
    return np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def has_whole_numbers(rows: FeatureRows) -> bool:
    """Return whether every product of two rows is exact in float64, in any order of summation.

    So it is for one-hot rows, genres and counts: whole numbers, and not too large.
    """
    if rows.square.max(initial=0.0) >= 2.0**51:
        return False
    step = max(1, CHUNK_VALUES // rows.dim)
    for start in range(0, len(rows), step):
        values = rows.source[rows.present[start : start + step]].astype(np.float64)
        if not np.array_equal(values, np.rint(values)):
            return False
    return True


def find_copies(
    rows: FeatureRows, limit: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Tell the rows worth searching from needless copies.

    Of identical rows only the first ``limit`` can be anyone's neighbours, and the list of any other
    of them follows from the list of the first. Features made of few different rows (one-hot,
    genres, a default picture) would otherwise tie by the thousand.

    Args:
        rows: The rows.
        limit: How many copies of one row to keep.

    Returns:
        Positions that are kept, positions that are not, and for each of the latter the position of
        the first row that is identical to it. All ascending but the last.

    Complexity:
        O(items log items); rows are compared only where more than ``limit`` of them have exactly
        the same length.
    """
    order = np.argsort(rows.norm, kind="stable")
    sizes = run_sizes(rows.norm[order])
    suspects = np.sort(order[np.repeat(sizes > limit, sizes)])
    keep = np.ones(len(rows), dtype=bool)
    first = np.arange(len(rows))
    seen: dict[bytes, tuple[int, int]] = {}
    for position in suspects.tolist():
        row = rows.source[rows.present[position]]
        key = blake2b(row.tobytes(), digest_size=32).digest()
        original, copies = seen.get(key, (position, 0))
        seen[key] = original, copies + 1
        keep[position], first[position] = copies < limit, original
    dropped = np.flatnonzero(~keep)
    return np.flatnonzero(keep), dropped, first[dropped]


def _check_rows(source: NDArray[Any], numbers: NDArray[np.int64]) -> None:
    """Raise for rows that are not finite or too long or short; rows of zeros are fine."""
    bad, extreme = [], []
    for number in numbers.tolist():
        row = source[number]
        if not np.isfinite(row).all():
            bad.append(number)
        elif row.any():
            extreme.append(number)
    if bad:
        column = int(np.flatnonzero(~np.isfinite(source[bad[0]]))[0])
        raise GraphError(
            f"feature row {bad[0]} must be finite (got {source[bad[0], column]} in column {column};"
            f" {_listed(bad)}); correct the rows or mask the items out"
        )
    if extreme:
        largest = np.abs(source[extreme[0]].astype(np.float64)).max()
        raise GraphError(
            f"feature row {extreme[0]} must have a length between 1e-145 and 1e150 "
            f"(its largest value is {largest:g}; {_listed(extreme)}); rescale the features"
        )


def _listed(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:5]))
    return f"{len(numbers)} such {'row' if len(numbers) == 1 else 'rows'}: " + (
        shown if len(numbers) <= 5 else f"{shown}, ..."
    )
