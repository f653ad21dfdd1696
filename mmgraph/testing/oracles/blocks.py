"""Matrices, criteria and LightGCN, which the other oracles are made of."""

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
