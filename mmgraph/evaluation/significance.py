"""Whether a difference between two models is more than chance: paired over users, corrected for many questions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

from mmgraph.errors import DataError

__all__ = ["PairedTest", "holm", "paired_t_test"]

CONFIDENCE = 0.95

# Differences that vary less than this, next to the values they come from, vary by rounding alone.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class PairedTest:
    """What a paired t-test found.

    Attributes:
        num_users: How many differences there were.
        difference: Their mean: the first minus the second.
        low: Lower end of the 95 % confidence interval of the mean; None where there is no test.
        high: Its upper end.
        p_value: Two-sided; None where there is no test: a single user, or the same difference for every user.
    """

    num_users: int
    difference: float
    low: float | None
    high: float | None
    p_value: float | None


def paired_t_test(first: ArrayLike, second: ArrayLike) -> PairedTest:
    """Compare two models on the same users.

    Each user's values are averaged over the seeds first: seeds of one user are not independent, users are taken to be.

    Source: Student, 1908; for rankings, Smucker, Allan and Carterette, 2007.

    Args:
        first: Values of the first model, one row a seed.
        second: Values of the second, the users in the same order; it may have another number of seeds.

    Raises:
        DataError: the users are not as many, or there are none, or a value is not finite.

    Shapes:
        first (seeds, users) or (users,), second (other seeds, users) or (users,).

    Example:
        >>> found = paired_t_test([[0.2, 0.4, 0.9]], [[0.1, 0.2, 0.6]])
        >>> round(found.difference, 6), round(found.p_value, 4)
        (0.2, 0.0742)
    """
    mine, theirs = _of_users(first), _of_users(second)
    if len(mine) != len(theirs):
        raise DataError(
            f"both models must be measured on the same users (got {len(mine)} and {len(theirs)}); "
            "use the same split for both"
        )
    difference, count = mine - theirs, len(mine)
    mean = float(difference.mean())
    scale = max(float(np.abs(mine).max()), float(np.abs(theirs).max()))
    spread = float(difference.std(ddof=1)) if count > 1 else 0.0
    if spread <= _ROUNDING * scale:
        return PairedTest(count, mean, None, None, None)
    error = spread / math.sqrt(count)
    reach = error * float(stdtrit(count - 1, (1 + CONFIDENCE) / 2))
    p_value = 2 * float(stdtr(count - 1, -abs(mean) / error))
    return PairedTest(count, mean, mean - reach, mean + reach, p_value)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct the p-values of several comparisons, so that one wrong claim among all stays as rare as for one.

    The smallest is multiplied by their number, the next by one less, and so on; none gets below one before it, none
    above 1. A missing one stays missing and does not count.

    Source: Holm, 1979.

    Example:
        >>> holm([0.01, 0.04, None, 0.03])
        [0.03, 0.06, None, 0.06]
    """
    corrected: list[float | None] = [None] * len(p_values)
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - rank)))
        corrected[place] = largest
    return corrected


def _of_users(values: ArrayLike) -> NDArray[np.float64]:
    array = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if array.ndim != 2 or not array.size:
        raise DataError(
            f"values must be seeds by users, at least one of each (got shape {array.shape}); "
            "give one row for each seed"
        )
    if not np.isfinite(array).all():
        raise DataError("values must be finite (got one that is not); measure that run again")
    mean: NDArray[np.float64] = array.mean(axis=0)
    return mean
