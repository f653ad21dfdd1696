"""A linear layer on some rows of a large constant matrix, without a copy of those rows."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmgraph.errors import ConfigError
from mmgraph.sparse.autocast import exactly, product_dtype

_CHUNK = 2**20
"""Numbers gathered at a time: 4 MB in float32, which stay in the cache of a core until they are multiplied."""


def linear_rows(x: Tensor, rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``x[rows] @ weight.T + bias``; gradients reach weight and bias.

    Features are wide: the rows of a batch are tens of megabytes, and copying them takes as long as multiplying them.
    Here they pass through the cache in chunks, and again for the gradient, so nothing of their size is made or kept.
    Under ``torch.autocast`` the products are computed in its precision.

    Args:
        x: Constant features.
        rows: Which of them.
        weight: As of ``torch.nn.Linear``.
        bias: As of ``torch.nn.Linear``.

    Shapes:
        x (num_items, in_dim); rows (num_rows,) int64; weight (out_dim, in_dim); bias (out_dim,); returns
        (num_rows, out_dim).

    Raises:
        ConfigError: ``x`` wants a gradient.

    Complexity:
        O(num_rows * in_dim * out_dim) time; memory of the result and one chunk.

    Example:
        >>> x, weight = torch.eye(3), torch.tensor([[1.0, 2.0, 3.0]])
        >>> linear_rows(x, torch.tensor([2, 0]), weight, torch.tensor([10.0])).tolist()
        [[13.0], [11.0]]
    """
    if x.requires_grad:
        raise ConfigError(
            "the features of linear_rows must be constant (got some that want a gradient); use torch.nn.Linear"
        )
    dtype = product_dtype(x)
    bias = weight.new_zeros(weight.size(0)) if bias is None else bias
    result: Tensor = _LinearRows.apply(x, rows, weight.to(dtype), bias.to(dtype))  # type: ignore[no-untyped-call]
    return result


class _LinearRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, rows)
        result = weight.new_empty(rows.numel(), weight.size(0))
        with exactly(x):
            for part in row_chunks(x, rows):
                torch.addmm(
                    bias,
                    x.index_select(0, rows[part]).to(weight.dtype),
                    weight.t(),
                    out=result[part],
                )
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, rows = ctx.saved_tensors
        (gradient,) = gradients
        grad_weight = grad_bias = None
        if ctx.needs_input_grad[3]:
            grad_bias = gradient.sum(dim=0)
        if ctx.needs_input_grad[2]:
            # Chunks are added up in float32, also where each is bfloat16.
            exact = torch.promote_types(gradient.dtype, torch.float32)
            total = gradient.new_zeros(gradient.size(1), x.size(1), dtype=exact)
            with exactly(x):
                for part in row_chunks(x, rows):
                    given = x.index_select(0, rows[part]).to(gradient.dtype)
                    if exact == gradient.dtype:
                        total.addmm_(gradient[part].t(), given)
                    else:
                        total += gradient[part].t() @ given
            grad_weight = total.to(gradient.dtype)
        return None, None, grad_weight, grad_bias


def row_chunks(x: Tensor, rows: Tensor) -> list[slice]:
    """Return parts of the rows that are small enough to stay in the cache."""
    step = max(1, _CHUNK // max(1, x.size(1)))
    return [slice(start, start + step) for start in range(0, rows.numel(), step)]
