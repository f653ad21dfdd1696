"""NBPO, pair by pair: likelihoods of noisy labels, and the gradients that are printed for them."""

import math
from typing import Literal

Criterion = Literal["bpo", "exact", "surrogate", "nbpo"]


def nbpo_likelihood(score: float, flip: float, *, voted: bool) -> float:
    """Return the probability of a pair to be voted for, or not, with the logits of preference and of a flip.

    Source: NBPO; nobody votes for what they do not like.

    Example:
        >>> nbpo_likelihood(0.0, 0.0, voted=True), nbpo_likelihood(0.0, 0.0, voted=False)
        (0.25, 0.75)
    """
    p, gamma = _logistic(score), _logistic(flip)
    return (1 - gamma) * p if voted else gamma * p + (1 - p)


def nbpo_gain(score: float, flip: float, *, voted: bool, criterion: Criterion) -> float:
    """Return what one pair contributes to what is maximised.

    Source: NBPO and the other criteria of its code.

    Example:
        >>> nbpo_gain(0.0, 0.0, voted=False, criterion="surrogate")
        0.75
    """
    p, gamma = _logistic(score), _logistic(flip)
    if criterion == "bpo":
        return math.log(p) if voted else math.log(1 - p)
    if criterion == "exact":
        return math.log(nbpo_likelihood(score, flip, voted=voted))
    if criterion == "surrogate":
        return nbpo_likelihood(score, flip, voted=voted)
    if voted:
        return (1 - gamma) * math.log(p) + p * math.log(1 - gamma)
    return gamma * math.log(p) + p * math.log(gamma) + math.log(1 - p)


def nbpo_gradient(
    score: float, flip: float, *, voted: bool, criterion: Criterion, clip: float | None = None
) -> tuple[float, float]:
    """Return the derivatives of what one pair contributes by its score and by its flip logit, in closed form.

    ``clip`` makes chances beyond a logit certain, as the released code does.

    Source: NBPO; those of ``nbpo`` are surrogates, not the derivatives of :func:`nbpo_gain`.

    Example:
        >>> nbpo_gradient(0.0, 0.0, voted=True, criterion="nbpo")
        (0.25, -0.25)
        >>> nbpo_gradient(0.0, 0.0, voted=False, criterion="nbpo")
        (-0.25, 0.25)
    """
    p, gamma = _logistic(score, clip), _logistic(flip, clip)
    if criterion == "bpo":
        return (1 - p, 0.0) if voted else (-p, 0.0)
    if criterion == "exact":
        unvoted = 1 - p + gamma * p + (1e-10 if clip else 0.0)
        if voted:
            return 1 - p, -gamma
        return -(1 - gamma) * p * (1 - p) / unvoted, gamma * (1 - gamma) * p / unvoted
    if criterion == "surrogate":
        by_score, by_flip = (1 - gamma) * p * (1 - p), p * gamma * (1 - gamma)
        return (by_score, -by_flip) if voted else (-by_score, by_flip)
    if voted:
        return (1 - gamma) * (1 - p), -gamma * p
    return gamma * (1 - p) - p, (1 - gamma) * p


def _logistic(x: float, clip: float | None = None) -> float:
    if clip is not None and abs(x) > clip:
        return float(x > 0)
    return 1 / (1 + math.exp(-x))
