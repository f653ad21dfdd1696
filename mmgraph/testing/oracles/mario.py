"""MARIO, pair by pair: what an item is to a user, and how far its features can be told from it."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from mmgraph.testing.oracles.blocks import Matrix


def mario_logit(
    user: ArrayLike,
    part: ArrayLike,
    *,
    kind: Literal["scaled_dot", "dot", "bilinear", "additive"] = "scaled_dot",
    bilinear: ArrayLike = (),
    query: tuple[ArrayLike, ArrayLike] = ((), ()),
    key: ArrayLike = (),
    vector: ArrayLike = (),
) -> float:
    """Return how much of a user's attention one part of an item asks for.

    ``query`` is the weight (dim, dim) and the bias of the user's affine map, ``key`` the weight of the part's.

    Source: MARIO, modality-aware attention; the forms are our readings.

    Example:
        >>> mario_logit([1.0, 0, 0, 0], [6.0, 0, 0, 0]), mario_logit([1.0, 2.0], [3.0, 4.0], kind="dot")
        (3.0, 11.0)
    """
    u, v = np.asarray(user, dtype=np.float64), np.asarray(part, dtype=np.float64)
    if kind == "dot":
        return float(u @ v)
    if kind == "scaled_dot":
        return float(u @ v) / math.sqrt(len(u))
    if kind == "bilinear":
        return float(u @ np.asarray(bilinear) @ v)
    weight, bias = (np.asarray(x, dtype=np.float64) for x in query)
    inside = weight @ u + bias + np.asarray(key, dtype=np.float64) @ v
    return float(np.asarray(vector, dtype=np.float64) @ np.tanh(inside))


def mario_weights(
    logits: Sequence[float], present: Sequence[bool], *, hard: bool = False
) -> list[float]:
    """Return the softmax over the parts an item has, 0 for the others; ``hard`` gives all to the largest.

    Source: MARIO, modality-aware attention.

    Example:
        >>> mario_weights([0.0, 5.0, 0.0], [True, False, True])
        [0.5, 0.0, 0.5]
        >>> mario_weights([0.0, 5.0, 1.0], [True, False, True], hard=True)
        [0.0, 0.0, 1.0]
    """
    there = [m for m in range(len(logits)) if present[m]]
    if hard:
        best = max(there, key=lambda m: logits[m])
        return [float(m == best) for m in range(len(logits))]
    total = sum(math.exp(logits[m]) for m in there)
    return [math.exp(logits[m]) / total if m in there else 0.0 for m in range(len(logits))]


def mario_score(user: ArrayLike, parts: Sequence[ArrayLike], weights: Sequence[float]) -> float:
    """Return the inner product of the user and the weighed sum of the parts.

    Source: MARIO, preference predictor.

    Example:
        >>> mario_score([1.0, 2.0], [[1.0, 0.0], [0.0, 1.0]], [0.25, 0.75])
        1.75
    """
    vectors = [np.asarray(part, dtype=np.float64) for part in parts]
    fused = sum(weight * vector for weight, vector in zip(weights, vectors, strict=True))
    return float(np.asarray(user, dtype=np.float64) @ fused)


def mario_pooled(
    parts: Sequence[ArrayLike],
    present: Sequence[bool],
    *,
    kind: Literal["mean", "max", "fc"],
    linear: ArrayLike = (),
) -> Matrix:
    """Return the one vector of an item in the variants without attention.

    Source: MARIO, ablation; ``fc`` puts zeros where a part is missing, and has no bias, which changes no ranking.

    Example:
        >>> mario_pooled([[1.0, 4.0], [3.0, 0.0]], [True, True], kind="max").tolist()
        [3.0, 4.0]
    """
    vectors = [np.asarray(part, dtype=np.float64) for part in parts]
    known = [v for v, has in zip(vectors, present, strict=True) if has]
    if kind == "mean":
        return np.asarray(sum(known) / len(known))
    if kind == "max":
        return np.asarray(np.max(known, axis=0))
    filled = [v if has else np.zeros_like(v) for v, has in zip(vectors, present, strict=True)]
    return np.asarray(np.asarray(linear, dtype=np.float64) @ np.concatenate(filled))


def mario_preservation(
    hidden: ArrayLike,
    features: ArrayLike,
    present: Sequence[bool],
    *,
    decoder: tuple[ArrayLike, ArrayLike],
    relu: bool = False,
    reduction: Literal["mean", "sum"] = "mean",
) -> float:
    """Return the L1 distance of the features from what one affine layer makes of the encoded rows, of one modality.

    Source: MARIO, modality preservation; the paper sums.

    Example:
        >>> decoder = [[1.0], [2.0]], [0.0, 0.0]
        >>> mario_preservation([[1.0], [9.0]], [[1.0, 3.0], [0.0, 0.0]], [True, False], decoder=decoder)
        0.5
    """
    rows, x = np.asarray(hidden, dtype=np.float64), np.asarray(features, dtype=np.float64)
    weight, bias = (np.asarray(part, dtype=np.float64) for part in decoder)
    total, count = 0.0, 0
    for j in range(len(rows)):
        if not present[j]:
            continue
        decoded = weight @ rows[j] + bias
        if relu:
            decoded = np.maximum(decoded, 0.0)
        for f in range(x.shape[1]):
            total += abs(float(decoded[f]) - float(x[j, f]))
            count += 1
    return total / max(1, count) if reduction == "mean" else total
