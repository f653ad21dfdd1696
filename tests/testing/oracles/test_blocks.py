"""The oracles themselves, on numbers worked out by hand."""

import math

import numpy as np
import pytest

from mmgraph.testing import oracles

# User 0 has items 0 and 1, user 1 has item 1, nobody has item 2.
PAIRS = [(0, 0), (0, 1), (1, 1)]
ROOT = math.sqrt(0.5)


def close(actual, expected) -> None:
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-15)


def test_interactions() -> None:
    matrix = oracles.interaction_matrix(PAIRS, num_users=2, num_items=3)
    assert matrix.tolist() == [[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]
    assert oracles.interaction_matrix([], num_users=1, num_items=1).tolist() == [[0.0]]


def test_adjacency() -> None:
    expected = [
        [0, 0, ROOT, 0.5, 0],
        [0, 0, 0, ROOT, 0],
        [ROOT, 0, 0, 0, 0],
        [0.5, ROOT, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]
    close(oracles.sym_adjacency(PAIRS, num_users=2, num_items=3), expected)


def test_lightgcn() -> None:
    user, item = oracles.lightgcn([[1.0], [0.0]], [[0.0], [2.0], [8.0]], PAIRS, num_layers=1)
    # Layer 1: u0 = 2/2, u1 = 2/sqrt(2); i0 = 1/sqrt(2), i1 = 1/2, i2 = 0.
    close(user, [[1.0], [ROOT]])
    close(item, [[ROOT / 2], [1.25], [4.0]])


def test_lightgcn_of_two_layers() -> None:
    user, item = oracles.lightgcn([[1.0]], [[4.0]], [(0, 0)], num_layers=2)
    # One edge of weight 1 swaps the two: user 1, 4, 1 and item 4, 1, 4.
    close(user, [[2.0]])
    close(item, [[3.0]])


def test_bpr() -> None:
    close(oracles.bpr([0.0], [0.0]), math.log(2))
    close(oracles.bpr([math.log(3), 0.0], [0.0, 0.0]), (math.log(4 / 3) + math.log(2)) / 2)


def test_penalties() -> None:
    blocks = [[[3.0], [4.0]], [[0.0], [2.0]]]
    close(oracles.half_squared_penalty(blocks), 7.25)
    close(oracles.norm_penalty(blocks), 3.5)
    close(oracles.mean_squared_penalty(blocks), 14.5)
    ones = [np.ones((4, 2))] * 3
    assert round(oracles.norm_penalty(ones), 4) == 2.1213


def test_normalisation() -> None:
    graph = [[0.0, 4.0], [1.0, 0.0]]
    assert oracles.normalized_graph(graph, norm="none").tolist() == graph
    close(oracles.normalized_graph(graph, norm="row"), [[0.0, 1.0], [1.0, 0.0]])
    close(oracles.normalized_graph(graph, norm="sym"), [[0.0, 2.0], [0.5, 0.0]])


@pytest.mark.parametrize(("norm", "last"), [("row", 0.5), ("sym", 0.0)])
def test_normalisation_where_a_row_has_no_scale(norm: str, last: float) -> None:
    graph = [[1.0, -2.0], [3.0, 3.0]]
    close(oracles.normalized_graph(graph, norm=norm), [[0.0, 0.0], [last, 0.5]])
