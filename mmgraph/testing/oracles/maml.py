"""MAML, pair by pair: where features put an item, what a pair pays attention to, how far it is apart."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from mmgraph.testing.oracles.blocks import Matrix

Layer = tuple[ArrayLike, ArrayLike]
"""Weight (out, in) and bias (out,) of an affine map."""


def maml_projection(
    features: Sequence[ArrayLike], layers: Sequence[Layer], *, max_norm: float = 1.0
) -> Matrix:
    """Return the point that the features of one item, one vector for each modality, are projected to.

    The rectifier follows all layers but the last, whose input alone is not brought to unit length.

    Source: MAML, eqs. (3)-(4), and its code.

    Example:
        >>> layers = [([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])] * 2
        >>> maml_projection([[3.0], [-4.0]], layers).tolist()
        [0.6, 0.0]
    """
    hidden = np.concatenate([np.asarray(x, dtype=np.float64) for x in features])
    for weight, bias in layers[:-1]:
        inside = np.asarray(weight, dtype=np.float64) @ _unit(hidden) + np.asarray(bias)
        hidden = np.maximum(inside, 0.0)
    weight, bias = layers[-1]
    point = np.asarray(weight, dtype=np.float64) @ hidden + np.asarray(bias, dtype=np.float64)
    return np.asarray(point * min(1.0, max_norm / max(float(np.linalg.norm(point)), 1e-300)))


def maml_attention(
    user: ArrayLike, item: ArrayLike, content: ArrayLike, hidden: Layer, output: Layer
) -> Matrix:
    """Return the weights of the dimensions for one pair; they add up to the number of dimensions.

    Source: MAML, eqs. (5)-(8).

    Example:
        >>> nothing = [[0.0] * 3], [0.0]
        >>> maml_attention([1.0], [2.0], [3.0], nothing, ([[1.0]], [0.0])).tolist()
        [1.0]
    """
    given = np.concatenate([np.asarray(x, dtype=np.float64) for x in (user, item, content)])
    inner = np.tanh(np.asarray(hidden[0]) @ _unit(given) + np.asarray(hidden[1]))
    logits = np.maximum(np.asarray(output[0]) @ _unit(inner) + np.asarray(output[1]), 0.0)
    shares = np.exp(logits) / np.exp(logits).sum()
    return np.asarray(len(np.asarray(user)) * shares)


def maml_distance(user: ArrayLike, item: ArrayLike, weights: ArrayLike) -> float:
    """Return the squared distance of two points whose dimensions are stretched by weights.

    Source: MAML, eq. (9).

    Example:
        >>> maml_distance([1.0, 0.0], [0.0, 2.0], [2.0, 0.5])
        5.0
    """
    apart = np.asarray(user, dtype=np.float64) - np.asarray(item, dtype=np.float64)
    return float(((np.asarray(weights) * apart) ** 2).sum())


def maml_hinge(positive: ArrayLike, negative: ArrayLike, *, margin: float, num_items: int) -> float:
    """Return the hinge of the closest negative, by the logarithm of the estimated rank; the mean over the triples.

    Source: MAML, eqs. (10)-(12).

    Example:
        >>> round(maml_hinge([1.0], [[5.0, 1.5]], margin=1.0, num_items=2), 6)  # rank 1, ln 2 * 0.5
        0.346574
    """
    near, far = np.asarray(positive, dtype=np.float64), np.asarray(negative, dtype=np.float64)
    total = 0.0
    for i in range(len(near)):
        impostors = sum(margin + near[i] - d > 0 for d in far[i])
        rank = num_items * impostors / far.shape[1]
        total += math.log(1 + rank) * max(0.0, margin + near[i] - far[i].min())
    return float(total / len(near))


def maml_covariance(points: ArrayLike, *, signed: bool = False) -> float:
    """Return the sum of the covariances of different dimensions, squared or with their signs.

    Source: MAML, eq. (15); signed as in its code.

    Example:
        >>> maml_covariance([[1.0, 2.0], [-1.0, -2.0]]), maml_covariance([[1.0, 2.0], [-1.0, -2.0]], signed=True)
        (8.0, 4.0)
    """
    x = np.asarray(points, dtype=np.float64)
    total = 0.0
    for a in range(x.shape[1]):
        for b in range(x.shape[1]):
            if a != b:
                value = float(((x[:, a] - x[:, a].mean()) * (x[:, b] - x[:, b].mean())).mean())
                total += value if signed else value**2
    return total


def _unit(x: Matrix) -> Matrix:
    length = float(np.linalg.norm(x))
    return np.asarray(x / length) if length else x
