"""The message over content and co-interaction together."""

import numpy as np
import pytest
import torch

from mmgraph.nn import FusedItemLayers
from mmgraph.testing import oracles

NUM_ITEMS = 5


def graphs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Draw two content graphs and one of counts, dense; item 4 is in none."""
    one, two, counts = torch.rand(3, NUM_ITEMS, NUM_ITEMS, dtype=torch.float64)
    one, two, counts = one * (one > 0.5), two * (two > 0.5), counts * (counts > 0.5)
    for graph in (one, two, counts):
        graph[4], graph[:, 4] = 0, 0
    return one, two, counts


def edges_of(dense: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    target, source = dense.nonzero(as_tuple=True)
    return torch.stack([source, target]), dense[target, source]


def trained(counts: torch.Tensor | None, **options) -> FusedItemLayers:
    edges = None if counts is None else edges_of(counts)
    layers = FusedItemLayers(edges, num_items=NUM_ITEMS, **options).double()
    for parameter in layers.parameters():
        torch.nn.init.normal_(parameter)
    return layers


@pytest.mark.parametrize("attention", ["edge", "global", "none", "neighbour"])
@pytest.mark.parametrize(("num_layers", "norm"), [(1, "none"), (2, "row"), (3, "sym")])
@pytest.mark.parametrize("with_counts", [True, False])
def test_equals_the_equations(attention, num_layers, norm, with_counts) -> None:
    one, two, counts = graphs()
    layers = trained(
        counts if with_counts else None, attention=attention, num_layers=num_layers, norm=norm
    )
    item = torch.randn(NUM_ITEMS, 3, dtype=torch.float64)
    found = layers(item, layers.join([edges_of(one), edges_of(two)]))
    weights = {n.rpartition(".")[2]: p.detach().numpy() for n, p in layers.named_parameters()}
    fuse = oracles.mm_gef_item_graph
    if attention == "neighbour":
        fuse = oracles.mm_gef_neighbour_attention
    fused = fuse(one + two, counts * with_counts, **weights)
    graph = oracles.normalized_graph(fused, norm=norm)
    expected = oracles.unit_rows(oracles.mm_gef_message(graph, item, num_item_layers=num_layers))
    np.testing.assert_allclose(found.detach(), expected, rtol=0, atol=1e-12)
    assert not found[4].any()


def test_gradients_reach_content_rows_and_attention() -> None:
    one, _, counts = graphs()
    layers = trained(counts, attention="neighbour")
    edges, weight = edges_of(one)
    item = torch.randn(NUM_ITEMS, 3, dtype=torch.float64, requires_grad=True)

    def call(item, weight, attention):
        values = {"attention.weight": attention}
        graph = layers.join([(edges, weight)])
        return torch.func.functional_call(layers, values, (item, graph))

    inputs = (item, weight.requires_grad_(), layers.attention.weight)
    assert torch.autograd.gradcheck(call, inputs)


def test_many_edges_are_pointed_out(monkeypatch, caplog) -> None:
    monkeypatch.setattr("mmgraph.nn.fused_items._MANY_EDGES", 0)
    full = torch.cartesian_prod(torch.arange(51), torch.arange(51)).T
    FusedItemLayers((full[:, :2550], torch.ones(2550)), num_items=51)
    assert not caplog.records
    FusedItemLayers((full, torch.ones(2601)), num_items=51)
    assert "2601 edges" in caplog.text
    assert "graph.co_item_top_k keeps the strongest" in caplog.text


def test_counts_are_not_saved() -> None:
    names = set(trained(graphs()[2]).state_dict())
    assert names == {"attention.weight", "attention.bias"}
