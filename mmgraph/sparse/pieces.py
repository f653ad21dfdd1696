"""The edges of a matrix piece by piece, for what is computed with one message per edge in bounded memory."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

ELEMENTS = 2**19
"""Numbers in the messages of one piece: 2 MB in float32, which stay in the cache of one core."""


class Piece(NamedTuple):
    """Consecutive whole rows and their edges."""

    edges: slice
    rows: slice
    row: Tensor
    """The row of each edge, counted from the first row of the piece."""


def pieces(rowptr: Tensor, num_edges: int, *, dim: int) -> Iterator[Piece]:
    """Yield all edges in storage order, about ``ELEMENTS / dim`` at a time; a row is never cut in two.

    Memory: ``ELEMENTS`` or ``dim`` times the longest row, whichever is more.

    Example:
        >>> [(piece.edges, piece.row.tolist()) for piece in pieces(torch.tensor([0, 2, 2, 3]), 3, dim=2**18)]
        [(slice(0, 2, None), [0, 0]), (slice(2, 3, None), [0])]
    """
    step = max(1, ELEMENTS // max(1, dim))
    wanted = torch.arange(0, num_edges, step, dtype=rowptr.dtype, device=rowptr.device)
    first = torch.unique_consecutive(torch.searchsorted(rowptr, wanted, right=True) - 1)
    rows = [*first.tolist(), rowptr.numel() - 1]
    starts = [*rowptr.index_select(0, first).tolist(), num_edges]
    for number in range(len(rows) - 1):
        low, high = rows[number : number + 2]
        edges = slice(*starts[number : number + 2])
        counts = rowptr[low : high + 1].diff().long()
        local = torch.arange(high - low, device=rowptr.device)
        row = torch.repeat_interleave(local, counts, output_size=edges.stop - edges.start)
        yield Piece(edges, slice(low, high), row)


def first_hits(hit: Tensor, start: Tensor) -> Tensor:
    """Keep of the hits in every segment and column the first one only.

    Args:
        hit: Whether an entry is a hit.
        start: For each entry the position of the first entry of its segment.

    Shapes:
        hit (n, dim) or (n,) bool; start (n,) int64; returns the shape of ``hit``.

    Example:
        >>> first_hits(torch.tensor([False, True, True, True]), torch.tensor([0, 0, 0, 3])).tolist()
        [False, True, False, True]
    """
    count = hit.cumsum(0, dtype=torch.int32)
    before = (count - hit.to(torch.int32)).index_select(0, start)
    return hit & (count - before == 1)
