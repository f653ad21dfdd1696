"""User-item edges of a graph, from training interactions only."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmgraph.errors import GraphError
from mmgraph.graph.normalize import BipartiteNorm, bipartite_weights


class BipartiteEdges(NamedTuple):
    """Both directions of the user-item edges, each sorted by target then source."""

    edge_index: Tensor
    edge_weight: Tensor
    rev_edge_index: Tensor
    rev_edge_weight: Tensor
    user_self_weight: Tensor | None
    item_self_weight: Tensor | None


def check_pairs(
    user: Tensor | NDArray[np.integer],
    item: Tensor | NDArray[np.integer],
    *,
    num_users: int,
    num_items: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Check user-item pairs and return them as int64 arrays.

    Args:
        user: User of each pair, array or tensor of whole numbers.
        item: Item of each pair.
        num_users: Number of users.
        num_items: Number of items.

    Returns:
        The two arrays on the CPU.

    Raises:
        GraphError: A pair is out of range, the lengths differ, or the numbers are not whole.
    """
    arrays = []
    for name, values, size in (("user", user, num_users), ("item", item, num_items)):
        array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
        if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
            raise GraphError(
                f"{name} must be a list of whole numbers (got {array.dtype} of shape "
                f"{array.shape}); encode the ids first"
            )
        bad = np.flatnonzero((array < 0) | (array >= size))
        if bad.size:
            raise GraphError(
                f"{name} must be between 0 and {size - 1} (got {array[bad[0]]} at position "
                f"{bad[0]}); "
                f"raise num_{name}s or correct the pair"
            )
        arrays.append(array.astype(np.int64, copy=False))
    if len(arrays[0]) != len(arrays[1]):
        raise GraphError(
            f"user and item must have the same length (got {len(arrays[0])} and {len(arrays[1])})"
        )
    return arrays[0], arrays[1]


def bipartite_edges(
    user: Tensor | NDArray[np.integer],
    item: Tensor | NDArray[np.integer],
    *,
    num_users: int,
    num_items: int,
    norm: BipartiteNorm = "sym",
) -> BipartiteEdges:
    """Build the user-item edges in both directions, with their weights.

    Give it the training pairs and nothing else: what is held out must not be seen by a graph.

    Args:
        user: User of each training pair.
        item: Item of each training pair; pairs are distinct, in any order.
        num_users: Number of users.
        num_items: Number of items.
        norm: See :func:`mmgraph.graph.normalize.bipartite_weights`.

    Returns:
        Edges user -> item and item -> user, float32 weights, and the weights of the nodes
        themselves with ``rw_self``.

    Shapes:
        edge_index (2, num_pairs), edge_weight (num_pairs,), user_self_weight (num_users,).

    Raises:
        GraphError: A pair is out of range or appears twice.

    Complexity:
        O(num_pairs log num_pairs).

    Example:
        >>> user, item = np.array([0, 0, 1]), np.array([0, 1, 1])
        >>> edges = bipartite_edges(user, item, num_users=2, num_items=2)
        >>> edges.edge_index.tolist(), edges.rev_edge_index.tolist()
        ([[0, 0, 1], [0, 1, 1]], [[0, 1, 1], [0, 0, 1]])
    """
    users, items = check_pairs(user, item, num_users=num_users, num_items=num_items)
    key = users * num_items + items
    order = np.argsort(key, kind="stable")
    users, items, key = users[order], items[order], key[order]
    twice = np.flatnonzero(key[1:] == key[:-1])
    if twice.size:
        raise GraphError(
            f"pairs must be distinct (user {users[twice[0]]}, item {items[twice[0]]} appears "
            "twice); drop the repeated pairs"
        )
    by_user = torch.from_numpy(np.stack([items, users]))
    to_item = torch.from_numpy(np.argsort(items, kind="stable"))
    weights = bipartite_weights(
        by_user[1], by_user[0], num_users=num_users, num_items=num_items, norm=norm
    )
    return BipartiteEdges(
        by_user.flip(0)[:, to_item].contiguous(),
        weights.user_to_item[to_item],
        by_user,
        weights.item_to_user,
        weights.user_self,
        weights.item_self,
    )
