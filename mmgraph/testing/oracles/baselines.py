"""The systems that MM-GEF, MARIO and MARGO are compared with."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from mmgraph.testing.oracles.blocks import (
    Matrix,
    interaction_matrix,
    lightgcn,
    normalized_graph,
    sym_adjacency,
    unit_rows,
)
from mmgraph.testing.oracles.mm_gef import mm_gef_message


def cb_similarity(
    features: Sequence[ArrayLike],
    present: Sequence[ArrayLike],
    shares: Sequence[float],
    *,
    shrink: float = 0.0,
    neighbours: Sequence[Sequence[Sequence[int]]] | None = None,
) -> Matrix:
    """Return S: in row j how much each item is like item j, a weighted mean over the modalities that j has.

    Given ``neighbours``, where ``neighbours[m][j]`` are those of item j by modality m, only these count, and the
    weights are those of item j; otherwise both items weigh, by the root of the product of their weights.

    Source: the baseline "CB" of MM-GEF, our reading; Ferrari Dacrema et al., 2019, for ``shrink`` and ``neighbours``.
    """
    matrices = [np.asarray(x, dtype=np.float64) for x in features]
    masks = [np.asarray(mask, dtype=bool) for mask in present]
    size = len(masks[0])
    graph = np.zeros((size, size))
    total = [sum(w for w, mask in zip(shares, masks, strict=True) if mask[j]) for j in range(size)]
    for m, (x, mask) in enumerate(zip(matrices, masks, strict=True)):
        for j in np.flatnonzero(mask).tolist():
            compared: Sequence[int] = range(size) if neighbours is None else neighbours[m][j]
            for i in compared:
                lengths = np.sqrt(x[j] @ x[j]) * np.sqrt(x[i] @ x[i]) + shrink
                if mask[i] and total[j] and total[i] and lengths:
                    other = i if neighbours is None else j
                    weight = shares[m] / np.sqrt(total[j] * total[other])
                    graph[j, i] += weight * (x[j] @ x[i]) / lengths
    return graph


def cb_scores(history: ArrayLike, similarity: ArrayLike, *, mean: bool = True) -> Matrix:
    """Return what the items of each user's history are like, item by item: R S, divided by the history's length.

    Source: MM-GEF, the baseline "CB", our reading.

    Example:
        >>> cb_scores([[1.0, 1.0]], [[1.0, 0.5], [0.5, 0.0]]).tolist()
        [[0.75, 0.25]]
    """
    rows = np.asarray(history, dtype=np.float64)
    scores: Matrix = rows @ np.asarray(similarity, dtype=np.float64)
    return scores / np.maximum(rows.sum(axis=1, keepdims=True), 1.0) if mean else scores


def ngcf_layer(
    rows: ArrayLike,
    adjacency: ArrayLike,
    *,
    weights: tuple[ArrayLike, ArrayLike],
    biases: tuple[ArrayLike, ArrayLike] | None = None,
    slope: float = 0.2,
) -> Matrix:
    """Return one layer of NGCF, in the paper's form, or with biases in that of the released code.

    The weights are (in_dim, out_dim). In the paper's form the adjacency has no self loops, in the other it has.

    Source: Wang et al., 2019 (NGCF), eq. (7) in its matrix form, eq. (8); the released code.
    """
    x, operator = np.asarray(rows, dtype=np.float64), np.asarray(adjacency, dtype=np.float64)
    first, second = (np.asarray(weight, dtype=np.float64) for weight in weights)

    def rectified(z: Matrix) -> Matrix:
        return np.where(z > 0, z, slope * z)

    near = operator @ x
    if biases is None:
        return rectified((operator + np.eye(len(x))) @ x @ first + (near * x) @ second)
    one, two = (np.asarray(bias, dtype=np.float64) for bias in biases)
    return rectified(near @ first + one) + rectified((near * x) @ second + two)


def freedom_item_graph(
    neighbours: Sequence[Sequence[Sequence[int]]], shares: Sequence[float]
) -> Matrix:
    """Return S: row i is the mean of item i's neighbours in each list, mixed by the shares of the lists it has.

    ``neighbours[m][i]`` are the neighbours of item i by modality m.

    Source: Zhou and Shen, 2023 (FREEDOM), frozen item-item graph; missing modalities are our reading.

    Example:
        >>> freedom_item_graph([[[1], []], [[0, 1], []]], [0.5, 0.5]).tolist()
        [[0.25, 0.75], [0.0, 0.0]]
    """
    size = len(neighbours[0])
    graph = np.zeros((size, size))
    for item in range(size):
        known = [m for m in range(len(neighbours)) if neighbours[m][item]]
        total = sum(shares[m] for m in known)
        for m in known:
            for neighbour in neighbours[m][item]:
                if total > 0:
                    graph[item, neighbour] += shares[m] / total / len(neighbours[m][item])
    return graph


def freedom(
    user: ArrayLike,
    item: ArrayLike,
    train_pairs: ArrayLike,
    *,
    item_graph: ArrayLike,
    num_layers: int = 2,
    num_item_layers: int = 1,
) -> tuple[Matrix, Matrix]:
    """Return FREEDOM's final users and items: LightGCN's, and to the items S^L times the item id rows.

    Source: Zhou and Shen, 2023 (FREEDOM); He et al., 2020, eqs. (3)-(4).

    Example:
        >>> users, items = freedom([[1.0]], [[3.0]], [[0, 0]], item_graph=[[1.0]], num_layers=1)
        >>> users.tolist(), items.tolist()
        ([[2.0]], [[5.0]])
    """
    users, items = lightgcn(user, item, train_pairs, num_layers=num_layers)
    return users, items + mm_gef_message(item_graph, item, num_item_layers=num_item_layers)


def cointeraction_softmax(
    train_pairs: ArrayLike, *, num_users: int, num_items: int, k: int
) -> Matrix:
    """Return the user graph: in row u the softmax of the k largest numbers of items shared with u, ties by index.

    Source: Wang et al., 2021 (DualGNN), user co-occurrence graph.
    """
    interactions = interaction_matrix(train_pairs, num_users=num_users, num_items=num_items)
    counts = interactions @ interactions.T
    np.fill_diagonal(counts, 0.0)
    graph = np.zeros_like(counts)
    for user, row in enumerate(counts):
        best = [v for v in np.argsort(-row, kind="stable") if row[v] > 0][:k]
        if best:
            exponential = np.exp(row[best])
            graph[user, best] = exponential / exponential.sum()
    return graph


def dragon(
    preferences: Sequence[ArrayLike],
    content: Sequence[ArrayLike],
    weights: ArrayLike,
    train_pairs: ArrayLike,
    *,
    user_graph: ArrayLike,
    item_graph: ArrayLike,
    num_layers: int = 2,
    num_user_layers: int = 1,
    num_item_layers: int = 1,
) -> tuple[Matrix, Matrix]:
    """Return DRAGON's users and items, modalities side by side, each plus a power of its graph times itself.

    ``content`` are the items' encoded features, one matrix for each modality as for ``preferences``; ``weights`` is
    (num_users, num_modalities).

    Source: Zhou et al., 2023 (DRAGON); Wang et al., 2021 (DualGNN) for the propagation.
    """
    users, items = [], []
    for m, (table, encoded) in enumerate(zip(preferences, content, strict=True)):
        rows = np.concatenate([unit_rows(table), unit_rows(encoded)])
        size = len(np.asarray(table))
        adjacency = sym_adjacency(train_pairs, num_users=size, num_items=len(rows) - size)
        total, layer = rows, rows
        for _ in range(num_layers):
            layer = adjacency @ layer
            total = total + layer
        users.append(total[:size] * np.asarray(weights, dtype=np.float64)[:, m : m + 1])
        items.append(total[size:])
    user, item = np.concatenate(users, axis=1), np.concatenate(items, axis=1)
    over_users = np.linalg.matrix_power(np.asarray(user_graph, dtype=np.float64), num_user_layers)
    over_items = np.linalg.matrix_power(np.asarray(item_graph, dtype=np.float64), num_item_layers)
    return user + over_users @ user, item + over_items @ item


def lattice_item_graph(
    raw: Sequence[ArrayLike],
    learned: Sequence[ArrayLike],
    logits: ArrayLike,
    *,
    skip: float,
    normalize_sum: bool = False,
) -> Matrix:
    """Return S from each modality's content graph of raw and of projected features, neither of them normalised.

    Source: Zhang et al., 2021 (LATTICE), eqs. (4)-(7); with ``normalize_sum`` as in the released code.
    """
    exponential = np.exp(np.asarray(logits, dtype=np.float64))
    shares = exponential / exponential.sum()
    fixed = [normalized_graph(graph, norm="sym") for graph in raw]
    total = sum(share * skip * graph for share, graph in zip(shares, fixed, strict=True))
    if normalize_sum:
        mixed = sum(share * np.asarray(g) for share, g in zip(shares, learned, strict=True))
        return np.asarray(total + (1 - skip) * normalized_graph(mixed, norm="sym"))
    for share, graph in zip(shares, learned, strict=True):
        total = total + share * (1 - skip) * normalized_graph(graph, norm="sym")
    return np.asarray(total)
