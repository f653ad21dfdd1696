"""The feature rows of a nearest-neighbour search: checked, measured, brought to float32."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmgraph.errors import GraphError

Metric = Literal["cosine", "inner_product", "l2"]

_CHUNK_VALUES = 1 << 20
"""Values converted to float64 at a time; a constant of memory, without influence on the result."""

_UNIT_ROUNDOFF = 2.0**-24


@dataclass(frozen=True)
class FeatureRows:
    """The rows that take part in a search.

    All arrays but ``source`` are numbered by position among the rows that take part.

    Attributes:
        source: The matrix as it was given.
        present: Row of ``source`` of each taking part, ascending.
        square: Squared Euclidean length of each, float64.
        norm: Its square root.
        search: The rows as float32 for the search, of length one (cosine) or at most one (the other
            metrics).
        bound: For each row as a query, how far a float32 score can be from the exact one, in units
            of ``search``.
        metric: How rows are compared.
    """

    source: NDArray[Any]
    present: NDArray[np.int64]
    square: NDArray[np.float64]
    norm: NDArray[np.float64]
    search: NDArray[np.float32]
    bound: NDArray[np.float64]
    metric: Metric

    def __len__(self) -> int:
        """Return the number of rows that take part."""
        return len(self.present)


def read_matrix(x: NDArray[Any] | Tensor) -> NDArray[Any]:
    """View features as a numpy matrix of numbers, without a copy wherever that is possible.

    Raises:
        GraphError: Not a matrix of numbers.
    """
    if isinstance(x, Tensor):
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
    return x


def build_rows(source: NDArray[Any], present: NDArray[np.int64], metric: Metric) -> FeatureRows:
    """Measure the rows and bring them to float32; under cosine, rows of zeros drop out.

    The error bound is the textbook one for an inner product of ``dim`` terms in any order of
    summation, ``(dim + 16) u / (1 - (dim + 16) u)`` times the lengths of both rows with ``u = 2 **
    -24``; the 16 pays for the rounding of the rows themselves and for the few extra steps of a
    squared distance.

    Args:
        source: Matrix of numbers.
        present: Rows of it to use.
        metric: How rows are compared.

    Returns:
        The rows.

    Raises:
        GraphError: A row holds NaN or infinity, or its length is out of range.
    """
    square = np.empty(len(present))
    for part in _chunks(len(present), source.shape[1]):
        square[part] = _squares(source, present[part])
    if metric == "cosine" and not square.all():
        present, square = present[square > 0], square[square > 0]
    norm = np.sqrt(square)
    scale = norm if metric == "cosine" else np.full(len(norm), norm.max(initial=0.0) or 1.0)
    search = np.empty((len(present), source.shape[1]), dtype=np.float32)
    for part in _chunks(len(present), source.shape[1]):
        search[part] = source[present[part]] / scale[part, None]
    steps = (source.shape[1] + 16) * _UNIT_ROUNDOFF
    lengths = norm / scale
    size = (
        (lengths + lengths.max(initial=0.0)) ** 2
        if metric == "l2"
        else lengths * lengths.max(initial=0.0)
    )
    # The second term pays for float32 numbers too small for full precision.
    bound = steps / (1 - steps) * size + source.shape[1] * 1e-37
    return FeatureRows(source, present, square, norm, search, bound, metric)


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


def has_whole_numbers(rows: FeatureRows) -> bool:
    """Return whether every product of two rows is exact in float64, in any order of summation.

    So it is for one-hot rows, genres and counts: whole numbers, and not too large.
    """
    if rows.square.max(initial=0.0) >= 2.0**51:
        return False
    for part in _chunks(len(rows), rows.source.shape[1]):
        values = rows.source[rows.present[part]].astype(np.float64)
        if not np.array_equal(values, np.rint(values)):
            return False
    return True


def drop_copies(rows: FeatureRows, limit: int) -> NDArray[np.int64]:
    """Return the rows worth searching: of identical rows, only the first ``limit`` matter.

    Features made of few different rows (one-hot, genres, a default picture) would otherwise tie by
    the thousand.

    Args:
        rows: The rows.
        limit: How many copies of one row to keep.

    Returns:
        Positions among ``rows``, ascending.

    Complexity:
        O(items log items); rows are compared only where more than ``limit`` of them have exactly
        the same length.
    """
    order = np.argsort(rows.norm, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], np.diff(rows.norm[order]) != 0]))
    sizes = np.diff(np.concatenate([starts, [len(order)]]))
    suspects = np.sort(order[np.repeat(sizes > limit, sizes)])
    keep = np.ones(len(rows), dtype=bool)
    copies: dict[bytes, int] = {}
    for position in suspects.tolist():
        row = np.ascontiguousarray(rows.source[rows.present[position]])
        key = blake2b(row.tobytes(), digest_size=32).digest()
        copies[key] = copies.get(key, 0) + 1
        keep[position] = copies[key] <= limit
    return np.flatnonzero(keep)


def _squares(source: NDArray[Any], numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    values = source[numbers].astype(np.float64, order="C")
    with np.errstate(over="ignore", invalid="ignore"):
        square = sum_rows(values * values)
    if not np.isfinite(square).all() or square.min() < 1e-290:
        _check_rows(values, square, numbers)
    return square


def _check_rows(
    values: NDArray[np.float64], square: NDArray[np.float64], numbers: NDArray[np.int64]
) -> None:
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        raise GraphError(
            f"feature row {numbers[row]} must be finite (got {values[row, column]} in column "
            f"{column}); "
            "correct the row or mask the item out"
        )
    extreme = np.flatnonzero(~np.isfinite(square) | ((square < 1e-290) & values.any(axis=1)))
    if len(extreme):
        largest = np.abs(values[extreme[0]]).max()
        raise GraphError(
            f"feature row {numbers[extreme[0]]} must have a length between 1e-145 and 1e150 "
            f"(its largest value is {largest:g}); rescale the features"
        )


def _chunks(num_rows: int, dim: int) -> list[slice]:
    step = max(1, _CHUNK_VALUES // dim)
    return [slice(start, min(start + step, num_rows)) for start in range(0, num_rows, step)]
