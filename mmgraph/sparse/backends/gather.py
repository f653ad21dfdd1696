"""Gather, multiply, scatter with plain tensor operations: works everywhere, and is the oracle of the others."""

import torch
from torch import Tensor

from mmgraph.sparse.pieces import pieces


def why_not(device: str) -> str | None:
    """Return why this backend cannot be used on ``device``: never."""
    del device
    return None


def multiply(rowptr: Tensor, col: Tensor, value: Tensor, x: Tensor, num_rows: int) -> Tensor:
    """Return the product; one message per edge, made piece by piece, added up in float32 at least."""
    precise = torch.promote_types(x.dtype, torch.float32)
    result = x.new_zeros(num_rows, x.size(1), dtype=precise)
    for edges, rows, row in pieces(rowptr, col.numel(), dim=x.size(1)):
        messages = x.index_select(0, col[edges]).to(precise) * value[edges, None]
        result[rows].index_add_(0, row, messages)
    return result.to(x.dtype)


def maximum(rowptr: Tensor, col: Tensor, value: Tensor, x: Tensor, num_rows: int) -> Tensor:
    """Return the largest ``w * x`` of each row and column; 0 in rows without entries."""
    result = x.new_zeros(num_rows, x.size(1))
    for edges, rows, row in pieces(rowptr, col.numel(), dim=x.size(1)):
        messages = x.index_select(0, col[edges]) * value[edges, None]
        index = row[:, None].expand_as(messages)
        result[rows].scatter_reduce_(0, index, messages, "amax", include_self=False)
    return result
