"""MARGO, triple by triple."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from mmgraph.testing.oracles.blocks import Matrix


def margo_weights(logits: ArrayLike, present: ArrayLike | None = None) -> Matrix:
    """Return w: for each item the softmax over the modalities it has, or over all if it has none.

    Source: MARGO, eq. (3); missing modalities are our reading.

    Example:
        >>> margo_weights([[0.0, 0.0], [5.0, 9.0]], [[True, True], [True, False]]).tolist()
        [[0.5, 0.5], [1.0, 0.0]]
    """
    rows = np.asarray(logits, dtype=np.float64)
    weights = np.zeros_like(rows)
    for item, row in enumerate(rows):
        known = _known(present, item, row.size)
        exponential = np.exp(row[known])
        weights[item, known] = exponential / exponential.sum()
    return weights


def margo_scores(
    users: Sequence[ArrayLike], items: Sequence[ArrayLike], weights: ArrayLike | None = None
) -> Matrix:
    """Return the ratings of all pairs: the sum over modalities, times the items' weights where they are given.

    Source: MARGO, eqs. (2)-(3); eq. (9) without weights.

    Example:
        >>> margo_scores([[[1.0]], [[2.0]]], [[[3.0]], [[5.0]]], [[0.5, 0.5]]).tolist()
        [[6.5]]
    """
    total = np.zeros((len(np.asarray(users[0])), len(np.asarray(items[0]))))
    for m, (user, item) in enumerate(zip(users, items, strict=True)):
        rating = np.asarray(user, dtype=np.float64) @ np.asarray(item, dtype=np.float64).T
        total += rating if weights is None else rating * np.asarray(weights)[:, m]
    return total


def margo_reliability(difference: ArrayLike) -> Matrix:
    """Return z for the differences of one triple, with the paper's own number in place of negative ones.

    Source: MARGO, eq. (6). Shifted before the exponential, which changes no ratio: -e^6 alone would underflow.

    Example:
        >>> margo_reliability([1.0, 1.0, -1.0]).round(12).tolist(), margo_reliability([-1.0, -2.0]).tolist()
        ([0.5, 0.5, 0.0], [0.5, 0.5])
    """
    d = np.asarray(difference, dtype=np.float64)
    g = np.where(d >= 0, d, -np.exp(6.0))
    exponential = np.exp(g - g.max())
    return np.asarray(exponential / exponential.sum())


def margo_confidence(positive: float, negative: float, *, tau: float) -> float:
    """Return gamma of one triple.

    Source: MARGO, eq. (7).
    """
    return float(np.tanh((positive - negative) / tau)) if positive > negative else 0.0


def margo_calibration(
    users: Sequence[ArrayLike],
    items: Sequence[ArrayLike],
    logits: ArrayLike,
    triples: ArrayLike,
    *,
    tau: float,
    present: ArrayLike | None = None,
    kl_target: str = "mean",
    score_scale: float = 1.0,
) -> Matrix:
    """Return gamma * KL(z || target) of each triple of user, positive and negative item.

    The target is the mean of both items' weights, or their sum as the paper has it, over the modalities that both have.
    ``score_scale`` multiplies the ratings that the confidence is made of.

    Source: MARGO, eqs. (5)-(8); missing modalities are our reading.
    """
    rows = np.asarray(logits, dtype=np.float64)
    num_modalities = rows.shape[1]
    ratings = [margo_scores([user], [item]) for user, item in zip(users, items, strict=True)]
    final = score_scale * margo_scores(users, items, margo_weights(rows, present))
    terms = []
    for u, i, k in np.asarray(triples):
        shared = [
            m for m in _known(present, i, num_modalities) if m in _known(present, k, num_modalities)
        ]
        if not shared:
            terms.append(0.0)
            continue
        z = margo_reliability([ratings[m][u, i] - ratings[m][u, k] for m in shared])
        target = margo_weights(rows[[i, k]][:, shared]).sum(axis=0)
        if kl_target == "mean":
            target = target / 2
        kl = sum(p * np.log(p / q) for p, q in zip(z, target, strict=True) if p > 0)
        terms.append(margo_confidence(final[u, i], final[u, k], tau=tau) * kl)
    return np.asarray(terms)


def _known(present: ArrayLike | None, item: int, num_modalities: int) -> list[int]:
    """Return the modalities of an item, or all where it has none."""
    if present is None:
        return list(range(num_modalities))
    row = np.asarray(present, dtype=bool)[item]
    return [m for m in range(num_modalities) if row[m] or not row.any()]
