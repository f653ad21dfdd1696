"""The oracles themselves, on numbers worked out by hand."""

import math

import numpy as np
import pytest

from mmgraph.testing import oracles


def test_distance_of_directions() -> None:
    """Cosines 1, 0 and -1."""
    found = oracles.bm3_distance([[2, 0], [1, 0], [0, 3]], [[5, 0], [0, 1], [0, -1]])
    assert found == pytest.approx(1, abs=1e-15)
    assert oracles.bm3_distance(np.zeros((0, 2)), np.zeros((0, 2))) == 0


def test_bm3_on_one_edge() -> None:
    """The mean of two layers is (2, 2); the item adds its own 3; the predictor doubles and adds 1."""
    tables = oracles.bm3([[1.0]], [[3.0]], ([[2.0]], [1.0]), [(0, 0)], num_layers=1)
    assert [x.item() for x in tables] == [2.0, 5.0, 5.0, 11.0]


def test_uniformity_of_three_points() -> None:
    """Squared distances 1, 4 and 9 of the points 0, 1 and 3; similarity 1 is no calibration."""
    points = [[0.0], [1.0], [3.0]]
    expected = math.log((math.exp(-1) + math.exp(-4) + math.exp(-9)) / 3)
    assert oracles.cm3_uniformity(points, t=1) == pytest.approx(expected, rel=1e-14)
    same = oracles.cm3_uniformity(points, np.ones((3, 3)), t=1)
    assert same == pytest.approx(expected, rel=1e-14)
    assert oracles.cm3_uniformity(points, np.zeros((3, 3)), t=1) == pytest.approx(expected + 2)


def test_alignment_is_a_mean_of_squares() -> None:
    assert oracles.cm3_alignment([[0.0, 0.0], [1.0, 1.0]], [[3.0, 4.0], [1.0, 2.0]]) == 13.0


def test_mixtures_of_axes() -> None:
    """A third of the way from y to x is at 60 degrees from x; a missing vector leaves the other; none leaves zero."""
    one, other = [[9.0, 0.0], [0.0, 0.0], [0.0, 0.0]], [[0.0, 2.0], [0.0, 5.0], [0.0, 0.0]]
    found = oracles.cm3_mix([one, other], [1 / 3, 0.2, 0.2])
    expected = [[0.5, math.sqrt(3) / 2], [0, 1], [0, 0]]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)


def test_a_curve_of_three_points_on_a_quarter_turn() -> None:
    """At half, the arcs of 0, 30 and 90 degrees meet at the middle of 15 and 60."""
    angles = np.deg2rad([0.0, 30.0, 90.0])
    points = [np.array([[np.cos(a), np.sin(a)]]) for a in angles]
    found = oracles.cm3_mix(points, [0.5])[0]
    assert np.rad2deg(np.arctan2(found[1], found[0])) == pytest.approx(37.5, abs=1e-12)


def test_frequencies_of_two_columns() -> None:
    """Sum and difference over the root of two."""
    found = oracles.lirdrec_frequencies([[3.0, 1.0]])
    np.testing.assert_allclose(found, [[4 / math.sqrt(2), 2 / math.sqrt(2)]], rtol=1e-15)


def test_weights_of_a_user_by_hand() -> None:
    """One network gives 2 * 3 + 1 = 7, rectified, the other -7 times 0.01; half of each meets a memory of zero."""
    networks = [([[2.0]], [1.0], [[1.0]], [0.0]), ([[2.0]], [-13.0], [[1.0]], [0.0])]
    blocks, memory = [[[3.0]], [[3.0]]], [[0.0, 0.0]]
    logits, weights = oracles.lirdrec_weights(blocks, networks, memory, share=0.5)
    np.testing.assert_allclose(logits, [[3.5, -0.035]], rtol=1e-14)
    assert weights[0, 0] == pytest.approx(1 / (1 + math.exp(-3.535)), rel=1e-14)
