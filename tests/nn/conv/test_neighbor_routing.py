"""Attention over neighbours and routing, fused and by messages, against their equations."""

import numpy as np
import pytest
import torch

from mmgraph.nn import NeighborRouting
from mmgraph.sparse import segment_sum
from mmgraph.testing import oracles
from mmgraph.testing.kernels import adjacency_of, sample_matrices

HISTORY = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 1], [0, 0, 0, 0.0]]).double()


def rows(num_targets: int, num_sources: int) -> tuple[torch.Tensor, torch.Tensor]:
    target, source = (torch.randn(n, 5, dtype=torch.float64) for n in (num_targets, num_sources))
    return target.requires_grad_(), source.requires_grad_()


@pytest.mark.parametrize("name", sorted(sample_matrices()))
def test_attention_equals_the_equations_by_both_paths(name: str) -> None:
    dense = (sample_matrices()[name] != 0).double()
    adj, routing = adjacency_of(dense), NeighborRouting(1)
    target, source = rows(*dense.shape)
    expected = oracles.neighbour_attention(target.detach(), source.detach(), dense)
    received, weight = routing.attend(target, source, adj)
    sources, targets = adj.edge_index()
    np.testing.assert_allclose(weight.detach(), expected[targets, sources], rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        received.detach(), expected @ source.detach().numpy(), rtol=0, atol=1e-12
    )
    for one, other in zip(
        (received, weight), routing.attend(target, source, adj.edge_index()), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_the_weights_of_a_target_sum_to_one() -> None:
    adj = adjacency_of(HISTORY)
    _, weight = NeighborRouting(1).attend(*rows(3, 4), adj)
    torch.testing.assert_close(
        segment_sum(weight, adj.rowptr), torch.tensor([1.0, 1.0, 0.0]).double()
    )


@pytest.mark.parametrize("num_steps", [0, 1, 3])
def test_routing_equals_the_equations(num_steps: int) -> None:
    preference, content = (x.detach() for x in rows(3, 4))
    pairs = HISTORY.nonzero().numpy()
    unit_users, unit_items = (torch.from_numpy(oracles.unit_rows(x)) for x in (preference, content))
    found = NeighborRouting(num_steps)(unit_users, unit_items, adjacency_of(HISTORY))
    expected = oracles.grcn_routing(preference, content, pairs, num_steps=num_steps)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_what_is_refined_is_what_receives() -> None:
    """Each step changes the targets with edges; one without any keeps its unit row."""
    target, source = rows(3, 4)
    once, twice = (NeighborRouting(n)(target, source, adjacency_of(HISTORY)) for n in (1, 2))
    assert not torch.allclose(once[:2], twice[:2], atol=1e-3)
    torch.testing.assert_close(once[2], target[2] / target[2].norm())


def test_gradients_are_right_and_the_same_by_both_paths() -> None:
    adj, routing = adjacency_of(HISTORY), NeighborRouting(2)
    inputs = rows(3, 4)
    fused = torch.autograd.grad(routing(*inputs, adj).pow(3).sum(), inputs)
    messages = torch.autograd.grad(routing(*inputs, adj.edge_index()).pow(3).sum(), inputs)
    for one, other in zip(fused, messages, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)
    assert torch.autograd.gradcheck(lambda x, y: routing(x, y, adj), inputs)
