"""Graphs of projected features beside those of raw ones."""

import torch

from mmgraph.nn import ItemGraph, LearnedItemGraphs
from mmgraph.sparse import SparseAdjacency
from mmgraph.testing import oracles

EDGES = torch.tensor([[0, 1, 2, 0], [0, 1, 2, 2]])


def make(seen=None):
    x = torch.arange(12.0).view(4, 3)
    has = torch.tensor([True, True, True, False])

    def nearest(rows, present):
        if seen is not None:
            seen.append((rows.requires_grad, present))
        return EDGES

    raw = [(EDGES, torch.tensor([1.0, 2.0, 3.0, 4.0]))]
    return LearnedItemGraphs({"text": (x, has)}, raw, dim=2, nearest=nearest).double()


def test_neighbours_are_chosen_by_the_projections_and_weighed_by_their_cosines():
    seen = []
    graphs = make(seen)
    ((edges, weight),) = graphs.chosen()
    assert edges is EDGES
    unit = torch.from_numpy(oracles.unit_rows(graphs()["text"].detach()))
    torch.testing.assert_close(weight.detach(), (unit[EDGES[0]] * unit[EDGES[1]]).sum(dim=1))
    ((wanted, present),) = seen
    assert not wanted
    assert torch.equal(present, torch.tensor([True, True, True, False]))
    weight.sum().backward()
    assert graphs.encoders[0].linear.weight.grad.any()


def test_normalised_and_mixed_by_hand():
    """Row sums are 1, 2 and 7; the edge from 0 to 2 weighs 4 / sqrt(1 * 7)."""
    graphs = make()
    (raw,) = graphs.raw()
    edges, weight = graphs.normalized(raw)
    torch.testing.assert_close(weight, torch.tensor([1.0, 1.0, 3 / 7, 4 / 7**0.5]).double())
    mixed = graphs.mixed([(edges, weight), (EDGES[:, :1], torch.tensor([5.0]).double())])
    assert mixed.adjacency.edge_index().tolist() == [[0, 1, 0, 2], [0, 1, 2, 2]]
    expected = torch.tensor([6.0, 1.0, 4 / 7**0.5, 3 / 7]).double()
    torch.testing.assert_close(mixed.weight, expected)
    assert graphs.num_items == 4


def test_raw_graphs_move_with_the_model_and_are_not_saved():
    graphs = make()
    assert set(graphs.state_dict()) == {"encoders.0.linear.weight", "encoders.0.linear.bias"}
    assert graphs.raw()[0][1].dtype == torch.float64


def test_a_detached_graph_has_the_same_weights_and_no_gradient():
    weight = torch.ones(4, requires_grad=True)
    graph = ItemGraph(SparseAdjacency(EDGES, size=(4, 4)), weight * 2)
    kept = graph.detached()
    assert kept.adjacency is graph.adjacency
    assert torch.equal(kept.weight, graph.weight)
    assert not kept.weight.requires_grad
