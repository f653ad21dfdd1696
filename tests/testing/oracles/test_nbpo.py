"""The oracle itself: likelihoods that add up, derivatives by finite differences, gradients at known points."""

import itertools
import math

import pytest

from mmgraph.testing import oracles

LOGITS = [-30.0, -3.0, -0.4, 0.0, 1.2, 5.0]
PAIRS = list(itertools.product(LOGITS, LOGITS))


@pytest.mark.parametrize(("score", "flip"), PAIRS)
def test_what_can_happen_adds_up_to_one(score, flip) -> None:
    both = [oracles.nbpo_likelihood(score, flip, voted=voted) for voted in (True, False)]
    assert sum(both) == pytest.approx(1.0, rel=1e-15)


@pytest.mark.parametrize("criterion", ["bpo", "exact", "surrogate"])
@pytest.mark.parametrize("voted", [True, False])
@pytest.mark.parametrize(("score", "flip"), [pair for pair in PAIRS if -30 not in pair])
def test_closed_forms_are_derivatives(score, flip, voted, criterion) -> None:
    def gain(r, g):
        return oracles.nbpo_gain(r, g, voted=voted, criterion=criterion)

    step = 1e-6
    slopes = (
        (gain(score + step, flip) - gain(score - step, flip)) / (2 * step),
        (gain(score, flip + step) - gain(score, flip - step)) / (2 * step),
    )
    found = oracles.nbpo_gradient(score, flip, voted=voted, criterion=criterion)
    assert found == pytest.approx(slopes, abs=1e-8)


def test_surrogate_gradients_at_known_points() -> None:
    third, half = math.log(1 / 3), 0.25  # chances 1/4 and 3/4
    assert oracles.nbpo_gradient(third, -third, voted=True, criterion="nbpo") == pytest.approx(
        (0.25 * 0.75, -0.75 * 0.25)
    )
    assert oracles.nbpo_gradient(third, -third, voted=False, criterion="nbpo") == pytest.approx(
        (0.75 * 0.75 - 0.25, 0.25 * half)
    )


def test_a_clipped_chance_is_certain() -> None:
    certain = {"criterion": "nbpo", "clip": 10.0}
    assert oracles.nbpo_gradient(11.0, -11.0, voted=True, **certain) == (0.0, 0.0)
    assert oracles.nbpo_gradient(-11.0, -11.0, voted=True, **certain) == (1.0, 0.0)
    assert oracles.nbpo_gradient(11.0, -11.0, voted=False, **certain) == (-1.0, 1.0)
