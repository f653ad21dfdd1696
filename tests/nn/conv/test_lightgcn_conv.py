"""The weighted neighbour sum, fused and by messages."""

import pytest
import torch

from mmgraph.nn import LightGCNConv
from mmgraph.sparse import SparseAdjacency
from mmgraph.testing.kernels import adjacency_of, sample_matrices

SQUARE = [name for name, x in sample_matrices().items() if x.size(0) == x.size(1)]


@pytest.mark.parametrize("name", SQUARE)
def test_both_paths_equal_the_dense_product(name: str) -> None:
    dense = sample_matrices()[name]
    adj, conv = adjacency_of(dense), LightGCNConv()
    x = torch.randn(dense.size(1), 4, dtype=torch.float64)
    fused, messages = conv(x, adj), conv(x, adj.edge_index(), adj.value)
    torch.testing.assert_close(fused, dense @ x, rtol=0, atol=1e-10)
    torch.testing.assert_close(messages, fused, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", SQUARE)
def test_both_paths_have_the_same_gradients(name: str) -> None:
    dense = sample_matrices()[name]
    adj, conv = adjacency_of(dense), LightGCNConv()
    weight = torch.rand(adj.num_edges, dtype=torch.float64, requires_grad=True)
    x = torch.randn(dense.size(1), 4, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(dense.size(0), 4, dtype=torch.float64)
    fused = torch.autograd.grad(conv(x, adj, weight), (x, weight), upstream)
    by_messages = torch.autograd.grad(conv(x, adj.edge_index(), weight), (x, weight), upstream)
    for one, other in zip(fused, by_messages, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_finite_differences_on_the_message_path() -> None:
    adj, conv = adjacency_of(sample_matrices()["square"]), LightGCNConv()
    x = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    weight = adj.value.clone().requires_grad_()
    edge_index = adj.edge_index()
    assert torch.autograd.gradcheck(lambda x, w: conv(x, edge_index, w), (x, weight))


def test_messages_flow_from_source_to_target_in_any_order_of_edges() -> None:
    x = torch.tensor([[1.0], [10.0], [100.0]])
    edge_index = torch.tensor([[2, 0, 1], [0, 1, 0]])
    weight = torch.tensor([2.0, 3.0, 5.0])
    conv = LightGCNConv()
    expected = [[250.0], [3.0], [0.0]]
    assert conv(x, edge_index, weight).tolist() == expected
    assert conv(x, SparseAdjacency(edge_index, weight, size=(3, 3))).tolist() == expected


def test_without_weights_messages_are_summed_as_they_are() -> None:
    x, edge_index = torch.tensor([[1.0], [10.0]]), torch.tensor([[0, 1], [1, 1]])
    conv = LightGCNConv()
    assert conv(x, edge_index).tolist() == [[0.0], [11.0]]
    assert conv(x, SparseAdjacency(edge_index, size=(2, 2))).tolist() == [[0.0], [11.0]]


@pytest.mark.parametrize("name", ["wide", "tall", "without rows", "without columns"])
def test_sources_and_targets_may_be_of_two_kinds(name: str) -> None:
    dense = sample_matrices()[name]
    x = torch.randn(dense.size(1), 2, dtype=torch.float64)
    torch.testing.assert_close(LightGCNConv()(x, adjacency_of(dense)), dense @ x)


def test_it_has_no_state() -> None:
    assert LightGCNConv().state_dict() == {}
    assert list(LightGCNConv().parameters()) == []
