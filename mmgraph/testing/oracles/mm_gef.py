"""MM-GEF, step by step."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from mmgraph.testing.oracles.blocks import (
    Matrix,
    interaction_matrix,
    lightgcn,
    normalized_graph,
    unit_rows,
)


def mm_gef_features(
    features: Sequence[ArrayLike],
    present: Sequence[ArrayLike],
    *,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    unit: bool = True,
) -> Matrix:
    """Return the mean of an item's feature vectors, at unit length if so wanted, then projected to ``X W + b``.

    Items without any modality get zeros. ``weight`` is (in_dim, out_dim), the transpose of ``torch.nn.Linear``'s.

    Source: MM-GEF, section 3.2 (no numbered equation); unit length and presence are our reading.
    """
    matrices = [unit_rows(x) if unit else np.asarray(x, dtype=np.float64) for x in features]
    masks = [np.asarray(mask, dtype=bool) for mask in present]
    fused = np.zeros_like(matrices[0])
    anywhere = np.zeros(len(fused), dtype=bool)
    for row in range(len(fused)):
        known = [x[row] for x, mask in zip(matrices, masks, strict=True) if mask[row]]
        if known:
            fused[row], anywhere[row] = sum(known) / len(known), True
    if weight is None:
        return fused
    fused = fused @ np.asarray(weight, dtype=np.float64)
    if bias is not None:
        fused = fused + np.asarray(bias, dtype=np.float64)
    fused[~anywhere] = 0.0
    return fused


def mm_gef_projected_features(
    features: Sequence[ArrayLike],
    present: Sequence[ArrayLike],
    *,
    weights: Sequence[ArrayLike],
    biases: Sequence[ArrayLike],
    unit: bool = True,
) -> Matrix:
    """Return the mean of an item's projected modalities, each ``unit(X_m) W_m + b_m``; widths may differ.

    Source: none; how mmgraph extends section 3.2 of MM-GEF to features of unequal width.
    """
    blocks = [unit_rows(x) if unit else np.asarray(x, dtype=np.float64) for x in features]
    projected = [
        x @ np.asarray(weight, dtype=np.float64) + np.asarray(bias, dtype=np.float64)
        for x, weight, bias in zip(blocks, weights, biases, strict=True)
    ]
    fused = np.zeros_like(projected[0])
    for row in range(len(fused)):
        known = [
            x[row] for x, mask in zip(projected, present, strict=True) if np.asarray(mask)[row]
        ]
        if known:
            fused[row] = sum(known) / len(known)
    return fused


def mm_gef_features_side_by_side(
    features: Sequence[ArrayLike], present: Sequence[ArrayLike], *, unit: bool = True
) -> Matrix:
    """Return an item's feature vectors side by side, at unit length if so wanted; zeros for what it lacks.

    Source: none; the alternative to the mean of section 3.2 of MM-GEF.

    Example:
        >>> mm_gef_features_side_by_side([[[3.0, 4.0]], [[5.0]]], [[True], [False]]).tolist()
        [[0.6, 0.8, 0.0]]
    """
    blocks = [unit_rows(x) if unit else np.asarray(x, dtype=np.float64) for x in features]
    kept = [x * np.asarray(mask)[:, None] for x, mask in zip(blocks, present, strict=True)]
    return np.concatenate(kept, axis=1)


def mm_gef_content_graph(
    fused: ArrayLike, *, k: int, include_self: bool = True, present: ArrayLike | None = None
) -> Matrix:
    """Return E^m: in row i the k largest cosines of item i, the others zero; not symmetric.

    With ``include_self`` the item itself is always among the k, also where copies of it exist. Ties go to the
    smaller index. Items that are absent or all zero have an empty row and column.

    Source: MM-GEF, eqs. (1)-(2).
    """
    unit = unit_rows(fused)
    known = unit.any(axis=1)
    if present is not None:
        known &= np.asarray(present, dtype=bool)
    graph = np.zeros((len(unit), len(unit)))
    for item in np.flatnonzero(known):
        # Summed row by row: equal rows give equal cosines to the last bit, so ties are ties.
        cosine = (unit * unit[item]).sum(axis=1)
        key = np.where(known, cosine, -np.inf)
        key[item] = np.inf if include_self else -np.inf
        best = [j for j in np.argsort(-key, kind="stable") if key[j] > -np.inf][:k]
        graph[item, best] = cosine[best]
    return graph


def mm_gef_cointeraction_graph(
    train_pairs: ArrayLike,
    *,
    num_users: int,
    num_items: int,
    norm: Literal["max", "row_max", "sym"] = "max",
) -> Matrix:
    """Return E^c: how many users two items share, divided by the largest such number; zero diagonal.

    With ``row_max`` by the largest number of the row, with ``sym`` by the roots of both rows' sums.

    Source: MM-GEF, eqs. (3)-(4); the diagonal, which would hold the popularity, is left out. In eq. (4) the maximum has
    no index.
    """
    interactions = interaction_matrix(train_pairs, num_users=num_users, num_items=num_items)
    counts = interactions.T @ interactions
    np.fill_diagonal(counts, 0.0)
    if norm == "sym":
        return normalized_graph(counts, norm="sym")
    if norm == "row_max":
        largest = counts.max(axis=1, keepdims=True, initial=0.0)
        return np.asarray(counts / np.maximum(largest, 1.0), dtype=np.float64)
    scaled: Matrix = counts / max(counts.max(initial=0.0), 1.0)
    return scaled


def mm_gef_item_graph(
    content: ArrayLike,
    cointeraction: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
) -> Matrix:
    """Return E^u: for each pair of items the soft-attention weighted sum of its two weights.

    Of ``weight`` (2, 2) and ``bias`` (2,), both given is attention by edge, only ``bias`` is one attention for all
    edges, none given is the plain sum.

    Source: MM-GEF, eq. (5), the softmax over two logits written out.
    """
    first = np.asarray(content, dtype=np.float64)
    second = np.asarray(cointeraction, dtype=np.float64)
    if bias is None:
        return first + second
    matrix = np.zeros((2, 2)) if weight is None else np.asarray(weight, dtype=np.float64)
    offset = np.asarray(bias, dtype=np.float64)
    one = np.exp(matrix[0, 0] * first + matrix[0, 1] * second + offset[0])
    two = np.exp(matrix[1, 0] * first + matrix[1, 1] * second + offset[1])
    fused: Matrix = one / (one + two) * first + two / (one + two) * second
    return fused


def mm_gef_neighbour_attention(
    content: ArrayLike, cointeraction: ArrayLike, *, weight: ArrayLike
) -> Matrix:
    """Return E^u: in row i the softmax of the two weighted weights of an edge over the neighbours of item i.

    Source: MM-GEF, eq. (5), read as an attention over neighbours.

    Example:
        >>> mm_gef_neighbour_attention([[0.0, 1.0], [0.5, 0.5]], [[0.0, 0.0], [0.0, 0.0]], weight=[1.0, 2.0]).tolist()
        [[0.0, 1.0], [0.5, 0.5]]
    """
    first = np.asarray(content, dtype=np.float64)
    second = np.asarray(cointeraction, dtype=np.float64)
    one, two = np.asarray(weight, dtype=np.float64)
    power = np.where((first != 0) | (second != 0), np.exp(one * first + two * second), 0.0)
    return unit_sums(power)


def unit_sums(rows: ArrayLike) -> Matrix:
    """Return rows divided by their sums; rows of zeros stay.

    Example:
        >>> unit_sums([[1.0, 3.0], [0.0, 0.0]]).tolist()
        [[0.25, 0.75], [0.0, 0.0]]
    """
    dense = np.asarray(rows, dtype=np.float64)
    sums = dense.sum(axis=1, keepdims=True)
    result: Matrix = dense / np.where(sums > 0, sums, 1.0)
    return result


def lattice_mean(
    user: ArrayLike, item: ArrayLike, train_pairs: ArrayLike, *, num_layers: int
) -> tuple[Matrix, Matrix]:
    """Return LATTICE's users and items: the mean of the powers of (D + I)^-1 (A + I) on the id rows.

    Source: the released code of Zhang et al., 2021 (LATTICE).
    """
    users, items = np.asarray(user, dtype=np.float64), np.asarray(item, dtype=np.float64)
    joint = np.eye(len(users) + len(items))
    for u, i in np.asarray(train_pairs, dtype=np.int64).reshape(-1, 2):
        joint[u, len(users) + i] = joint[len(users) + i, u] = 1.0
    layers = [np.concatenate([users, items])]
    for _ in range(num_layers):
        layers.append(unit_sums(joint) @ layers[-1])
    final = np.mean(layers, axis=0)
    return final[: len(users)], final[len(users) :]


def mm_gef_message(graph: ArrayLike, item: ArrayLike, *, num_item_layers: int = 1) -> Matrix:
    """Return h^T, where h^t = E^u h^(t-1) and h^0 are the item id rows.

    Source: MM-GEF, eq. (6).
    """
    message = np.asarray(item, dtype=np.float64)
    for _ in range(num_item_layers):
        message = np.asarray(graph, dtype=np.float64) @ message
    return message


def mm_gef_final_items(smooth_item: ArrayLike, message: ArrayLike) -> Matrix:
    """Return LightGCN's items plus the message at unit length; an empty message adds nothing.

    Source: MM-GEF, eq. (7).
    """
    return np.asarray(smooth_item, dtype=np.float64) + unit_rows(message)


def mm_gef(
    user: ArrayLike,
    item: ArrayLike,
    train_pairs: ArrayLike,
    *,
    item_graph: ArrayLike,
    num_layers: int = 2,
    num_item_layers: int = 1,
    ui_norm: Literal["sym", "rw_self"] = "sym",
    cold_id_scale: float = 1.0,
) -> tuple[Matrix, Matrix]:
    """Return MM-GEF's final users and items for the fused item graph E^u of ``mm_gef_item_graph``.

    ``ui_norm`` chooses LightGCN's operator or LATTICE's; ``cold_id_scale`` is a factor of the smoothed rows of items
    without any interaction.

    Source: MM-GEF, eqs. (6)-(7), with LightGCN's users and items (He et al., 2020, eqs. (3)-(4)).

    Example:
        >>> users, items = mm_gef([[1.0]], [[3.0]], [[0, 0]], item_graph=[[1.0]], num_layers=1)
        >>> users.tolist(), items.tolist()
        ([[2.0]], [[3.0]])
    """
    smooth = lightgcn if ui_norm == "sym" else lattice_mean
    users, items = smooth(user, item, train_pairs, num_layers=num_layers)
    for cold in set(range(len(items))) - set(np.asarray(train_pairs).reshape(-1, 2)[:, 1].tolist()):
        items[cold] = cold_id_scale * items[cold]
    message = mm_gef_message(item_graph, item, num_item_layers=num_item_layers)
    return users, mm_gef_final_items(items, message)
