"""The oracle itself, on numbers worked out by hand."""

import numpy as np
import pytest

from mmgraph.testing import oracles

YES = [[True, True], [True, True]]
USERS = [[[1.0]], [[2.0]]]  # one user, two modalities of width 1
ITEMS = [[[3.0], [1.0]], [[1.0], [2.0]]]


def test_ratings_and_their_weighted_sum() -> None:
    assert oracles.margo_scores(USERS, ITEMS).tolist() == [[5.0, 5.0]]
    weighted = oracles.margo_scores(USERS, ITEMS, [[0.75, 0.25], [0.5, 0.5]])
    assert weighted.tolist() == [[2.75, 2.5]]


def test_weights_of_what_an_item_has() -> None:
    logits = [[np.log(3.0), 0.0], [1.0, 7.0], [0.0, 0.0]]
    present = [[True, True], [True, False], [False, False]]
    found = oracles.margo_weights(logits, present)
    np.testing.assert_allclose(found, [[0.75, 0.25], [1.0, 0.0], [0.5, 0.5]])


def test_reliability_is_the_softmax_of_what_ranks_right() -> None:
    found = oracles.margo_reliability([np.log(3.0), 0.0, -0.1])
    np.testing.assert_allclose(found, [0.75, 0.25, 0.0], atol=1e-15)


def test_confidence() -> None:
    assert oracles.margo_confidence(5.0, 0.0, tau=5.0) == pytest.approx(np.tanh(1.0))
    assert oracles.margo_confidence(1.0, 2.0, tau=5.0) == 0.0


@pytest.mark.parametrize("target", ["mean", "sum"])
def test_calibration(target: str) -> None:
    """Differences 2 and -2: z = (1, 0). Weights (3/4, 1/4) and (1/2, 1/2): mean 5/8, ratings 2.75 and 2.5."""
    logits = [[np.log(3.0), 0.0], [0.0, 0.0]]
    found = oracles.margo_calibration(
        USERS, ITEMS, logits, [[0, 0, 1], [0, 1, 0]], tau=1.0, present=YES, kl_target=target
    )
    weight = 5 / 8 if target == "mean" else 5 / 4
    np.testing.assert_allclose(found, [np.tanh(0.25) * -np.log(weight), 0.0])


def test_calibration_compares_what_both_items_have() -> None:
    found = oracles.margo_calibration(
        USERS, ITEMS, np.zeros((2, 2)), [[0, 0, 1]], tau=1.0, present=[[True, False], [True, True]]
    )
    assert found.tolist() == [0.0]  # one modality in common: z and the weights are 1
    found = oracles.margo_calibration(
        USERS, ITEMS, np.zeros((2, 2)), [[0, 0, 1]], tau=1.0, present=[[True, False], [False, True]]
    )
    assert found.tolist() == [0.0]  # none in common
