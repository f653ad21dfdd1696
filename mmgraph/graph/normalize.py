"""Turn edge weights and degrees into the operators of the papers.

The only place of the graph room that divides by a degree. Everything here is pure torch: no
argument is changed, and gradients flow through the weights (not through the choice of edges).
"""

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from mmgraph.errors import GraphError, nearest

EdgeNorm = Literal["none", "row", "sym"]
BipartiteNorm = Literal["sym", "rw", "rw_self", "none"]
CountNorm = Literal["none", "max", "row_max", "sym", "cosine", "jaccard", "pmi"]
COUNT_NORMS: tuple[CountNorm, ...] = get_args(CountNorm)


class BipartiteWeights(NamedTuple):
    """Weights of user-item edges for each direction; ``*_self`` only with ``rw_self``."""

    user_to_item: Tensor
    item_to_user: Tensor
    user_self: Tensor | None
    item_self: Tensor | None


def degree_power(degree: Tensor, exponent: float) -> Tensor:
    """Raise degrees to a power; a degree that is not positive gives zero, not infinity or NaN.

    Args:
        degree: Degrees or row sums of any floating type.
        exponent: The power, usually -1 or -0.5.

    Returns:
        A tensor of the same shape and type.

    Example:
        >>> degree_power(torch.tensor([4.0, 0.0]), -0.5)
        tensor([0.5000, 0.0000])
    """
    positive = degree > 0
    # The inner `where` keeps infinity out of the backward pass as well, where 0 * inf would be NaN.
    return torch.where(positive, torch.where(positive, degree, 1.0) ** exponent, 0.0)


def normalize_edges(
    edge_index: Tensor, edge_weight: Tensor, num_nodes: int, norm: EdgeNorm
) -> Tensor:
    """Normalise the weights of a graph over one kind of node.

    With ``r`` the row sums, that is the sum of the kept weights that arrive at each node: ``row``
    gives ``s_ij / r_i`` and ``sym`` gives ``s_ij / sqrt(r_i r_j)`` for the edge from ``j`` to
    ``i``. A nearest-neighbour list is directed, so the rows of ``sym`` sum to about one, not to
    one. A row whose sum is not positive has no scale: its ``row`` weights, and the ``sym`` weights
    of every edge that touches it, are zero.

    Source: Zhang et al., LATTICE, 2021, eq. (4), as its code computes it (``sym``).

    Args:
        edge_index: Edges, source in row 0 and target in row 1.
        edge_weight: Their weights, of any floating type; may require a gradient.
        num_nodes: Number of nodes.
        norm: ``none``, ``row`` or ``sym``.

    Returns:
        The new weights, in the type of ``edge_weight``; sums are taken in float64.

    Shapes:
        edge_index (2, num_edges), edge_weight (num_edges,).

    Raises:
        GraphError: ``norm`` is unknown.

    Complexity:
        O(num_edges + num_nodes).

    Example:
        >>> edge_index = torch.tensor([[1, 2, 0], [0, 0, 1]])
        >>> normalize_edges(edge_index, torch.tensor([1.0, 3.0, 2.0]), 3, "row")
        tensor([0.2500, 0.7500, 1.0000])
    """
    check_norm(norm, ("none", "row", "sym"))
    if norm == "none":
        return edge_weight
    source, target = edge_index[0], edge_index[1]
    weight = edge_weight.double()
    row_sum = weight.new_zeros(num_nodes).index_add(0, target, weight)
    if norm == "row":
        scaled = weight * degree_power(row_sum, -1.0)[target]
    else:
        root = degree_power(row_sum, -0.5)
        scaled = weight * (root[target] * root[source])
    return scaled.to(edge_weight.dtype)


def bipartite_weights(
    user: Tensor, item: Tensor, *, num_users: int, num_items: int, norm: BipartiteNorm
) -> BipartiteWeights:
    """Weigh the user-item pairs for both directions of message passing.

    ``sym`` is ``1 / sqrt(d_u d_i)``, ``rw`` is ``1 / d`` of the receiving node (``row`` or ``mean``
    elsewhere), ``rw_self`` is ``1 / (d + 1)`` of the receiving node with the same weight for its
    own vector, ``none`` is one.

    Source: He et al., LightGCN, 2020, eq. (3) for ``sym``; the code of LATTICE, 2021, for
    ``rw_self``.

    Args:
        user: User of each pair.
        item: Item of each pair; pairs are distinct.
        num_users: Number of users.
        num_items: Number of items.
        norm: ``sym``, ``rw``, ``rw_self`` or ``none``.

    Returns:
        float32 weights in the order of the given pairs, for both directions, and the weights of the
        nodes themselves.

    Raises:
        GraphError: ``norm`` is unknown.

    Example:
        >>> user, item = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1])
        >>> bipartite_weights(user, item, num_users=2, num_items=2, norm="rw").user_to_item
        tensor([1.0000, 0.5000, 0.5000])
    """
    check_norm(norm, ("sym", "rw", "rw_self", "none"))
    user_degree = torch.bincount(user, minlength=num_users).double()
    item_degree = torch.bincount(item, minlength=num_items).double()
    if norm == "none":
        return BipartiteWeights(torch.ones(len(user)), torch.ones(len(user)), None, None)
    if norm == "sym":
        weight = degree_power(user_degree, -0.5)[user] * degree_power(item_degree, -0.5)[item]
        return BipartiteWeights(weight.float(), weight.float(), None, None)
    own = 1.0 if norm == "rw_self" else 0.0
    by_user, by_item = degree_power(user_degree + own, -1.0), degree_power(item_degree + own, -1.0)
    to_item, to_user = by_item[item].float(), by_user[user].float()
    if norm == "rw":
        return BipartiteWeights(to_item, to_user, None, None)
    return BipartiteWeights(to_item, to_user, by_user.float(), by_item.float())


def count_weights(
    count: Tensor, target_size: Tensor, source_size: Tensor, norm: CountNorm, *, total: int = 1
) -> Tensor:
    """Turn co-interaction counts into weights; ``max`` is left to the caller, who knows all counts.

    Args:
        count: Off-diagonal counts of pairs.
        target_size: What the receiving node of each pair is measured by: the largest count of its
            row for ``row_max``, the sum of its row for ``sym``, its degree for ``cosine``,
            ``jaccard`` and ``pmi``.
        source_size: The same for the other node of each pair.
        norm: ``none`` and ``max`` give the count itself, ``row_max`` ``c / a``, ``sym`` and
            ``cosine`` ``c / sqrt(a b)``, ``jaccard`` ``c / (a + b - c)``, ``pmi`` ``log(c total /
            (a b))``, which is not positive for a pair that meets no more often than by chance.
        total: Number of partners, for ``pmi``.

    Returns:
        float64 weights, one for each pair; the counts themselves for ``none`` and ``max``.

    Example:
        >>> count_weights(torch.tensor([2]), torch.tensor([4]), torch.tensor([4]), "cosine")
        tensor([0.5000], dtype=torch.float64)
    """
    if norm in ("none", "max"):
        return count
    if norm == "row_max":
        return count.double() * degree_power(target_size.double(), -1.0)
    if norm == "jaccard":
        return count.double() / (target_size + source_size - count).double()
    product = target_size.double() * source_size.double()
    if norm == "pmi":
        return (count.double() * total / product).log()
    return count.double() / product.sqrt()


def check_norm(norm: str, known: tuple[str, ...]) -> None:
    """Raise when a normalisation is not one of the known names.

    Raises:
        GraphError: The name is unknown.
    """
    if norm not in known:
        raise GraphError(
            f"normalisation must be one of {', '.join(known)} (got {norm!r}){nearest(norm, known)}"
        )
