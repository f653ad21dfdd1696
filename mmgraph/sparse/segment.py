"""Sum, maximum and softmax over the edges of each node, on values in storage order.

The edges of row t are ``rowptr[t]`` to ``rowptr[t + 1]``, as in ``SparseAdjacency.rowptr``. All three are
differentiable, need O(num_edges) memory, and give the same bytes for any number of threads, because one segment is
added up by one thread. Torch's own kernel is used also where torch-scatter is installed: it was never the slower one.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmgraph.errors import GraphError
from mmgraph.sparse.pieces import first_hits


def segment_sum(value: Tensor, rowptr: Tensor) -> Tensor:
    """Return the sum of each segment; 0 where a segment is empty.

    Shapes:
        value (num_edges,) or (num_edges, heads); rowptr (num_rows + 1,) int32 or int64; returns (num_rows,) or
        (num_rows, heads).

    Raises:
        GraphError: ``rowptr`` does not end at the number of values.

    Example:
        >>> segment_sum(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 2, 2, 3])).tolist()
        [3.0, 0.0, 4.0]
    """
    _check(value, rowptr)
    total: Tensor = _Sum.apply(value, rowptr)  # type: ignore[no-untyped-call]
    return total


def segment_max(value: Tensor, rowptr: Tensor) -> Tensor:
    """Return the maximum of each segment; 0 where a segment is empty.

    The gradient goes to the entry that reached it, the first one where several did.

    Shapes:
        as for :func:`segment_sum`.

    Raises:
        GraphError: ``rowptr`` does not end at the number of values.

    Example:
        >>> segment_max(torch.tensor([-1.0, -2.0, 4.0]), torch.tensor([0, 2, 2, 3])).tolist()
        [-1.0, 0.0, 4.0]
    """
    _check(value, rowptr)
    largest: Tensor = _Maximum.apply(value, rowptr)  # type: ignore[no-untyped-call]
    return largest


def segment_softmax(value: Tensor, rowptr: Tensor) -> Tensor:
    """Return ``exp(value)`` divided by its sum over the segment, without overflow.

    Shapes:
        value (num_edges,) or (num_edges, heads); rowptr (num_rows + 1,); returns the shape of ``value``.

    Raises:
        GraphError: ``rowptr`` does not end at the number of values.

    Example:
        >>> segment_softmax(torch.tensor([1000.0, 1000.0, 7.0]), torch.tensor([0, 2, 3])).tolist()
        [0.5, 0.5, 1.0]
    """
    _check(value, rowptr)
    share: Tensor = _Softmax.apply(value, rowptr)  # type: ignore[no-untyped-call]
    return share


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, rowptr: Tensor) -> Tensor:
        ctx.num_edges = value.size(0)
        ctx.save_for_backward(rowptr)
        return _reduce(value, rowptr, "sum")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (rowptr,) = ctx.saved_tensors
        return _spread(gradients[0], rowptr, ctx.num_edges), None


class _Maximum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, rowptr: Tensor) -> Tensor:
        largest = _reduce(value, rowptr, "max")
        ctx.save_for_backward(value, rowptr, largest)
        return largest

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        value, rowptr, largest = ctx.saved_tensors
        start = _spread(rowptr[:-1].long(), rowptr, value.size(0))
        hit = first_hits(value == _spread(largest, rowptr, value.size(0)), start)
        return _spread(gradients[0], rowptr, value.size(0)) * hit, None


class _Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, rowptr: Tensor) -> Tensor:
        largest = _reduce(value, rowptr, "max")
        share = (value - _spread(largest, rowptr, value.size(0))).exp_()
        share /= _spread(_reduce(share, rowptr, "sum"), rowptr, value.size(0))
        ctx.save_for_backward(share, rowptr)
        return share

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        share, rowptr = ctx.saved_tensors
        weighted = gradients[0] * share
        common = _spread(_reduce(weighted, rowptr, "sum"), rowptr, share.size(0))
        return weighted - share * common, None


def _reduce(value: Tensor, rowptr: Tensor, reduce: str) -> Tensor:
    value = value.detach().contiguous()
    if value.numel() == 0:
        return value.new_zeros(rowptr.numel() - 1, *value.shape[1:])
    result = torch.segment_reduce(value, reduce, offsets=rowptr, axis=0, unsafe=True)
    if reduce == "max":
        empty = rowptr.diff() == 0
        result.masked_fill_(empty.view(-1, *[1] * (value.dim() - 1)), 0.0)
    return result


def _spread(of_segment: Tensor, rowptr: Tensor, num_edges: int) -> Tensor:
    """Give every entry what its segment has."""
    counts = rowptr.diff().long()
    return torch.repeat_interleave(of_segment, counts, dim=0, output_size=num_edges)


def _check(value: Tensor, rowptr: Tensor) -> None:
    if value.dim() not in (1, 2) or not value.is_floating_point():
        raise GraphError(
            f"value must be floats of shape (num_edges,) or (num_edges, heads) (got {value.dtype}, "
            f"{tuple(value.shape)}); reshape it"
        )
    # The kernel reads by these numbers without looking; wrong ones would read past the end.
    ends = rowptr[[0, -1]].tolist() if rowptr.dim() == 1 and rowptr.numel() else None
    if ends != [0, value.size(0)] or bool((rowptr.diff() < 0).any()):
        raise GraphError(
            f"rowptr must rise from 0 to the number of values, {value.size(0)} (got "
            f"{'shape ' + str(tuple(rowptr.shape)) if ends is None else f'{ends[0]} to {ends[1]}'}); "
            "take it from the matrix whose edges the values belong to"
        )
