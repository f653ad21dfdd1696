"""The rows in low precision, and how far a product of two of them can be from the exact score."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmgraph.graph.knn.float32 import summation_error
from mmgraph.graph.knn.rows import CHUNK_VALUES, FeatureRows

Precision = Literal["bfloat16", "float32"]

DTYPES: dict[Precision, tuple[torch.dtype, torch.dtype]] = {
    "bfloat16": (torch.bfloat16, torch.int16),
    "float32": (torch.float32, torch.int32),
}
"""Type of the products, and the integer type of the same width that their bits are compared in."""

ROUNDOFF: dict[Precision, float] = {"bfloat16": 2.0**-8, "float32": 0.0}
"""Relative error of rounding a product to its type; float32 ones stay what was accumulated."""

DISTANCE_COLUMNS = 32
"""Columns added for squared distances: twice three are needed, products like multiples of 32."""


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Have products accumulate in float32 and take float32 numbers as they are.

    Whoever uses mmgraph may have allowed torch to be coarser; the error bounds assume that it is not.
    """
    backends: Any = torch.backends
    held: list[tuple[Any, str, Any]]
    if device.type == "cuda":
        held = [(backends.cuda.matmul, "fp32_precision", "ieee")]
        held.append((backends.cuda.matmul, "allow_bf16_reduced_precision_reduction", False))
    else:
        held = [(backends.mkldnn.matmul, "fp32_precision", "ieee")]
    before = [getattr(owner, name) for owner, name, _ in held]
    for owner, name, value in held:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for (owner, name, _), value in zip(held, before, strict=True):
            setattr(owner, name, value)


@dataclass(frozen=True)
class Operand:
    """Two matrices whose product approximates the scores of all pairs, and the error of doing so.

    Similarities are approximated as they are, squared distances by half of them. The bits of a
    floating-point number that is not negative, read as an integer, are ordered like the number.
    They are compared as integers, many times faster on a processor than bfloat16: a *key* is such
    an integer, larger for nearer rows.

    Attributes:
        left: One matrix, rows in search order, padded with rows of zeros.
        right: The other; the same tensor unless distances are compared.
        error: For each row, how far a product with any other can be from the exact score, before
            the product is rounded to its type.
        unit: What an exact score is divided by to be compared with a product.
        precision: Type of the matrices and products.
        distance: Whether products are halves of squared distances.
    """

    left: Tensor
    right: Tensor
    error: NDArray[np.float64]
    unit: float
    precision: Precision
    distance: bool

    @property
    def roundoff(self) -> float:
        """Relative error of rounding a product."""
        return ROUNDOFF[self.precision]

    def keys(self, product: Tensor) -> Tensor:
        """View products as keys, in place."""
        bits = product.view(DTYPES[self.precision][1])
        return bits.bitwise_not_() if self.distance else bits

    def values(self, key: Tensor) -> NDArray[np.float64]:
        """Return the products that keys stand for."""
        bits = ~key if self.distance else key
        return bits.view(DTYPES[self.precision][0]).double().cpu().numpy()

    def threshold(self, kth: Tensor, part: slice) -> tuple[Tensor, NDArray[np.bool_]]:
        """Return the smallest key that a neighbour can have, given the count-th largest key.

        The count-th best product bounds the exact score of the last neighbour, and that score
        bounds the product of any neighbour: each time by the error of the row, and by the rounding
        of a product.

        Args:
            kth: The count-th largest key of each row, or any smaller one.
            part: The rows, in search order.

        Returns:
            The keys, and for which rows they are sound. Rows that have fewer than ``count``
            positive products have no bound, because keys of negative products are not ordered.
        """
        value, error, u = self.values(kth), 2 * self.error[part], self.roundoff
        if self.distance:
            sound = kth.cpu().numpy() > torch.iinfo(kth.dtype).min
            limit = (np.maximum(np.where(sound, value, 0), 0) / (1 - u) + error) * (1 + u)
            up = self._bits(limit, kth, upward=True)
            return torch.where(torch.from_numpy(sound).to(kth.device), ~up, kth), sound
        positive = kth.cpu().numpy() > 0
        limit = (np.where(positive, value, 0) / (1 + u) - error) * (1 - u)
        return self._bits(np.maximum(limit, 0), kth, upward=False), positive & (limit > 0)

    def upper_bound(self, key: Tensor, row: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return scores that the exact ones of pairs cannot exceed, from their keys.

        Args:
            key: Keys of pairs, none below a sound threshold.
            row: The row of each pair whose error counts.
        """
        value, u = self.values(key), self.roundoff
        if self.distance:
            return -self.unit * (np.maximum(value, 0) / (1 + u) - self.error[row])
        return self.unit * (value / (1 - u) + self.error[row])

    def _bits(self, limit: NDArray[np.float64], like: Tensor, *, upward: bool) -> Tensor:
        dtype, integer = DTYPES[self.precision]
        exact = torch.from_numpy(limit)
        rounded = exact.to(dtype)
        wrong = rounded.double() < exact if upward else rounded.double() > exact
        step = wrong.to(integer)
        bits = rounded.view(integer)
        return (bits + step if upward else bits - step).to(like.device)


def build_operand(
    rows: FeatureRows,
    order: NDArray[np.int64],
    *,
    padded: int,
    precision: Precision,
    device: torch.device,
) -> Operand:
    """Bring the rows to low precision and measure what that costs.

    With x~ the rounded row, ``|x~ y~ - x y| <= |x~ - x| |y| + |x~| |y~ - y|``. Added to that is the
    textbook bound for accumulating in float32. Squared distances come from products too: both
    rows carry half of their squared length as three numbers whose sum is exact enough, opposite
    ones of the other.

    Args:
        rows: The rows.
        order: The search order: positions among the rows.
        padded: Rows of the matrices.
        precision: Type of the matrices.
        device: Where they are put.

    Complexity:
        O(rows * dim) time; memory of the matrices.
    """
    distance = rows.metric == "l2"
    dim, dtype = rows.dim, DTYPES[precision][0]
    width = dim + DISTANCE_COLUMNS if distance else dim
    right = torch.zeros(padded, width, dtype=dtype)
    scale = rows.scale
    error, length = _fill(right[:, :dim], rows, order)
    longest = float(np.max(rows.norm / scale, initial=0.0))
    reach = max(float(length.max(initial=0.0)), longest)
    size = length * reach
    if distance:
        size = size + 1.0  # the halves of both squared lengths
    total = (
        1.001 * (error * longest + length * error.max(initial=0.0))
        + summation_error(width) * size
        + width * 1e-37
    )
    left = right
    if distance:
        half = 0.5 * (rows.norm / scale)[order] ** 2
        left, rest = _with_half_lengths(right, dim, half)
        total = total + 2 * rest
    unit = rows.unit * (2 if distance else 1)
    right = right.to(device)
    return Operand(left.to(device) if distance else right, right, total, unit, precision, distance)


def _fill(
    matrix: Tensor, rows: FeatureRows, order: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Write the rows, rounded; return how far each is off and how long it has become."""
    error, length = torch.zeros(2, len(order), dtype=torch.float64)
    scale = rows.scale
    # Not in threads of our own: torch would start a team of threads for each of them.
    step = max(1, 4 * CHUNK_VALUES // rows.dim)
    for start in range(0, len(order), step):
        part = order[start : start + step]
        place = slice(start, start + len(part))
        given = rows.source[rows.present[part]]
        # torch knows no numbers wider than float64.
        exact = torch.from_numpy(given.astype(np.float64) if given.itemsize > 8 else given).double()
        exact /= torch.from_numpy(scale[part])[:, None]
        matrix[place] = exact
        rounded = matrix[place].double()
        length[place] = torch.linalg.vector_norm(rounded, dim=1)
        error[place] = torch.linalg.vector_norm(rounded.sub_(exact), dim=1)
    return error.numpy(), length.numpy()


def _with_half_lengths(right: Tensor, dim: int, half: NDArray[np.float64]) -> tuple[Tensor, float]:
    """Add columns whose products are the sum of both half squared lengths.

    Returns:
        The left matrix, and the largest part of a half length that three numbers do not hold.
    """
    left = right.neg()
    left[:, dim:] = 0
    rest, used = torch.from_numpy(half), slice(len(half))
    for column in range(dim, dim + 3):
        piece = rest.to(right.dtype)
        rest = rest - piece.double()
        left[used, column], right[used, column] = piece, 1
        left[used, column + 3], right[used, column + 3] = 1, piece
    return left, float(rest.abs().max()) if len(half) else 0.0
