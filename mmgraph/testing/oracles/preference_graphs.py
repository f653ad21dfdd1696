"""MMGCN, GRCN and DualGNN: users with a preference in each modality."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mmgraph.testing.oracles.blocks import Matrix, interaction_matrix, sym_adjacency, unit_rows


class MMGCNLayer(NamedTuple):
    """Weights (in_dim, out_dim) and biases of a layer of MMGCN, as its equations number them."""

    first: ArrayLike
    second: ArrayLike
    second_bias: ArrayLike
    third: ArrayLike
    third_bias: ArrayLike


def mmgcn_layer(
    rows: ArrayLike,
    ids: ArrayLike,
    adjacency: ArrayLike,
    layer: MMGCNLayer,
    *,
    combine: Literal["add", "concat"] = "add",
    slope: float = 0.01,
) -> Matrix:
    """Return one layer of MMGCN: the aggregation, the own row with the id, and both joined.

    Source: Wei et al., 2019 (MMGCN), aggregation and combination layers; the released code for biases and slope.

    Example:
        >>> one = MMGCNLayer([[1.0]], [[1.0]], [0.0], [[1.0]], [0.0])
        >>> mmgcn_layer([[2.0], [3.0]], [[10.0], [20.0]], [[0.0, 1.0], [1.0, 0.0]], one).tolist()
        [[15.0], [25.0]]
    """
    x, e = np.asarray(rows, dtype=np.float64), np.asarray(ids, dtype=np.float64)
    first, second, bias, third, third_bias = (np.asarray(w, dtype=np.float64) for w in layer)
    near = _leaky(np.asarray(adjacency) @ x @ first, slope)
    own = _leaky(x @ third + third_bias, slope) + e
    if combine == "concat":
        return _leaky(np.concatenate([near, own], axis=1) @ second + bias, slope)
    return _leaky(near @ second + bias + own, slope)


def mmgcn(
    ids: tuple[ArrayLike, ArrayLike],
    preferences: Sequence[ArrayLike],
    content: Sequence[ArrayLike],
    layers: Sequence[Sequence[MMGCNLayer]],
    train_pairs: ArrayLike,
    *,
    combine: Literal["add", "concat"] = "add",
    mean: bool = False,
) -> tuple[Matrix, Matrix]:
    """Return MMGCN's users and items: the sum over the modalities, or their mean.

    ``content`` are the items' encoded features and ``layers`` the weights, by modality; messages are means.

    Source: Wei et al., 2019 (MMGCN).
    """
    users, items = (np.asarray(x, dtype=np.float64) for x in ids)
    joint = _joint(train_pairs, num_users=len(users), num_items=len(items))
    means = np.divide(joint, np.maximum(joint.sum(axis=1, keepdims=True), 1.0))
    total = np.zeros((len(joint), users.shape[1]))
    for table, encoded, stack in zip(preferences, content, layers, strict=True):
        rows = np.concatenate([unit_rows(table), unit_rows(encoded)])
        for layer in stack:
            rows = mmgcn_layer(rows, np.concatenate([users, items]), means, layer, combine=combine)
        total += rows
    final = total / len(layers) if mean else total
    return final[: len(users)], final[len(users) :]


def neighbour_attention(target: ArrayLike, source: ArrayLike, edges: ArrayLike) -> Matrix:
    """Return in row t the softmax of the inner products of target t with the sources it has an edge from.

    Source: Wei et al., 2020 (GRCN), attention over the neighbours.

    Example:
        >>> neighbour_attention([[5.0]], [[1.0], [1.0], [9.0]], [[1.0, 1.0, 0.0]]).tolist()
        [[0.5, 0.5, 0.0]]
    """
    rows, others = np.asarray(target, dtype=np.float64), np.asarray(source, dtype=np.float64)
    exists = np.asarray(edges) > 0
    attention = np.zeros(exists.shape)
    for t in range(len(rows)):
        total = sum(np.exp(rows[t] @ others[s]) for s in np.flatnonzero(exists[t]))
        for s in np.flatnonzero(exists[t]):
            attention[t, s] = np.exp(rows[t] @ others[s]) / total
    return attention


def grcn_routing(
    preference: ArrayLike, content: ArrayLike, train_pairs: ArrayLike, *, num_steps: int
) -> Matrix:
    """Return the users' unit preferences after they have moved towards their items' unit content.

    Source: Wei et al., 2020 (GRCN), prototypical network.
    """
    users, items = unit_rows(preference), unit_rows(content)
    history = interaction_matrix(train_pairs, num_users=len(users), num_items=len(items))
    for _ in range(num_steps):
        users = unit_rows(users + neighbour_attention(users, items, history) @ items)
    return users


def grcn(
    ids: tuple[ArrayLike, ArrayLike],
    preferences: Sequence[ArrayLike],
    content: Sequence[ArrayLike],
    train_pairs: ArrayLike,
    *,
    confidence: ArrayLike | None = None,
    mean: bool = False,
    prune: bool = True,
    num_steps: int = 3,
    num_layers: int = 2,
) -> tuple[list[Matrix], Matrix]:
    """Return GRCN's parts, users over items: the ids and each modality; and the matrix of the edges' weights.

    ``confidence`` is (num_users + num_items, num_modalities) or None for ones; ``mean`` takes the mean over the
    modalities for the largest.

    Source: Wei et al., 2020 (GRCN).
    """
    start = np.concatenate([unit_rows(ids[0]), unit_rows(ids[1])])
    size = len(np.asarray(ids[0]))
    joint = _joint(train_pairs, num_users=size, num_items=len(start) - size)
    trust = np.ones((len(start), len(content))) if confidence is None else np.asarray(confidence)
    parts, seen = [], []
    for m, (table, encoded) in enumerate(zip(preferences, content, strict=True)):
        routed = grcn_routing(table, encoded, train_pairs, num_steps=num_steps)
        rows = np.concatenate([routed, unit_rows(encoded)])
        attention = neighbour_attention(rows, rows, joint)
        parts.append(rows + attention @ rows)
        seen.append(attention * trust[:, m])  # column: the node that sends
    weight = np.mean(seen, axis=0) if mean else np.max(seen, axis=0)
    weight = np.where(joint > 0, np.maximum(weight, 0.0) if prune else weight, 0.0)
    total, layer = start, start
    for _ in range(num_layers):
        layer = weight @ layer
        total = total + layer
    return [total, *parts], weight


def dualgnn(
    preferences: Sequence[ArrayLike],
    content: Sequence[ArrayLike],
    weights: ArrayLike,
    train_pairs: ArrayLike,
    *,
    user_graph: ArrayLike,
    num_layers: int = 2,
    num_user_layers: int = 1,
) -> tuple[Matrix, Matrix]:
    """Return DualGNN's users, plus a power of the user graph times them, and items.

    ``content`` are the items' encoded features; ``weights`` is (num_users, num_modalities).

    Source: Wang et al., 2021 (DualGNN).
    """
    size = len(np.asarray(preferences[0]))
    share = np.asarray(weights, dtype=np.float64)
    users, items = np.zeros(1), np.zeros(1)
    for m, (table, encoded) in enumerate(zip(preferences, content, strict=True)):
        rows = np.concatenate([unit_rows(table), unit_rows(encoded)])
        adjacency = sym_adjacency(train_pairs, num_users=size, num_items=len(rows) - size)
        powers = [
            np.linalg.matrix_power(adjacency, layer) @ rows for layer in range(num_layers + 1)
        ]
        smooth = np.sum(powers, axis=0)
        users, items = users + share[:, m : m + 1] * smooth[:size], items + smooth[size:]
    over_users = np.linalg.matrix_power(np.asarray(user_graph, dtype=np.float64), num_user_layers)
    return users + over_users @ users, items


def _joint(train_pairs: ArrayLike, *, num_users: int, num_items: int) -> Matrix:
    """Return the binary matrix over users, then items."""
    history = interaction_matrix(train_pairs, num_users=num_users, num_items=num_items)
    corner = np.zeros((num_users, num_users)), np.zeros((num_items, num_items))
    return np.block([[corner[0], history], [history.T, corner[1]]])


def _leaky(x: Matrix, slope: float) -> Matrix:
    return np.where(x > 0, x, slope * x)
