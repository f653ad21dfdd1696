"""Normalised weights against dense float64 matrices, and their gradients."""

import numpy as np
import pytest
import torch

from mmgraph.errors import GraphError
from mmgraph.graph.normalize import (
    bipartite_weights,
    count_weights,
    degree_power,
    normalize_edges,
)


def dense(edge_index, edge_weight, num_nodes):
    matrix = np.zeros((num_nodes, num_nodes))
    matrix[edge_index[1], edge_index[0]] = edge_weight
    return matrix


@pytest.fixture
def graph():
    generator = torch.Generator().manual_seed(0)
    edge_index = (torch.rand(8, 8, generator=generator) < 0.4).nonzero().T.contiguous()
    edge_index = edge_index[:, edge_index[1] != 3]
    return edge_index, torch.rand(edge_index.size(1), generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("norm", ["none", "row", "sym"])
def test_equals_the_dense_matrix(graph, norm):
    edge_index, edge_weight = graph
    s = dense(edge_index, edge_weight, 8)
    r = s.sum(axis=1)
    expected = np.zeros_like(s)
    for i, j in np.argwhere(s):
        divisor = {"none": 1.0, "row": r[i], "sym": np.sqrt(r[i] * r[j])}[norm]
        expected[i, j] = s[i, j] / divisor if divisor else 0.0
    found = dense(edge_index, normalize_edges(edge_index, edge_weight, 8, norm), 8)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("norm", ["row", "sym"])
def test_gradient_by_finite_differences(graph, norm):
    edge_index, edge_weight = graph
    weight = edge_weight.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda w: normalize_edges(edge_index, w, 8, norm), weight)


def test_a_row_without_positive_sum_is_zero_and_has_a_finite_gradient():
    edge_index = torch.tensor([[1, 0, 0], [0, 1, 2]])
    weight = torch.tensor([1.0, -2.0, 0.0], requires_grad=True)
    for norm, expected in (("row", [1.0, 0.0, 0.0]), ("sym", [0.0, 0.0, 0.0])):
        out = normalize_edges(edge_index, weight, 3, norm)
        assert out.tolist() == expected
        (gradient,) = torch.autograd.grad(out.sum(), weight)
        assert bool(torch.isfinite(gradient).all())


def test_type_is_kept_and_input_is_not_changed(graph):
    edge_index, edge_weight = graph
    before = edge_weight.clone()
    assert normalize_edges(edge_index, edge_weight.float(), 8, "sym").dtype == torch.float32
    assert torch.equal(edge_weight, before)


@pytest.mark.parametrize("norm", ["sym", "rw", "rw_self", "none"])
def test_bipartite_equals_the_square_matrix(norm):
    generator = np.random.default_rng(1)
    interactions = (generator.random((5, 7)) < 0.4).astype(float)
    interactions[2] = 0
    user, item = (torch.from_numpy(part) for part in np.nonzero(interactions))
    a = np.block([[np.zeros((5, 5)), interactions], [interactions.T, np.zeros((7, 7))]])
    d = a.sum(axis=1)
    with np.errstate(divide="ignore"):
        inverse, root = np.where(d > 0, 1 / d, 0), np.where(d > 0, d**-0.5, 0)
    square = {
        "none": a,
        "rw": inverse[:, None] * a,
        "sym": root[:, None] * a * root,
        "rw_self": (a + np.eye(12)) / (d + 1)[:, None],
    }[norm]
    found = bipartite_weights(user, item, num_users=5, num_items=7, norm=norm)
    np.testing.assert_allclose(found.item_to_user, square[user, 5 + item], rtol=1e-6)
    np.testing.assert_allclose(found.user_to_item, square[5 + item, user], rtol=1e-6)
    if norm == "rw_self":
        np.testing.assert_allclose(found.user_self, np.diag(square)[:5], rtol=1e-6)
        np.testing.assert_allclose(found.item_self, np.diag(square)[5:], rtol=1e-6)
    else:
        assert found.user_self is None
        assert found.item_self is None


def test_degree_power_of_nothing_is_zero():
    degree = torch.tensor([0.0, -3.0, 4.0], requires_grad=True)
    power = degree_power(degree, -1.0)
    assert power.tolist() == [0.0, 0.0, 0.25]
    power.sum().backward()
    assert degree.grad.tolist() == [0.0, 0.0, -0.0625]


def test_count_weights_by_hand():
    count, a, b = torch.tensor([2]), torch.tensor([8]), torch.tensor([2])
    found = {
        norm: count_weights(count, a, b, norm).item()
        for norm in ("none", "max", "row_max", "sym", "cosine", "jaccard")
    }
    assert found == {
        "none": 2,
        "max": 2,
        "row_max": 0.25,
        "sym": 0.5,
        "cosine": 0.5,
        "jaccard": 0.25,
    }


def test_pmi_is_zero_where_a_pair_meets_as_often_as_by_chance():
    a, b = torch.tensor([8, 8, 8]), torch.tensor([4, 4, 4])
    found = count_weights(torch.tensor([1, 2, 4]), a, b, "pmi", total=16)
    assert found.tolist() == pytest.approx([-0.6931471805599453, 0.0, 0.6931471805599453])


def test_unknown_names_are_named(graph):
    with pytest.raises(GraphError, match=r"got 'rows'\); did you mean 'row'"):
        normalize_edges(*graph, 8, "rows")
    with pytest.raises(GraphError, match="one of sym, rw, rw_self, none"):
        bipartite_weights(*graph[0], num_users=8, num_items=8, norm="row")
