"""User-item edges: both directions, order, weights, and refused input."""

import numpy as np
import pytest
import torch

from mmgraph.errors import GraphError
from mmgraph.graph.bipartite import bipartite_edges, check_pairs


@pytest.mark.parametrize("norm", ["sym", "rw", "rw_self", "none"])
def test_order_of_the_pairs_does_not_matter(norm):
    generator = np.random.default_rng(0)
    user, item = np.nonzero(generator.random((9, 6)) < 0.5)
    order = generator.permutation(len(user))
    straight = bipartite_edges(user, item, num_users=9, num_items=6, norm=norm)
    shuffled = bipartite_edges(user[order], item[order], num_users=9, num_items=6, norm=norm)
    for a, b in zip(straight, shuffled, strict=True):
        assert (a is None and b is None) or torch.equal(a, b)


def test_both_directions_are_sorted_and_carry_the_weight_of_their_pair():
    generator = np.random.default_rng(1)
    user, item = np.nonzero(generator.random((9, 6)) < 0.5)
    edges = bipartite_edges(user, item, num_users=9, num_items=6, norm="rw")
    forward = list(zip(*edges.edge_index.tolist(), strict=True))
    backward = list(zip(*edges.rev_edge_index.tolist(), strict=True))
    pairs = set(zip(user.tolist(), item.tolist(), strict=True))
    assert forward == sorted(pairs, key=lambda pair: (pair[1], pair[0]))
    assert backward == [(i, u) for u, i in sorted(pairs)]
    users, items = np.bincount(user), np.bincount(item)
    assert edges.edge_weight.tolist() == pytest.approx([1 / items[i] for _, i in forward])
    assert edges.rev_edge_weight.tolist() == pytest.approx([1 / users[u] for _, u in backward])
    assert edges.edge_weight.dtype == edges.rev_edge_weight.dtype == torch.float32


def test_the_two_directions_do_not_share_memory():
    edges = bipartite_edges(np.array([0]), np.array([0]), num_users=1, num_items=1)
    assert edges.edge_weight.data_ptr() != edges.rev_edge_weight.data_ptr()
    assert edges.edge_index.data_ptr() != edges.rev_edge_index.data_ptr()


def test_no_pairs_and_isolated_nodes_are_fine():
    empty = np.empty(0, dtype=np.int64)
    edges = bipartite_edges(empty, empty, num_users=2, num_items=3, norm="rw_self")
    assert edges.edge_index.shape == (2, 0)
    assert edges.item_self_weight.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("user", "item", "message"),
    [
        ([0, 3], [0, 1], "user must be between 0 and 2 (got 3 at position 1); raise num_users"),
        ([0, 1], [-1, 1], "item must be between 0 and 4 (got -1 at position 0)"),
        ([0, 1], [1], "user and item must have the same length (got 2 and 1)"),
        ([0.0, 1.0], [1, 2], "user must be a list of whole numbers (got float64 of shape (2,))"),
        ([0, 2, 2], [1, 4, 4], "pairs must be distinct (user 2, item 4 appears twice)"),
    ],
)
def test_bad_pairs_are_named(user, item, message):
    with pytest.raises(GraphError) as caught:
        bipartite_edges(np.array(user), np.array(item), num_users=3, num_items=5)
    assert message in str(caught.value)


def test_tensors_are_taken():
    user, item = check_pairs(torch.tensor([1]), torch.tensor([2]), num_users=2, num_items=3)
    assert user.tolist() == [1]
    assert item.tolist() == [2]
