"""The oracle itself, on numbers worked out by hand."""

import math

import pytest

from mmgraph.testing import oracles


def test_logits_of_each_form() -> None:
    user, part = [2.0, 1.0], [1.0, 3.0]
    assert oracles.mario_logit(user, part) == pytest.approx(5 / math.sqrt(2), rel=1e-15)
    assert oracles.mario_logit(user, part, kind="dot") == 5.0
    # u^T Q = [2, 5], times v: 2 + 15.
    assert (
        oracles.mario_logit(user, part, kind="bilinear", bilinear=[[1.0, 2.0], [0.0, 1.0]]) == 17.0
    )
    # W_u u + b = [2 + 1, 1], W_m v = [-3, 1], the sum [0, 2].
    found = oracles.mario_logit(
        user,
        part,
        kind="additive",
        query=([[1.0, 0.0], [0.0, 1.0]], [1.0, 0.0]),
        key=[[0.0, -1.0], [1.0, 0.0]],
        vector=[7.0, 3.0],
    )
    assert found == pytest.approx(3 * math.tanh(2), rel=1e-15)


def test_weights_are_shared_among_what_is_there() -> None:
    logits = [math.log(1), math.log(3), math.log(100)]
    assert oracles.mario_weights(logits, [True, True, False]) == pytest.approx([0.25, 0.75, 0.0])
    assert oracles.mario_weights(logits, [True, True, False], hard=True) == [0.0, 1.0, 0.0]
    assert oracles.mario_weights([2.0, 2.0], [True, True], hard=True) == [1.0, 0.0]


def test_pooling_of_what_is_there() -> None:
    parts, present = [[1.0, 6.0], [3.0, 2.0], [50.0, 50.0]], [True, True, False]
    assert oracles.mario_pooled(parts, present, kind="mean").tolist() == [2.0, 4.0]
    assert oracles.mario_pooled(parts, present, kind="max").tolist() == [3.0, 6.0]
    linear = [[1.0, 0.0, 2.0, 0.0, 9.0, 9.0]]
    assert oracles.mario_pooled(parts, present, kind="fc", linear=linear).tolist() == [7.0]


def test_distance_of_decoded_features() -> None:
    hidden, features = [[1.0], [2.0], [3.0]], [[0.0, 1.0], [5.0, -1.0], [7.0, 7.0]]
    given = {"present": [True, True, False], "decoder": ([[2.0], [-1.0]], [1.0, 0.0])}
    # Decoded: [3, -1] and [5, -2]; distances 3 + 2 and 0 + 1.
    assert oracles.mario_preservation(hidden, features, **given, reduction="sum") == 6.0
    assert oracles.mario_preservation(hidden, features, **given) == 1.5
    # With a rectifier: [3, 0] and [5, 0]; 3 + 1 and 0 + 1.
    assert oracles.mario_preservation(hidden, features, **given, relu=True, reduction="sum") == 5.0
