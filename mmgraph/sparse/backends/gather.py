"""Gather, multiply, scatter with plain tensor operations: works everywhere, and is the oracle of the others."""

from torch import Tensor

from mmgraph.sparse.adjacency import SparseAdjacency


def why_not(device: str) -> str | None:
    """Return why this backend cannot be used on ``device``: never."""
    del device
    return None


def matmul(adj: SparseAdjacency, x: Tensor, value: Tensor) -> Tensor:
    """Return the product with one message per edge; O(num_edges * dim) memory."""
    source, target = adj.edge_index()
    # index_select: the gradient of x[source] depends on how threads race.
    messages = x.index_select(0, source) * value.to(x.dtype)[:, None]
    return x.new_zeros(adj.size[0], x.size(1)).index_add_(0, target, messages)
