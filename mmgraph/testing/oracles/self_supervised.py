"""BM3, CM3 and LIRDRec, written out."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from mmgraph.testing.oracles.blocks import Matrix, lightgcn, unit_rows


def bm3_distance(online: ArrayLike, target: ArrayLike) -> float:
    """Return C: one less the mean cosine of the rows; 0 if there are none.

    Source: Zhou et al., 2023 (BM3); no numbered equation.

    Example:
        >>> bm3_distance([[2.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [3.0, 0.0]])
        0.5
    """
    x, y = unit_rows(online), unit_rows(target)
    return float(np.mean([1.0 - row @ other for row, other in zip(x, y, strict=True)] or [0.0]))


def bm3(
    user: ArrayLike,
    item: ArrayLike,
    predictor: tuple[ArrayLike, ArrayLike],
    train_pairs: ArrayLike,
    *,
    num_layers: int,
) -> tuple[Matrix, Matrix, Matrix, Matrix]:
    """Return BM3's smoothed users and items, and what the predictor (weight (out, in), bias) makes of both.

    Source: Zhou et al., 2023 (BM3), and its code.
    """
    users, items = lightgcn(user, item, train_pairs, num_layers=num_layers)
    items = items + np.asarray(item, dtype=np.float64)
    weight, bias = (np.asarray(x, dtype=np.float64) for x in predictor)
    return users, items, users @ weight.T + bias, items @ weight.T + bias


def cm3_alignment(user: ArrayLike, item: ArrayLike) -> float:
    """Return the mean squared distance of paired rows.

    Source: Wang and Isola, 2020.

    Example:
        >>> cm3_alignment([[1.0, 0.0]], [[0.0, 1.0]])
        2.0
    """
    pairs = zip(np.asarray(user), np.asarray(item), strict=True)
    return float(np.mean([((x - y) ** 2).sum() for x, y in pairs]))


def cm3_uniformity(x: ArrayLike, similarity: ArrayLike | None = None, *, t: float = 2.0) -> float:
    """Return the logarithm of the mean over pairs k < l of exp(-t (|x_k - x_l|^2 - 2 + 2 s_kl)), or without s.

    Source: Wang and Isola, 2020; CM3 for the calibration.

    Example:
        >>> cm3_uniformity([[1.0], [0.0]]), cm3_uniformity([[1.0], [0.0]], [[1.0, 0.5], [0.5, 1.0]])
        (-2.0, 0.0)
    """
    rows = np.asarray(x, dtype=np.float64)
    terms = []
    for k in range(len(rows)):
        for other in range(k + 1, len(rows)):
            distance = ((rows[k] - rows[other]) ** 2).sum()
            shift = 0.0 if similarity is None else 2.0 - 2.0 * np.asarray(similarity)[k, other]
            terms.append(np.exp(-t * (distance - shift)))
    return float(np.log(np.mean(terms)))


def cm3_mix(vectors: Sequence[ArrayLike], places: ArrayLike) -> Matrix:
    """Return the points of the spherical Bezier curves through unit rows, one row and place for each item.

    A row of zeros is a vector that the item lacks. The vectors of an item must not be nearly parallel or opposite.

    Source: CM3; De Casteljau's construction for more than two vectors is our reading.

    Example:
        >>> cm3_mix([[[2.0, 0.0]], [[0.0, 1.0]]], [1.0]).tolist()
        [[1.0, 0.0]]
    """
    directions = [unit_rows(x) for x in vectors]
    mixed = np.zeros_like(directions[0])
    for i, p in enumerate(np.asarray(places, dtype=np.float64)):
        points = [x[i] for x in directions if x[i].any()]
        while len(points) > 1:
            nearer = []
            for a, b in pairwise(points):
                angle = np.arccos(a @ b)
                nearer.append((np.sin(p * angle) * a + np.sin((1 - p) * angle) * b) / np.sin(angle))
            points = nearer
        if points:
            mixed[i] = points[0]
    return mixed


def lirdrec_frequencies(x: ArrayLike) -> Matrix:
    """Return the orthonormal type-II discrete cosine transform of every row, sum by sum.

    Source: LIRDRec; Ahmed et al., 1974.

    Example:
        >>> abs(lirdrec_frequencies([[3.0, 3.0, 3.0, 3.0]])).round(9).tolist()
        [[6.0, 0.0, 0.0, 0.0]]
    """
    rows = np.asarray(x, dtype=np.float64)
    width = rows.shape[1]
    result = np.zeros_like(rows)
    for k in range(width):
        scale = np.sqrt((1.0 if k == 0 else 2.0) / width)
        for j in range(width):
            result[:, k] += scale * rows[:, j] * np.cos(np.pi * (2 * j + 1) * k / (2 * width))
    return result


def lirdrec_shares(start: float, decay: float, num_epochs: int) -> list[float]:
    """Return the weight of the networks in each epoch, by the released recursion.

    Source: the code of LIRDRec, progressive weight copying.

    Example:
        >>> [round(share, 3) for share in lirdrec_shares(0.9, 0.9, 4)]
        [0.89, 0.868, 0.827, 0.758]
    """
    first, second, shares = start, 1.0 - start, []
    for epoch in range(1, num_epochs + 1):
        first = first * decay**epoch / (first * decay**epoch + second)
        second = 1.0 - first
        shares.append(first)
    return shares


def lirdrec_weights(
    blocks: Sequence[ArrayLike],
    networks: Sequence[tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike]],
    memory: ArrayLike,
    *,
    share: float,
) -> tuple[Matrix, Matrix]:
    """Return the numbers that a user's weights are the softmax of, and the weights.

    ``networks`` are (weight, bias) of both layers of each block's network, weights (out, in).

    Source: Zhou et al., 2025 (LIRDRec), progressive weight copying.
    """
    said = []
    for block, network in zip(blocks, networks, strict=True):
        first, shift, second, offset = (np.asarray(x, dtype=np.float64) for x in network)
        hidden = np.asarray(block, dtype=np.float64) @ first.T + shift
        said.append(np.where(hidden > 0, hidden, 0.01 * hidden) @ second.T + offset)
    known = np.asarray(memory, dtype=np.float64)
    logits = share * np.concatenate(said, axis=1) + (1.0 - share) * known
    exponential = np.exp(logits)
    return logits, exponential / exponential.sum(axis=1, keepdims=True)
