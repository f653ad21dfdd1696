"""The layers of a linear propagation and their sum, as one step: nothing between them is kept."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmgraph.errors import GraphError
from mmgraph.sparse.adjacency import SparseAdjacency
from mmgraph.sparse.autocast import exactly, product_dtype
from mmgraph.sparse.calibration import Case
from mmgraph.sparse.choice import backend_of, choose
from mmgraph.sparse.product import Backend


def sum_of_powers(
    adj: SparseAdjacency,
    x: Tensor,
    *,
    num_layers: int,
    scale: float = 1.0,
    backend: str | None = None,
) -> Tensor:
    r"""Return :math:`s \sum_{k=0}^{K} A^k x` for the stored weights, which must need no gradient.

    Computed from the inside, :math:`x + A(x + A(x + \dots))`: one addition a layer, in place, and no layer is kept. The
    gradient is the same sum with the transpose and needs nothing of the forward pass. Under ``torch.autocast`` the
    products are computed in its precision, as in :func:`mmgraph.sparse.matmul`, and added up in that of ``x``.

    Source: He et al., 2020 (LightGCN), eqs. (3)-(4), for the symmetric matrix and s = 1 / (K + 1).

    Args:
        adj: A square matrix.
        x: One row per node.
        num_layers: The number K of products.
        scale: The factor s.
        backend: As for :func:`mmgraph.sparse.matmul`.

    Shapes:
        x (num_nodes, dim); returns the same.

    Raises:
        GraphError: the matrix is not square or its weights learn, or ``x`` has another number of rows.

    Complexity:
        O(num_layers * num_edges * dim) time for the sum and for its gradient; memory of two results.

    Example:
        >>> adj = SparseAdjacency(torch.tensor([[0, 1], [1, 0]]), torch.tensor([2.0, 3.0]), size=(2, 2))
        >>> sum_of_powers(adj, torch.tensor([[1.0], [10.0]]), num_layers=2).tolist()
        [[37.0], [72.0]]
    """
    if adj.size[0] != adj.size[1] or x.dim() != 2 or x.size(0) != adj.size[0]:
        raise GraphError(
            f"powers need a square matrix and one row of x per node (got size {adj.size} and x of shape "
            f"{tuple(x.shape)}); check the graph"
        )
    if adj.value.requires_grad:
        raise GraphError(
            "powers need a matrix whose weights are constant (got some that want a gradient); use matmul layer by layer"
        )
    dtype = product_dtype(x)
    name = choose(Case(x.device, dtype, "sum", False), name=backend, num_edges=adj.num_edges)
    how = (num_layers, scale, dtype)
    total: Tensor = _PowerSum.apply(x, adj, backend_of(name), how)  # type: ignore[no-untyped-call]
    return total


class _PowerSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        adj: SparseAdjacency,
        backend: Backend,
        how: tuple[int, float, torch.dtype],
    ) -> Tensor:
        ctx.adj, ctx.backend, ctx.how = adj, backend, how
        return _horner(adj, x.detach().contiguous(), backend, how, transposed=False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gradient = _horner(
            ctx.adj, gradients[0].contiguous(), ctx.backend, ctx.how, transposed=True
        )
        return gradient, None, None, None


def _horner(
    adj: SparseAdjacency,
    x: Tensor,
    backend: Backend,
    how: tuple[int, float, torch.dtype],
    *,
    transposed: bool,
) -> Tensor:
    num_layers, scale, dtype = how
    rowptr, col = (adj.t_rowptr, adj.t_col) if transposed else (adj.rowptr, adj.col)
    total = x
    with exactly(x):
        weights = adj.weights(dtype, transposed=transposed)
        for _ in range(num_layers):
            product = backend.multiply(rowptr, col, weights, total.to(dtype), adj.size[0])
            total = product.to(x.dtype).add_(x)
        return total.mul_(scale) if num_layers else total * scale
