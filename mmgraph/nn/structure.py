"""Item graphs whose weights are part of the model: differentiable weights on a fixed or re-chosen set of edges."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mmgraph.errors import ConfigError, nearest
from mmgraph.nn.fusion import normalize_rows
from mmgraph.sparse import SparseAdjacency

WeightedEdges = tuple[Tensor, Tensor]
"""``edge_index`` (2, num_edges) and ``edge_weight`` (num_edges,)."""


_GATHERED = 1 << 22  # numbers of rows gathered at once
_ROUNDING = 1e-9  # shares written in decimals sum to 1 no better than this


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


def shrunk_cosine(x: Tensor, edge_index: Tensor, *, shrink: float) -> Tensor:
    r"""Return :math:`x_i\cdot x_j / (\lVert x_i\rVert \lVert x_j\rVert + h)` of both ends of every edge, in float64.

    Without a gradient, and without gathering all rows at once. The constant h presses the similarity of short vectors
    towards zero; pairs with a zero vector have zero in any case.

    Source: Ferrari Dacrema et al., 2019, the shrink term of ItemKNN.

    Shapes:
        x (num_items, dim); edge_index (2, num_edges) int64; returns (num_edges,) float64.

    Example:
        >>> shrunk_cosine(torch.tensor([[2.0], [3.0]]), torch.tensor([[0], [1]]), shrink=6.0).tolist()
        [0.5]
    """
    length = x.double().norm(dim=1)
    parts = []
    for edges in edge_index.split(max(1, _GATHERED // x.size(1)), dim=1):
        source, target = (x.index_select(0, ends).double() for ends in edges)
        size = length[edges[0]] * length[edges[1]] + shrink
        parts.append((source * target).sum(dim=1) / size.where(size > 0, 1.0))
    return torch.cat(parts)


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
    edge_index, place = _union([first, second], num_nodes)
    return edge_index, place[: first.size(1)], place[first.size(1) :]


def mix_item_graphs(
    graphs: Sequence[Tensor], shares: Sequence[float], *, num_items: int
) -> SparseAdjacency:
    r"""Return the mean over each item's neighbours, mixed over several neighbour lists by fixed shares.

    .. math:: S_{ij} = \sum_m w_m(i)\, [j \in \mathcal{N}_m(i)] / |\mathcal{N}_m(i)|

    The shares are rescaled, item by item, over the lists in which the item has neighbours, so a row sums to one, or is
    empty where every list is. With k neighbours everywhere, :math:`1/k` is what the symmetric normalisation of a binary
    neighbour list comes to.

    Source: Zhou and Shen, 2023 (FREEDOM), frozen item-item graph; also of DRAGON, LIRDRec and CM3. They know no missing
    modality.

    Args:
        graphs: One ``edge_index`` a list, neighbours in row 0, the items that receive in row 1.
        shares: One weight a list, not negative.
        num_items: Size of the catalogue.

    Shapes:
        graphs (2, num_edges_m) int64; the matrix is (num_items, num_items).

    Complexity: O(E log E) for E edges in all.

    Example:
        >>> image, text = torch.tensor([[1], [0]]), torch.tensor([[1, 2], [0, 0]])
        >>> mix_item_graphs([image, text], [0.5, 0.5], num_items=3).to_dense()[0].tolist()
        [0.0, 0.75, 0.25]
    """
    degree = torch.stack([torch.bincount(edges[1], minlength=num_items) for edges in graphs])
    share = item_shares(shares, [*(degree > 0)])
    weighted = [
        (edges, (part / count.clamp(min=1)).index_select(0, edges[1]))
        for part, count, edges in zip(share, degree, graphs, strict=True)
    ]
    edges, weight = sum_graphs(weighted, num_nodes=num_items)
    return SparseAdjacency(edges, weight.float(), size=(num_items, num_items))


def sum_graphs(graphs: Sequence[WeightedEdges], *, num_nodes: int) -> WeightedEdges:
    """Return the sum of graphs: every edge of any, by target, then source, with the sum of its weights.

    Gradients reach all weights.

    Shapes:
        graphs (2, num_edges) int64 and (num_edges,) each; returns the same.

    Complexity: O(E log E) for E edges in all.

    Example:
        >>> one = torch.tensor([[1, 0], [0, 1]]), torch.tensor([0.5, 2.0])
        >>> two = torch.tensor([[1], [0]]), torch.tensor([1.0])
        >>> edge_index, weight = sum_graphs([one, two], num_nodes=2)
        >>> edge_index.tolist(), weight.tolist()
        ([[1, 0], [0, 1]], [1.5, 2.0])
    """
    edge_index, place = _union([edges for edges, _ in graphs], num_nodes)
    weights = torch.cat([weight for _, weight in graphs])
    return edge_index, weights.new_zeros(edge_index.size(1)).index_add(0, place, weights)


def shares_of(given: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    """Return the share of each modality in an item graph; those without one divide the rest up to 1 equally.

    Raises:
        ConfigError: a name is unknown, or the shares are negative or above 1 together.

    Example:
        >>> shares_of({"image": 0.1}, ("image", "text"))
        {'image': 0.1, 'text': 0.9}
    """
    for name, share in given.items():
        if name not in names:
            raise ConfigError(
                f"model.shares must name modalities of the data set (got {name!r}){nearest(name, names)}"
            )
        if share < 0:
            raise ConfigError(
                f"model.shares must not be negative (got {share} for {name!r}); 0 leaves it out"
            )
    rest, total = [name for name in names if name not in given], math.fsum(given.values())
    if total > 1 + _ROUNDING or (not rest and total == 0):
        raise ConfigError(
            f"model.shares must sum to more than 0 and at most 1 (got {total:g}); lower them"
        )
    left = max(1 - total, 0.0) / max(len(rest), 1)
    return {name: given.get(name, left) for name in names}


def item_shares(shares: Sequence[float], present: Sequence[Tensor]) -> Tensor:
    """Return the shares of each item over the modalities it has, which sum to 1; zeros for items without any.

    Shapes:
        present (num_items,) bool each; returns (num_modalities, num_items) float64.

    Example:
        >>> has = [torch.tensor([True, False]), torch.tensor([True, True])]
        >>> item_shares([0.25, 0.75], has).tolist()
        [[0.25, 0.0], [0.75, 1.0]]
    """
    there = torch.stack(list(present))
    share = torch.tensor(shares, dtype=torch.float64, device=there.device)[:, None] * there
    total = share.sum(dim=0)
    return share / total.where(total > 0, 1.0)


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


def _union(edge_sets: Sequence[Tensor], num_nodes: int) -> tuple[Tensor, Tensor]:
    """Return the union by target, then source, and the place in it of each edge of all sets in turn."""
    keys = torch.cat([edges[1] * num_nodes + edges[0] for edges in edge_sets])
    union, place = torch.unique(keys, return_inverse=True)
    return torch.stack([union % num_nodes, union // num_nodes]), place
