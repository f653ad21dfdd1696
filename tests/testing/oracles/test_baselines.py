"""The oracles themselves, on numbers worked out by hand."""

import math

import numpy as np

from mmgraph.testing import oracles

# User 0 has items 0 and 1, user 1 has item 1, nobody has item 2.
PAIRS = [(0, 0), (0, 1), (1, 1)]


def close(actual, expected) -> None:
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-15)


def test_content_similarity_by_hand() -> None:
    """Item 0 has both modalities, item 1 the first, item 2 none; shares 1/4 and 3/4."""
    one, two = [[3.0, 4.0], [4.0, 3.0], [1.0, 0.0]], [[2.0], [9.0], [9.0]]
    present = [[True, True, False], [True, False, False]]
    # Of item 1 all weight is on the first modality: sqrt(1/4 * 1) * 24/25.
    expected = [[1.0, 0.48, 0.0], [0.48, 1.0, 0.0], [0.0, 0.0, 0.0]]
    found = oracles.cb_similarity([one, two], present, [0.25, 0.75])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)
    near = [[[1], [0], []], [[], [], []]]
    listed = oracles.cb_similarity([one, two], present, [0.25, 0.75], neighbours=near, shrink=5.0)
    np.testing.assert_allclose(listed, [[0, 0.2, 0], [0.8, 0, 0], [0, 0, 0]], rtol=0, atol=1e-15)


def test_content_scores_are_sums_or_means_over_the_history() -> None:
    similarity = [[1.0, 0.5], [0.5, 0.0]]
    close(oracles.cb_scores([[1, 1], [0, 0]], similarity, mean=False), [[1.5, 0.5], [0, 0]])
    close(oracles.cb_scores([[1, 1], [0, 0]], similarity), [[0.75, 0.25], [0, 0]])


def test_ngcf_layer_in_both_forms() -> None:
    """One edge each way, rows 2 and -3: the sum is (-3, 2), the product -6 at both nodes."""
    rows, adjacency = [[2.0], [-3.0]], [[0.0, 1.0], [1.0, 0.0]]
    # (A + I) x = (-1, -1): -1 * 1 + -6 * 0.5 = -4, rectified to -0.8.
    paper = oracles.ngcf_layer(rows, adjacency, weights=([[1.0]], [[0.5]]))
    close(paper, [[-0.8], [-0.8]])
    # A x + 1 = (-2, 3) to (-0.4, 3); -6 * 0.5 + 4 = 1.
    released = oracles.ngcf_layer(
        rows, adjacency, weights=([[1.0]], [[0.5]]), biases=([1.0], [4.0])
    )
    close(released, [[0.6], [4.0]])


def test_freedom_shares_go_to_the_lists_an_item_has() -> None:
    lists = [[[0, 1], [], [2]], [[1], [0], []]]
    graph = oracles.freedom_item_graph(lists, [0.25, 0.75])
    close(graph, [[0.125, 0.875, 0], [1, 0, 0], [0, 0, 1]])


def test_freedom_adds_the_message_of_the_item_rows() -> None:
    users, items = [[1.0], [2.0]], [[3.0], [4.0], [5.0]]
    swap = [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    plain = oracles.lightgcn(users, items, PAIRS, num_layers=1)
    found = oracles.freedom(users, items, PAIRS, item_graph=swap, num_layers=1, num_item_layers=1)
    close(found[0], plain[0])
    close(found[1], plain[1] + np.array([[4.0], [3.0], [0.0]]))


def test_shared_items_as_a_softmax() -> None:
    """Users 0 and 1 share two items, users 0 and 2 one; user 3 shares nothing."""
    pairs = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 2), (3, 3)]
    graph = oracles.cointeraction_softmax(pairs, num_users=4, num_items=4, k=2)
    two, one = math.exp(2) / (math.exp(2) + math.exp(1)), math.exp(1) / (math.exp(2) + math.exp(1))
    close(graph, [[0, two, one, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
    nearest = oracles.cointeraction_softmax(pairs, num_users=4, num_items=4, k=1)
    close(nearest[0], [0, 1, 0, 0])


def test_dragon_of_one_user_and_one_item() -> None:
    """Unit rows 1 and 1, one edge: each becomes 1 + 1; the user is doubled by its weight, the item by its graph."""
    user, item = oracles.dragon(
        [[[5.0]]],
        [[[3.0]]],
        [[2.0]],
        [(0, 0)],
        user_graph=[[0.0]],
        item_graph=[[1.0]],
        num_layers=1,
    )
    close(user, [[4.0]])
    close(item, [[4.0]])


def test_lattice_mixes_raw_and_learned_graphs() -> None:
    """Row sums are 4 and 1, so the entry 4 becomes 4 / 4 = 1 and 1 stays 1; shares are 3/4 and 1/4."""
    raw = [[[4.0, 0.0], [0.0, 1.0]], [[0.0, 2.0], [2.0, 0.0]]]
    learned = [[[9.0, 0.0], [0.0, 1.0]], [[3.0, 0.0], [0.0, 3.0]]]
    logits = [math.log(3), 0.0]
    swap, own = np.array([[0.0, 1.0], [1.0, 0.0]]), np.eye(2)
    expected = 0.75 * own * 0.5 + 0.25 * swap * 0.5 + 0.5 * own
    close(oracles.lattice_item_graph(raw, learned, logits, skip=0.5), expected)
    # The sum 0.75 * learned_1 + 0.25 * learned_2 is diagonal, its normalisation the identity again.
    released = oracles.lattice_item_graph(raw, learned, logits, skip=0.5, normalize_sum=True)
    close(released, expected)
