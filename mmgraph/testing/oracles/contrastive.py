"""MICRO, MGCN, LGMRec and SLMRec, and the criterion they share.

An affine map is a pair of its matrix, (out_dim, in_dim), and its bias.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from mmgraph.testing.oracles.blocks import (
    Matrix,
    interaction_matrix,
    lightgcn,
    sym_adjacency,
    unit_rows,
)

Affine: TypeAlias = tuple[ArrayLike, ArrayLike]


def info_nce(
    anchors: ArrayLike,
    candidates: ArrayLike,
    positive: Sequence[int] | None = None,
    *,
    temperature: float,
    present: Sequence[bool] | None = None,
    unit: bool = True,
    intra: bool = False,
    reduction: Literal["mean", "sum"] = "mean",
) -> float:
    """Return the mean or the sum of -ln(e^(a_i c_p(i)) / sum of all e^(a_i c_j), and of e^(a_i a_j) if ``intra``).

    Candidates that are not present are left out, and so are anchors whose positive is not.

    Source: van den Oord et al., 2018; Zhang et al., 2022 (MICRO) for ``intra``.
    """
    a, c = (np.asarray(x, dtype=np.float64) for x in (anchors, candidates))
    if unit:
        a, c = unit_rows(a), unit_rows(c)
    there = [True] * len(c) if present is None else list(present)
    places = range(len(a)) if positive is None else positive
    terms = []
    for i, place in enumerate(places):
        if not there[place]:
            continue
        total = sum(np.exp(a[i] @ c[j] / temperature) for j in range(len(c)) if there[j])
        if intra:
            others = [j for j in range(len(a)) if j != i and there[j]]
            total += sum(np.exp(a[i] @ a[j] / temperature) for j in others)
        terms.append(-np.log(np.exp(a[i] @ c[place] / temperature) / total))
    if not terms:
        return 0.0
    return float(np.sum(terms) if reduction == "sum" else np.mean(terms))


def query_weights(
    parts: Sequence[ArrayLike],
    present: Sequence[ArrayLike],
    *,
    hidden: Affine | None,
    query: ArrayLike | None,
) -> Matrix:
    """Return each node's weights of its vectors: the softmax of q tanh(W x + b) over those that are present.

    A node without any weighs all equally; without ``hidden`` and ``query`` there is one vector, whose weight is 1.

    Source: Zhang et al., 2022 (MICRO), fusion by attention.
    """
    matrices = [np.asarray(x, dtype=np.float64) for x in parts]
    if hidden is None or query is None:
        return np.ones((len(matrices[0]), 1))
    vector = np.asarray(query, dtype=np.float64).reshape(-1)
    weights = np.zeros((len(matrices[0]), len(matrices)))
    for node in range(len(weights)):
        known = [m for m, has in enumerate(present) if np.asarray(has)[node]]
        for m in known or range(len(matrices)):
            weights[node, m] = np.exp(vector @ np.tanh(_affine(matrices[m][node], hidden)))
    shares: Matrix = weights / weights.sum(axis=1, keepdims=True)
    return shares


def micro(
    user: ArrayLike,
    item: ArrayLike,
    train_pairs: ArrayLike,
    *,
    item_graphs: Sequence[ArrayLike],
    present: Sequence[ArrayLike],
    hidden: Affine | None,
    query: ArrayLike | None,
    num_layers: int = 2,
    num_item_layers: int = 1,
) -> tuple[Matrix, Matrix, list[Matrix], Matrix]:
    """Return MICRO's users and items, the message of each modality, and the fused message.

    Source: Zhang et al., 2022 (MICRO); He et al., 2020, eqs. (3)-(4).
    """
    users, items = lightgcn(user, item, train_pairs, num_layers=num_layers)
    messages = [_powers(graph, item, num_item_layers) for graph in item_graphs]
    weights = query_weights(messages, present, hidden=hidden, query=query)
    fused = np.zeros_like(items)
    for m, message in enumerate(messages):
        fused += weights[:, m : m + 1] * message
    return users, items + unit_rows(fused), messages, fused


def mgcn(
    user: ArrayLike,
    item: ArrayLike,
    train_pairs: ArrayLike,
    *,
    content: Sequence[ArrayLike],
    item_graphs: Sequence[ArrayLike],
    present: Sequence[ArrayLike],
    purifiers: Sequence[Affine],
    preferences: Sequence[Affine],
    hidden: Affine | None,
    query: ArrayLike | None,
    num_layers: int = 2,
    num_item_layers: int = 1,
    released: bool = False,
) -> tuple[Matrix, Matrix]:
    """Return behaviour and side of all users, then all items; their sum is what MGCN scores with.

    ``content`` are the projected features; ``preferences`` are empty for a single modality.

    Source: Yu et al., 2023 (MGCN); with ``released`` common and specific parts are divided by their number.
    """
    ids = np.asarray(item, dtype=np.float64)
    users, items = lightgcn(user, item, train_pairs, num_layers=num_layers)
    behaviour = np.concatenate([users, items])
    size = len(users)
    of_users = sym_adjacency(train_pairs, num_users=size, num_items=len(items))[:size, size:]
    views, known = [], []
    for x, graph, mask, gate in zip(content, item_graphs, present, purifiers, strict=True):
        has = np.asarray(mask, dtype=np.float64)
        pure = ids * _sigmoid(_affine(np.asarray(x, dtype=np.float64), gate))
        smooth = _powers(graph, pure, num_item_layers) * has[:, None]
        views.append(np.concatenate([of_users @ smooth, smooth]))
        known.append(np.concatenate([of_users @ has > 0, has > 0]))
    weights = query_weights(views, known, hidden=hidden, query=query)
    side = np.zeros_like(behaviour)
    for node in range(len(behaviour)):
        common = sum(weights[node, m] * view[node] for m, view in enumerate(views))
        specific = [
            _sigmoid(_affine(behaviour[node], gate)) * (view[node] - common)
            for gate, view, has in zip(preferences, views, known, strict=False)
            if has[node]
        ]
        count = sum(bool(has[node]) for has in known)
        total = np.sum(specific, axis=0) if specific else 0.0
        side[node] = (common + total) / (count + 1) if released else common + total / max(count, 1)
    return behaviour, side


def lgmrec(
    user: ArrayLike,
    item: ArrayLike,
    train_pairs: ArrayLike,
    *,
    features: Sequence[ArrayLike],
    present: Sequence[ArrayLike],
    projections: Sequence[ArrayLike],
    hyperedges: Sequence[ArrayLike],
    temperature: float = 0.2,
    alpha: float = 0.3,
    num_layers: int = 2,
    num_modality_layers: int = 2,
    num_hyper_layers: int = 1,
) -> tuple[Matrix, Matrix, list[Matrix], list[Matrix]]:
    """Return LGMRec's final users and items without noise, and each modality's global users and items.

    ``projections[m]`` and ``hyperedges[m]`` are (dim_m, d) and (dim_m, num_hyperedges).

    Source: Guo et al., 2024 (LGMRec); missing modalities are our reading.
    """
    users, items = lightgcn(user, item, train_pairs, num_layers=num_layers)
    history = interaction_matrix(train_pairs, num_users=len(users), num_items=len(items))
    adjacency = sym_adjacency(train_pairs, num_users=len(users), num_items=len(items))
    local, hyper_users, hyper_items = np.concatenate([users, items]), [], []
    for x, mask, w, v in zip(features, present, projections, hyperedges, strict=True):
        has = np.asarray(mask, dtype=np.float64)
        kept = np.where(has[:, None] > 0, np.asarray(x, dtype=np.float64), 0.0)
        counts = history @ has
        content = kept @ np.asarray(w, dtype=np.float64)
        of_users = history @ content / np.maximum(counts, 1.0)[:, None]
        smooth = _powers(adjacency, np.concatenate([of_users, content]), num_modality_layers)
        local = local + unit_rows(smooth)
        logits = kept @ np.asarray(v, dtype=np.float64)
        item_edges = _softmax(logits / temperature) * (has > 0)[:, None]
        user_edges = _softmax(history @ logits / temperature) * (counts > 0)[:, None]
        last = items
        for _ in range(num_hyper_layers):
            gathered = item_edges.T @ last
            last = item_edges @ gathered
        hyper_users.append(user_edges @ gathered)
        hyper_items.append(last)
    joint = np.concatenate([np.sum(hyper_users, axis=0), np.sum(hyper_items, axis=0)])
    final = local + alpha * unit_rows(joint)
    return final[: len(users)], final[len(users) :], hyper_users, hyper_items


def slmrec(
    user: ArrayLike,
    item: ArrayLike,
    train_pairs: ArrayLike,
    *,
    content: Sequence[ArrayLike],
    joined: tuple[Affine, Affine],
    num_layers: int = 3,
) -> tuple[Matrix, Matrix, list[Matrix]]:
    """Return SLMRec's users and items, and the items of each view, ids first.

    ``content`` are the projected features, zero where an item lacks them; ``joined`` are the maps of users and items.

    Source: Tao et al., 2022 (SLMRec).
    """
    views = [
        lightgcn(user, x, train_pairs, num_layers=num_layers) for x in (item, *map(_array, content))
    ]
    users = np.concatenate([view[0] for view in views], axis=1)
    items = np.concatenate([view[1] for view in views], axis=1)
    return _affine(users, joined[0]), _affine(items, joined[1]), [view[1] for view in views]


def slmrec_alignment(
    views: Sequence[ArrayLike],
    present: Sequence[Sequence[bool]],
    *,
    chain: Sequence[Affine],
    aligned: Sequence[Affine],
    temperature: float,
) -> float:
    """Return the task FAC on the items of each view, ids first: the ids, changed step by step, beside each modality.

    Source: Tao et al., 2022 (SLMRec), and its code.
    """
    own, total = _array(views[0]), 0.0
    for x, has, step, align in zip(views[1:], present, chain, aligned, strict=True):
        own = _affine(own, step)
        other = _affine(_array(x), align)
        total += info_nce(own, other, temperature=temperature, present=has, unit=False)
    return total


def _array(x: ArrayLike) -> Matrix:
    return np.asarray(x, dtype=np.float64)


def _affine(x: Matrix, layer: Affine) -> Matrix:
    result: Matrix = x @ _array(layer[0]).T + _array(layer[1])
    return result


def _sigmoid(x: Matrix) -> Matrix:
    return 1.0 / (1.0 + np.exp(-x))


def _softmax(x: Matrix) -> Matrix:
    exponential = np.exp(x - x.max(axis=1, keepdims=True))
    result: Matrix = exponential / exponential.sum(axis=1, keepdims=True)
    return result


def _powers(graph: ArrayLike, x: ArrayLike, times: int) -> Matrix:
    rows = _array(x)
    for _ in range(times):
        rows = _array(graph) @ rows
    return rows
