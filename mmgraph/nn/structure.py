"""Item graphs whose weights are part of the model: differentiable weights on a fixed or re-chosen set of edges."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mmgraph.nn.fusion import normalize_rows
from mmgraph.sparse import SparseAdjacency


class FusedItemGraph(NamedTuple):
    """The union of content and co-interaction edges, with each graph's weight on every edge (0 where it has none)."""

    adjacency: SparseAdjacency
    edge_index: Tensor
    content: Tensor
    cointeraction: Tensor


def edge_cosine(x: Tensor, edge_index: Tensor) -> Tensor:
    """Return the cosine of both ends of every edge, differentiable in ``x``.

    Source: MM-GEF, eq. (1), on the edges kept by eq. (2).

    Shapes:
        x (num_items, dim); edge_index (2, num_edges) int64; returns (num_edges,).

    Example:
        >>> edge_cosine(torch.eye(2), torch.tensor([[0, 0], [0, 1]])).tolist()
        [1.0, 0.0]
    """
    unit = normalize_rows(x)
    # index_select: its gradient is the same for any number of threads, that of indexing is not.
    source, target = (unit.index_select(0, ends) for ends in edge_index)
    return (source * target).sum(dim=1)


def merge_edges(first: Tensor, second: Tensor, *, num_nodes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the union of two edge sets, and the place in it of each edge of either.

    Returns:
        The union by target, then source; positions of the edges of ``first``; positions of those of ``second``.

    Shapes:
        first (2, a), second (2, b); returns (2, u), (a,), (b,), all int64.

    Complexity: O((a + b) log(a + b)).

    Example:
        >>> union, a, b = merge_edges(torch.tensor([[1], [0]]), torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> union.tolist(), a.tolist(), b.tolist()
        ([[1, 0], [0, 1]], [0], [1, 0])
    """
    keys = torch.cat([edges[1] * num_nodes + edges[0] for edges in (first, second)])
    union, position = torch.unique(keys, return_inverse=True)
    edge_index = torch.stack([union % num_nodes, union // num_nodes])
    return edge_index, position[: first.size(1)], position[first.size(1) :]


def fuse_item_graphs(
    content: tuple[Tensor, Tensor], cointeraction: tuple[Tensor, Tensor], *, num_items: int
) -> FusedItemGraph:
    """Return the union of two item graphs given as ``(edge_index, edge_weight)``, keeping both weights.

    Gradients reach the weights of both.

    Example:
        >>> one = torch.tensor([[1], [0]]), torch.tensor([0.5])
        >>> two = torch.tensor([[0], [1]]), torch.tensor([1.0])
        >>> fused = fuse_item_graphs(one, two, num_items=2)
        >>> fused.content.tolist(), fused.cointeraction.tolist()
        ([0.5, 0.0], [0.0, 1.0])
    """
    edge_index, of_content, of_co = merge_edges(content[0], cointeraction[0], num_nodes=num_items)
    zeros = content[1].new_zeros(edge_index.size(1))
    return FusedItemGraph(
        SparseAdjacency(edge_index, zeros.detach(), size=(num_items, num_items)),
        edge_index,
        zeros.index_copy(0, of_content, content[1]),
        zeros.index_copy(0, of_co, cointeraction[1].to(zeros)),
    )


def normalize_by_row(
    edge_index: Tensor, edge_weight: Tensor, *, num_nodes: int, norm: Literal["none", "row", "sym"]
) -> Tensor:
    """Return weights divided by their target's row sum (``row``) or by both ends' root row sums (``sym``).

    The learned counterpart of the normalisations done when a graph is built: gradients flow through the sums.

    Shapes:
        edge_index (2, num_edges); edge_weight (num_edges,); returns (num_edges,).

    Example:
        >>> edges = torch.tensor([[0, 1], [2, 2]])
        >>> normalize_by_row(edges, torch.tensor([1.0, 3.0]), num_nodes=3, norm="row").tolist()
        [0.25, 0.75]
    """
    if norm == "none":
        return edge_weight
    sums = edge_weight.new_zeros(num_nodes).index_add(0, edge_index[1], edge_weight)
    # A sum that is not positive cannot be divided by; its rows get weight zero, as when a graph is built.
    positive = sums > 0
    safe = torch.where(positive, sums, torch.ones_like(sums))
    power = torch.where(
        positive, safe.rsqrt() if norm == "sym" else 1 / safe, torch.zeros_like(sums)
    )
    scaled = edge_weight * power.index_select(0, edge_index[1])
    return scaled * power.index_select(0, edge_index[0]) if norm == "sym" else scaled
