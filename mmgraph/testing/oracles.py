"""Dense float64 versions of the equations, as plain as the papers print them.

Slow, and of quadratic size: for graphs of a few dozen nodes. They share no code with the package; matrices are
numpy arrays, row ``i`` of an item graph belongs to the item that receives. Edges are given as ``train_pairs``, one
(user, item) in a row, without duplicates.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix: TypeAlias = NDArray[np.float64]


def interaction_matrix(train_pairs: ArrayLike, *, num_users: int, num_items: int) -> Matrix:
    """Return the binary matrix R of users by items.

    Example:
        >>> interaction_matrix([[0, 1]], num_users=1, num_items=2).tolist()
        [[0.0, 1.0]]
    """
    matrix = np.zeros((num_users, num_items))
    for user, item in np.asarray(train_pairs, dtype=np.int64).reshape(-1, 2):
        matrix[user, item] = 1.0
    return matrix


def sym_adjacency(train_pairs: ArrayLike, *, num_users: int, num_items: int) -> Matrix:
    """Return the joint matrix over users, then items, each edge weighing 1 / sqrt(d_u d_i); no self loops.

    Source: He et al., 2020 (LightGCN), eqs. (6)-(7), the matrix form of eq. (3).

    Example:
        >>> sym_adjacency([[0, 0]], num_users=1, num_items=1).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    interactions = interaction_matrix(train_pairs, num_users=num_users, num_items=num_items)
    size = num_users + num_items
    joint = np.zeros((size, size))
    joint[:num_users, num_users:] = interactions
    joint[num_users:, :num_users] = interactions.T
    degree = joint.sum(axis=1)
    for row, column in np.argwhere(joint):
        joint[row, column] = 1.0 / np.sqrt(degree[row] * degree[column])
    return joint


def lightgcn(
    user: ArrayLike, item: ArrayLike, train_pairs: ArrayLike, *, num_layers: int
) -> tuple[Matrix, Matrix]:
    """Return LightGCN's final users and items: the mean of layers 0..K.

    Source: He et al., 2020 (LightGCN), eq. (3) for a layer, eq. (4) with a_k = 1 / (K + 1) for the mean.

    Shapes:
        user (num_users, dim), item (num_items, dim); returns the same two shapes.
    """
    users, items = np.asarray(user, dtype=np.float64), np.asarray(item, dtype=np.float64)
    adjacency = sym_adjacency(train_pairs, num_users=len(users), num_items=len(items))
    layers = [np.concatenate([users, items])]
    for _ in range(num_layers):
        layers.append(adjacency @ layers[-1])
    final = np.mean(layers, axis=0)
    return final[: len(users)], final[len(users) :]


def bpr(positive: ArrayLike, negative: ArrayLike) -> float:
    """Return the mean of -ln sigmoid(s+ - s-), literally; good for differences of up to a few hundred.

    Source: Rendle et al., 2009 (BPR), criterion BPR-OPT.
    """
    difference = np.asarray(positive, dtype=np.float64) - np.asarray(negative, dtype=np.float64)
    return float(np.mean(-np.log(1.0 / (1.0 + np.exp(-difference)))))


def half_squared_penalty(blocks: Sequence[ArrayLike]) -> float:
    """Return half the sum of all squares, divided by the number of rows of a block.

    Source: He et al., 2020 (LightGCN), the L2 term of eq. (15), with the factors of the authors' code.
    """
    matrices = [np.asarray(block, dtype=np.float64) for block in blocks]
    return float(0.5 * sum((matrix**2).sum() for matrix in matrices) / len(matrices[0]))


def norm_penalty(blocks: Sequence[ArrayLike]) -> float:
    """Return the sum of the blocks' Frobenius norms, not squared, divided by the number of rows.

    Source: the embedding loss of the MMRec framework (Zhou, 2023); no numbered equation.
    """
    matrices = [np.asarray(block, dtype=np.float64) for block in blocks]
    return float(sum(np.sqrt((matrix**2).sum()) for matrix in matrices) / len(matrices[0]))


def mean_squared_penalty(blocks: Sequence[ArrayLike]) -> float:
    """Return the sum of the blocks' mean squares.

    Source: the code of MMGCN (Wei et al., 2019) and DRAGON (Zhou et al., 2023); no numbered equation.
    """
    return float(sum((np.asarray(block, dtype=np.float64) ** 2).mean() for block in blocks))


def unit_rows(x: ArrayLike) -> Matrix:
    """Return every row divided by its Euclidean length; zero rows stay zero.

    Example:
        >>> unit_rows([[3.0, 4.0], [0.0, 0.0]]).tolist()
        [[0.6, 0.8], [0.0, 0.0]]
    """
    matrix = np.asarray(x, dtype=np.float64)
    length = np.sqrt((matrix**2).sum(axis=1, keepdims=True))
    unit: Matrix = np.divide(matrix, length, out=np.zeros_like(matrix), where=length > 0)
    return unit


def mm_gef_features(
    features: Sequence[ArrayLike],
    present: Sequence[ArrayLike],
    *,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
) -> Matrix:
    """Return the mean of an item's unit feature vectors, then projected to ``X W + b``.

    Items without any modality get zeros. ``weight`` is (in_dim, out_dim), the transpose of ``torch.nn.Linear``'s.

    Source: MM-GEF, section 3.2 (no numbered equation); unit length and presence are our reading.
    """
    matrices = [unit_rows(x) for x in features]
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
) -> Matrix:
    """Return the mean of an item's projected modalities, each ``unit(X_m) W_m + b_m``; widths may differ.

    Source: none; how mmgraph extends section 3.2 of MM-GEF to features of unequal width.
    """
    projected = [
        unit_rows(x) @ np.asarray(weight, dtype=np.float64) + np.asarray(bias, dtype=np.float64)
        for x, weight, bias in zip(features, weights, biases, strict=True)
    ]
    fused = np.zeros_like(projected[0])
    for row in range(len(fused)):
        known = [
            x[row] for x, mask in zip(projected, present, strict=True) if np.asarray(mask)[row]
        ]
        if known:
            fused[row] = sum(known) / len(known)
    return fused


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


def mm_gef_cointeraction_graph(train_pairs: ArrayLike, *, num_users: int, num_items: int) -> Matrix:
    """Return E^c: how many users two items share, divided by the largest such number; zero diagonal.

    Source: MM-GEF, eqs. (3)-(4); the diagonal, which would hold the popularity, is left out.
    """
    interactions = interaction_matrix(train_pairs, num_users=num_users, num_items=num_items)
    counts = interactions.T @ interactions
    np.fill_diagonal(counts, 0.0)
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


def normalized_graph(graph: ArrayLike, *, norm: Literal["none", "row", "sym"]) -> Matrix:
    """Return E_ij / r_i (``row``) or E_ij / sqrt(r_i r_j) (``sym``) with r the row sums.

    Where a needed sum is not positive the weight is zero.

    Source: Zhang et al., 2021 (LATTICE), eq. (4) for ``sym``.
    """
    dense = np.asarray(graph, dtype=np.float64)
    if norm == "none":
        return dense
    sums = dense.sum(axis=1)
    result = np.zeros_like(dense)
    for i, j in np.argwhere(dense):
        if sums[i] > 0 and norm == "row":
            result[i, j] = dense[i, j] / sums[i]
        elif sums[i] > 0 and sums[j] > 0:
            result[i, j] = dense[i, j] / np.sqrt(sums[i] * sums[j])
    return result


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
) -> tuple[Matrix, Matrix]:
    """Return MM-GEF's final users and items for the fused item graph E^u of ``mm_gef_item_graph``.

    Source: MM-GEF, eqs. (6)-(7), with LightGCN's users and items (He et al., 2020, eqs. (3)-(4)).

    Example:
        >>> users, items = mm_gef([[1.0]], [[3.0]], [[0, 0]], item_graph=[[1.0]], num_layers=1)
        >>> users.tolist(), items.tolist()
        ([[2.0]], [[3.0]])
    """
    users, items = lightgcn(user, item, train_pairs, num_layers=num_layers)
    message = mm_gef_message(item_graph, item, num_item_layers=num_item_layers)
    return users, mm_gef_final_items(items, message)


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
