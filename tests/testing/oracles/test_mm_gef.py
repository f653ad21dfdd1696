"""The oracles themselves, on numbers worked out by hand."""

import math

import numpy as np

from mmgraph.testing import oracles

# User 0 has items 0 and 1, user 1 has item 1, nobody has item 2.
PAIRS = [(0, 0), (0, 1), (1, 1)]
ROOT = math.sqrt(0.5)


def close(actual, expected) -> None:
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-15)


def test_fused_features() -> None:
    image, text = [[3.0, 4.0], [0.0, 2.0], [9.0, 9.0]], [[1.0, 0.0], [7.0, 7.0], [9.0, 9.0]]
    present = [[True, True, False], [True, False, False]]
    close(oracles.mm_gef_features([image, text], present), [[0.8, 0.4], [0.0, 1.0], [0.0, 0.0]])
    projected = oracles.mm_gef_features([image, text], present, weight=[[1.0], [10.0]], bias=[0.5])
    close(projected, [[5.3], [10.5], [0.0]])


def test_lengths_and_side_by_side() -> None:
    image, text = [[3.0, 4.0], [0.0, 2.0]], [[1.0], [7.0]]
    present = [[True, True], [True, False]]
    plain = oracles.mm_gef_features([image, image], present, unit=False)
    close(plain, [[3.0, 4.0], [0.0, 2.0]])
    side = oracles.mm_gef_features_side_by_side
    close(side([image, text], present), [[0.6, 0.8, 1.0], [0.0, 1.0, 0.0]])
    close(side([image, text], present, unit=False), [[3.0, 4.0, 1.0], [0.0, 2.0, 0.0]])


def test_other_norms_of_the_counts() -> None:
    """Items 0 and 1 share two users, items 1 and 2 one."""
    pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (2, 2)]
    sizes = {"num_users": 3, "num_items": 3}
    by_row = oracles.mm_gef_cointeraction_graph(pairs, **sizes, norm="row_max")
    close(by_row, [[0, 1, 0], [1, 0, 0.5], [0, 1, 0]])
    by_roots = oracles.mm_gef_cointeraction_graph(pairs, **sizes, norm="sym")
    # Sums of the rows: 2, 3, 1.
    one, two = 2 / math.sqrt(6), 1 / math.sqrt(3)
    close(by_roots, [[0, one, 0], [one, 0, two], [0, two, 0]])


def test_attention_over_neighbours() -> None:
    """Logits ln 2 and ln 1 of the only two edges of item 0; the diagonal is no edge."""
    content = [[0.0, math.log(2)], [0.0, 0.0]]
    counts = [[1e-300, 0.0], [0.0, 0.0]]
    found = oracles.mm_gef_neighbour_attention(content, counts, weight=[1.0, 0.0])
    close(found, [[1 / 3, 2 / 3], [0.0, 0.0]])


def test_lattices_operator_and_cold_items() -> None:
    """A user and an item that have each other, and an item that nobody has: it keeps its row, or half of it."""
    options = {"item_graph": np.zeros((2, 2)), "num_layers": 1, "ui_norm": "rw_self"}
    users, items = oracles.mm_gef([[2.0]], [[3.0], [5.0]], [(0, 0)], **options)
    close(users, [[2.25]])
    close(items, [[2.75], [5.0]])
    _, items = oracles.mm_gef([[2.0]], [[3.0], [5.0]], [(0, 0)], **options, cold_id_scale=0.5)
    close(items, [[2.75], [2.5]])


def test_projected_features_of_unequal_width() -> None:
    fused = oracles.mm_gef_projected_features(
        [[[3.0, 4.0], [0.0, 1.0]], [[2.0], [5.0]]],
        [[True, True], [True, False]],
        weights=[[[1.0], [10.0]], [[4.0]]],
        biases=[[0.4], [2.0]],
    )
    # Item 0: (0.6 + 8 + 0.4 and 4 + 2) / 2; item 1: 10 + 0.4 alone.
    close(fused, [[7.5], [10.4]])


def test_content_graph_keeps_the_nearest_of_each_row() -> None:
    x = [[1.0, 0.0], [0.0, 3.0], [3.0, 4.0]]
    with_self = oracles.mm_gef_content_graph(x, k=2)
    # Item 0 is nearer to 2 (0.6) than to 1 (0), item 1 to 2 (0.8), item 2 to 1 (0.8).
    close(with_self, [[1.0, 0.0, 0.6], [0.0, 1.0, 0.8], [0.0, 0.8, 1.0]])
    without = oracles.mm_gef_content_graph(x, k=1, include_self=False)
    close(without, [[0.0, 0.0, 0.6], [0.0, 0.0, 0.8], [0.0, 0.8, 0.0]])


def test_content_graph_breaks_ties_by_the_smaller_index_and_keeps_the_item_itself() -> None:
    graph = oracles.mm_gef_content_graph([[1.0, 0.0]] * 4, k=2)
    assert graph.tolist() == [
        [1.0, 1.0, 0.0, 0.0],
        [1.0, 1.0, 0.0, 0.0],
        [1.0, 0.0, 1.0, 0.0],
        [1.0, 0.0, 0.0, 1.0],
    ]


def test_content_graph_knows_no_absent_items() -> None:
    x = [[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]
    graph = oracles.mm_gef_content_graph(x, k=3, present=[True, False, True, True])
    assert graph.tolist() == [
        [1.0, 0.0, 0.0, 1.0],
        [0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0],
        [1.0, 0.0, 0.0, 1.0],
    ]


def test_cointeraction_graph() -> None:
    pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 3)]
    graph = oracles.mm_gef_cointeraction_graph(pairs, num_users=3, num_items=4)
    # Items 0 and 1 share two users, 0-2 and 1-2 one; item 3 stands alone.
    assert graph.tolist() == [
        [0.0, 1.0, 0.5, 0.0],
        [1.0, 0.0, 0.5, 0.0],
        [0.5, 0.5, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0],
    ]


def test_cointeraction_graph_where_nobody_has_two_items() -> None:
    graph = oracles.mm_gef_cointeraction_graph([(0, 0), (1, 1)], num_users=2, num_items=2)
    assert graph.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_item_graph_by_edge() -> None:
    # Logits ln 3 * 1 against 0: beta = (3/4, 1/4) on the first edge; (1/2, 1/2) where E^m is 0.
    weight = [[math.log(3), 0.0], [0.0, 0.0]]
    graph = oracles.mm_gef_item_graph([[1.0, 0.0]], [[0.2, 0.6]], weight=weight, bias=[0.0, 0.0])
    close(graph, [[0.8, 0.3]])


def test_item_graph_reads_rows_of_the_weight_as_logits() -> None:
    # The second logit is ln 3 * E^m: beta = (1/4, 3/4).
    weight = [[0.0, 0.0], [math.log(3), 0.0]]
    close(oracles.mm_gef_item_graph([1.0], [0.2], weight=weight, bias=[0.0, 0.0]), [0.4])


def test_item_graph_with_one_attention_and_with_none() -> None:
    close(oracles.mm_gef_item_graph([1.0], [0.2], bias=[math.log(3), 0.0]), [0.8])
    close(oracles.mm_gef_item_graph([1.0], [0.2]), [1.2])


def test_message_and_final_items() -> None:
    graph, item = [[0.0, 2.0], [1.0, 0.0]], [[3.0, 4.0], [1.0, 0.0]]
    one = oracles.mm_gef_message(graph, item)
    close(one, [[2.0, 0.0], [3.0, 4.0]])
    close(oracles.mm_gef_message(graph, item, num_item_layers=2), [[6.0, 8.0], [2.0, 0.0]])
    close(oracles.mm_gef_final_items([[1.0, 1.0]] * 2, one), [[2.0, 1.0], [1.6, 1.8]])
    close(oracles.mm_gef_final_items([[1.0, 1.0]], [[0.0, 0.0]]), [[1.0, 1.0]])


def test_the_whole_model() -> None:
    user, item = oracles.mm_gef(
        [[1.0, 0.0]],
        [[0.0, 2.0], [3.0, 4.0]],
        [(0, 0)],
        item_graph=[[0.0, 5.0], [1.0, 0.0]],
        num_layers=1,
    )
    # LightGCN: user (1, 0) and item 0 (0, 2) swap once; item 1 keeps half of itself.
    close(user, [[0.5, 1.0]])
    # Messages point along (3, 4) and along (0, 2).
    close(item, [[0.5 + 0.6, 1.0 + 0.8], [1.5, 2.0 + 1.0]])
