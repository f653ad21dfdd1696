"""Inner products along the edges of a graph, as a step of a model."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmgraph.errors import GraphError
from mmgraph.sparse.adjacency import SparseAdjacency
from mmgraph.sparse.autocast import exactly
from mmgraph.sparse.calibration import Case
from mmgraph.sparse.choice import backend_of, choose
from mmgraph.sparse.product import Backend
from mmgraph.sparse.sampled import sampled_product


def edge_products(adj: SparseAdjacency, target: Tensor, source: Tensor) -> Tensor:
    r"""Return :math:`\langle x_t, y_s\rangle` for the edge from each source s to each target t; gradients reach both.

    What attention over neighbours begins with. The rows of both ends are not gathered, and each gradient is one sparse
    product. Computed in float32 at least, also under ``torch.autocast``. Gradients of gradients are not provided.

    Args:
        adj: The edges; the stored weights do not count.
        target: One row per target.
        source: One row per source.

    Shapes:
        target (num_targets, dim), source (num_sources, dim); returns (num_edges,), in storage order (see
        ``SparseAdjacency.edge_index``).

    Raises:
        GraphError: the rows are not those of the matrix, or not of one width.

    Complexity:
        O(num_edges * dim) time for the products and for each gradient, O(num_edges) memory.

    Example:
        >>> adj = SparseAdjacency(torch.tensor([[0, 1], [0, 0]]), size=(1, 2))
        >>> edge_products(adj, torch.tensor([[2.0]]), torch.tensor([[3.0], [5.0]])).tolist()
        [6.0, 10.0]
    """
    # The kernels read by these lengths without looking; a wrong one would read past the end.
    shapes = (tuple(target.shape), tuple(source.shape))
    if any(len(shape) != 2 for shape in shapes) or shapes != tuple(
        (rows, target.size(1)) for rows in adj.size
    ):
        raise GraphError(
            f"rows of {adj.size[0]} targets and of {adj.size[1]} sources must be of one width (got shapes "
            f"{shapes[0]} and {shapes[1]}); check the graph"
        )
    dtype = torch.promote_types(torch.promote_types(target.dtype, source.dtype), torch.float32)
    case = Case(target.device, dtype, "sum", False)
    backend = backend_of(choose(case, name=None, num_edges=adj.num_edges))
    products: Tensor = _EdgeProducts.apply(target.to(dtype), source.to(dtype), adj, backend)  # type: ignore[no-untyped-call]
    return products


class _EdgeProducts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, target: Tensor, source: Tensor, adj: SparseAdjacency, backend: Backend
    ) -> Tensor:
        target, source = target.detach().contiguous(), source.detach().contiguous()
        ctx.adj, ctx.backend = adj, backend
        ctx.save_for_backward(target, source)
        with exactly(target):
            return sampled_product(adj.rowptr, adj.col, target, source)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        adj, multiply = ctx.adj, ctx.backend.multiply
        target, source = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        of_target = of_source = None
        with exactly(gradient):
            if ctx.needs_input_grad[0]:
                of_target = multiply(adj.rowptr, adj.col, gradient, source, adj.size[0])
            if ctx.needs_input_grad[1]:
                turned = gradient.index_select(0, adj.t_perm)
                of_source = multiply(adj.t_rowptr, adj.t_col, turned, target, adj.size[1])
        return of_target, of_source, None, None
