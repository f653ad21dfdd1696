"""The sparse product and its gradients, the same for every backend.

A backend multiplies a matrix in CSR form with rows, forward only. The gradients are made of the same product: that of
the rows is one product with the transpose, that of the weights one sampled product on the stored positions.
"""

from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmgraph.sparse.adjacency import SparseAdjacency
from mmgraph.sparse.autocast import exactly
from mmgraph.sparse.pieces import first_hits, pieces
from mmgraph.sparse.sampled import sampled_product

Reduce = Literal["sum", "mean", "max"]


class Backend(Protocol):
    """What a file in ``backends/`` holds; one that can also take maxima has ``maximum`` with the same arguments."""

    def why_not(self, device: str) -> str | None:
        """Return why this backend cannot be used on a type of device, or None."""
        ...

    def multiply(
        self, rowptr: Tensor, col: Tensor, value: Tensor, x: Tensor, num_rows: int
    ) -> Tensor:
        """Return the product of a CSR matrix with rows; ``x`` is contiguous and as precise as ``value``."""
        ...


def product(
    backend: Backend,
    adj: SparseAdjacency,
    x: Tensor,
    *,
    reduce: Reduce = "sum",
    edge_weight: Tensor | None = None,
) -> Tensor:
    """Return what :func:`mmgraph.sparse.matmul` does, by this backend and without checks.

    A gradient is computed only where one is needed, and what it needs is kept only then: rows for the gradient of the
    weights, weights for that of the rows. Gradients of gradients are not provided.

    Example:
        >>> from mmgraph.sparse.backends import gather
        >>> adj = SparseAdjacency(torch.tensor([[0, 1], [0, 0]]), torch.tensor([2.0, 3.0]), size=(1, 2))
        >>> product(gather, adj, torch.tensor([[1.0], [5.0]]), reduce="mean").tolist()
        [[8.5]]
    """
    if edge_weight is None and adj.value.requires_grad:
        edge_weight = adj.value
    if reduce == "max":
        value = adj.weights(x.dtype) if edge_weight is None else edge_weight.to(x.dtype)
        maximum: Tensor = _Maximum.apply(x, value, adj, backend)  # type: ignore[no-untyped-call]
        return maximum
    mean = reduce == "mean"
    if edge_weight is None:
        value = adj.weights(x.dtype, mean=mean)
    else:
        value = (edge_weight * adj.mean_scale() if mean else edge_weight).to(x.dtype)
    how = (edge_weight is None, mean)
    result: Tensor = _Sum.apply(x, value, adj, backend, how)  # type: ignore[no-untyped-call]
    return result


class _Sum(torch.autograd.Function):
    """``A @ x``; ``how`` says whether the values are the stored ones, and whether they are scaled for the mean."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        value: Tensor,
        adj: SparseAdjacency,
        backend: Backend,
        how: tuple[bool, bool],
    ) -> Tensor:
        # Detached: some kernels look at requires_grad and prepare for gradients that are made here.
        x, value = x.detach().contiguous(), value.detach().contiguous()
        ctx.adj, ctx.backend, ctx.how = adj, backend, how
        needs_x, needs_value = ctx.needs_input_grad[:2]
        # Stored values are saved as they are, so that a change before the gradient is noticed.
        kept = adj.value if how[0] else value
        ctx.save_for_backward(x if needs_value else None, kept if needs_x else None)
        with exactly(x):
            return backend.multiply(adj.rowptr, adj.col, value, x, adj.size[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        adj: SparseAdjacency = ctx.adj
        x, value = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        stored, mean = ctx.how
        grad_x = grad_value = None
        with exactly(gradient):
            if value is not None:
                if stored:
                    value = adj.weights(gradient.dtype, mean=mean, transposed=True)
                else:
                    value = value.index_select(0, adj.t_perm)
                grad_x = ctx.backend.multiply(adj.t_rowptr, adj.t_col, value, gradient, adj.size[1])
            if x is not None:
                grad_value = sampled_product(adj.rowptr, adj.col, gradient, x)
        return grad_x, grad_value, None, None, None


class _Maximum(torch.autograd.Function):
    """The largest ``w * x`` of each row and column; its gradient goes to the first entry that reached it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor, adj: SparseAdjacency, backend: Any) -> Tensor:
        x, value = x.detach().contiguous(), value.detach().contiguous()
        result: Tensor = backend.maximum(adj.rowptr, adj.col, value, x, adj.size[0])
        ctx.adj = adj
        ctx.save_for_backward(x, value, result)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        adj: SparseAdjacency = ctx.adj
        x, value, result = ctx.saved_tensors
        (gradient,) = gradients
        needs_x, needs_value = ctx.needs_input_grad[:2]
        grad_x = torch.zeros_like(x) if needs_x else None
        grad_value = torch.zeros_like(value) if needs_value else None
        for edges, rows, row in pieces(adj.rowptr, adj.num_edges, dim=x.size(1)):
            col, weight = adj.col[edges], value[edges, None]
            ends = x.index_select(0, col)
            hit = ends * weight == result[rows].index_select(0, row)
            start = (adj.rowptr[rows] - edges.start).index_select(0, row)
            received = gradient[rows].index_select(0, row) * first_hits(hit, start)
            if grad_x is not None:
                grad_x.index_add_(0, col, received * weight)
            if grad_value is not None:
                grad_value[edges] = (received * ends).sum(dim=1)
        return grad_x, grad_value, None, None
