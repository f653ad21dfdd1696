"""The sparse product of the toolkit."""

from typing import get_args

from torch import Tensor

from mmgraph.errors import ConfigError, GraphError, nearest
from mmgraph.sparse.adjacency import SparseAdjacency
from mmgraph.sparse.autocast import product_dtype
from mmgraph.sparse.calibration import Case
from mmgraph.sparse.choice import backend_of, choose
from mmgraph.sparse.product import Reduce, product


def matmul(
    adj: SparseAdjacency,
    x: Tensor,
    *,
    reduce: Reduce = "sum",
    edge_weight: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Return for each target what its sources' weighted rows come to: ``A @ x`` for the sum.

    ``sum`` adds up the weighted rows, ``mean`` divides that by the number of entries of the target's row, ``max`` takes
    the largest ``w * x`` in each column. A target without entries gets zeros.

    Gradients reach ``x`` and, where it requires them, ``edge_weight``; those of a maximum go to the entry that reached
    it, the first in storage order where several did. Gradients of gradients are not provided.

    The result is as precise as ``x``. Under ``torch.autocast`` sums and means are computed from rows and weights
    rounded to its precision, added up in float32 inside of the kernels, and rounded at the end; the weights stay stored
    as they are, and the gradient of ``x`` has the precision ``x`` came with.

    Args:
        adj: The matrix.
        x: One row per source.
        reduce: What becomes of the messages of one target.
        edge_weight: Weights to use instead of the stored ones, in storage order (see ``SparseAdjacency.edge_index``).
        backend: Name of a backend; by default as :func:`mmgraph.sparse.choose_backend` says.

    Shapes:
        x (num_sources, dim); edge_weight (num_edges,); returns (num_targets, dim).

    Raises:
        GraphError: ``x`` or ``edge_weight`` has the wrong length.
        ConfigError: the backend or the reduction is unknown, or the one cannot do the other on this device.

    Complexity: O(num_edges * dim) time for the product and for each gradient.

    Example:
        >>> import torch
        >>> adj = SparseAdjacency(torch.tensor([[1], [0]]), torch.tensor([2.0]), size=(2, 2))
        >>> matmul(adj, torch.tensor([[1.0], [3.0]])).tolist()
        [[6.0], [0.0]]
    """
    # The kernels read by these lengths without looking; a wrong one would read past the end.
    if x.dim() != 2 or x.size(0) != adj.size[1]:
        raise GraphError(
            f"x must have {adj.size[1]} rows, one per source (got shape {tuple(x.shape)}); check the graph"
        )
    if edge_weight is not None and edge_weight.shape != adj.value.shape:
        raise GraphError(
            f"edge_weight must have {adj.num_edges} values, one per edge (got shape {tuple(edge_weight.shape)}); "
            "order them like adj.edge_index()"
        )
    if reduce not in get_args(Reduce):
        raise ConfigError(
            f"reduce must be a known one (got {reduce!r}){nearest(reduce, get_args(Reduce))}"
        )
    if reduce != "max":
        x = x.to(product_dtype(x))
    learned = edge_weight is not None and edge_weight.requires_grad
    case = Case(x.device, x.dtype, "max" if reduce == "max" else "sum", learned)
    name = choose(case, name=backend, num_edges=adj.num_edges)
    return product(backend_of(name), adj, x, reduce=reduce, edge_weight=edge_weight)
