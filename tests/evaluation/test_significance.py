"""Paired tests: numbers worked out by hand, scipy as a second opinion, and what has no test."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_rel

from mmgraph.errors import DataError
from mmgraph.evaluation import holm, paired_t_test


def test_a_test_worked_out_by_hand() -> None:
    # Differences 1, 2, 3: mean 2, standard deviation 1, error 1 / sqrt(3), t = 2 sqrt(3) = 3.4641 with 2 degrees.
    # For two degrees of freedom the two-sided p is 1 - t / sqrt(2 + t^2), and the 97.5 % quantile is 4.30265.
    found = paired_t_test([[2.0, 4.0, 6.0]], [[1.0, 2.0, 3.0]])
    t = 2 * math.sqrt(3)
    assert (found.num_users, found.difference) == (3, 2.0)
    assert found.p_value == pytest.approx(1 - t / math.sqrt(2 + t * t), rel=1e-12)
    assert found.high == pytest.approx(2 + 4.302652729911275 / math.sqrt(3), rel=1e-9)
    assert found.low == pytest.approx(2 - 4.302652729911275 / math.sqrt(3), rel=1e-9)


@pytest.mark.parametrize("users", [2, 7, 500])
def test_scipy_agrees(users: int) -> None:
    rng = np.random.default_rng(users)
    first, second = rng.random(users), rng.random(users) - 0.1
    theirs = ttest_rel(first, second)
    interval = theirs.confidence_interval(0.95)
    mine = paired_t_test(first, second)
    assert mine.p_value == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (mine.low, mine.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    turned = paired_t_test(second, first)
    assert turned.p_value == pytest.approx(mine.p_value, rel=1e-12)
    assert turned.difference == -mine.difference


def test_seeds_are_averaged_for_each_user_before_the_test() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.random((5, 30)), rng.random((2, 30))
    mine = paired_t_test(first, second)
    theirs = ttest_rel(first.mean(axis=0), second.mean(axis=0))
    assert mine.num_users == 30
    assert mine.p_value == pytest.approx(theirs.pvalue, rel=1e-9)
    # Seeds taken for users would claim to know more than they do.
    repeated = ttest_rel(np.tile(first.mean(axis=0), 4), np.tile(second.mean(axis=0), 4))
    assert repeated.pvalue < mine.p_value


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        ([[0.5]], [[0.25]], 0.25),
        ([[0.5, 0.25]], [[0.5, 0.25]], 0.0),
        ([[0.3, 0.4, 0.9]], [[0.2, 0.3, 0.8]], 0.1),
    ],
    ids=["one user", "equal models", "the same difference but for rounding"],
)
def test_without_variation_there_is_no_test(
    first: list[list[float]], second: list[list[float]], difference: float
) -> None:
    found = paired_t_test(first, second)
    assert found.difference == pytest.approx(difference)
    assert (found.low, found.high, found.p_value) == (None, None, None)


@pytest.mark.parametrize(
    ("first", "second", "part"),
    [
        ([[1.0, 2.0]], [[1.0]], "same users"),
        ([[]], [[]], "at least one"),
        ([[1.0, math.nan]], [[1.0, 2.0]], "finite"),
        ([[[1.0]]], [[1.0]], "seeds by users"),
    ],
)
def test_what_cannot_be_compared(first: list[object], second: list[object], part: str) -> None:
    with pytest.raises(DataError, match=part):
        paired_t_test(first, second)


def test_holm_worked_out_by_hand() -> None:
    # Sorted .005, .01, .03, .04 times 4, 3, 2, 1: .02, .03, .06, .04, and the last may not fall below .06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([None, 0.02, None]) == [None, 0.02, None]
    assert holm([]) == []


def test_holm_lies_between_no_correction_and_that_of_bonferroni() -> None:
    p_values = np.random.default_rng(3).random(40) ** 3
    corrected = np.array(holm(p_values.tolist()))
    assert (corrected >= p_values).all()
    assert (corrected <= np.minimum(1, 40 * p_values)).all()
    assert (np.diff(corrected[np.argsort(p_values)]) >= 0).all()
