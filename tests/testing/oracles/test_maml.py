"""The oracle itself, on numbers worked out by hand."""

import math

import pytest

from mmgraph.testing import oracles


def test_projection_by_hand() -> None:
    # [3, 4] is [.6, .8]; the first layer makes [.8, 1.2, 0], of length sqrt(2.08).
    first = [[0.0, 1.0], [2.0, 0.0], [-1.0, 0.0]], [0.0, 0.0, 0.0]
    second = [[1.0, 1.0, 5.0]], [0.5]
    length = math.sqrt(0.8**2 + 1.2**2)
    expected = 3 * (2.0 / length + 0.5)
    last = [[3.0]], [0.0]
    found = oracles.maml_projection([[3.0], [4.0]], [first, second, last], max_norm=100.0)
    assert found.tolist() == pytest.approx([expected], rel=1e-15)
    clipped = oracles.maml_projection([[3.0], [4.0]], [first, second, last], max_norm=2.0)
    assert clipped.tolist() == pytest.approx([2.0], rel=1e-15)


def test_attention_by_hand() -> None:
    # The pair is [0, 3, 4] of length 5; the hidden number is tanh(0.8) and its unit row 1.
    hidden, output = ([[0.0, 0.0, 1.0]], [0.0]), ([[2.0]], [0.0])
    assert oracles.maml_attention([0.0], [3.0], [4.0], hidden, output).tolist() == [1.0]
    hidden = [[0.0, 0.0, 0.0, 0.0, 0.0, 1.0]], [0.0]
    output = [[math.log(3)], [-1.0]], [0.0, 0.0]
    weights = oracles.maml_attention([0.0, 0.0], [0.0, 0.0], [3.0, 4.0], hidden, output)
    assert weights.tolist() == pytest.approx([1.5, 0.5])


def test_hinge_by_hand() -> None:
    # One impostor of two among 10 items: rank 5; and two of them: rank 10.
    positive, negative = [1.0, 1.0], [[1.5, 9.0], [0.5, 1.0]]
    expected = (math.log(6) * 0.5 + math.log(11) * 1.5) / 2
    found = oracles.maml_hinge(positive, negative, margin=1.0, num_items=10)
    assert found == pytest.approx(expected, rel=1e-15)
    assert oracles.maml_hinge([1.0], [[2.0, 3.0]], margin=1.0, num_items=10) == 0.0


def test_covariance_by_hand() -> None:
    # Means 2 and 1; products of the deviations -1 * 1, 1 * -1, 0 * 0.
    points = [[1.0, 2.0], [3.0, 0.0], [2.0, 1.0]]
    assert oracles.maml_covariance(points, signed=True) == pytest.approx(2 * -2 / 3)
    assert oracles.maml_covariance(points) == pytest.approx(2 * 4 / 9)


def test_distance_by_hand() -> None:
    assert oracles.maml_distance([1.0, 2.0], [0.0, 4.0], [3.0, 0.5]) == 10.0
