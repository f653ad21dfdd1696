"""The shared query and the gate against their dense forms."""

import numpy as np
import pytest
import torch

from mmgraph.nn import QueryAttention, SigmoidGate
from mmgraph.testing import oracles


def parts_of(count):
    generator = torch.Generator().manual_seed(3)
    parts = [torch.randn(5, 3, generator=generator, dtype=torch.float64) for _ in range(count)]
    present = [torch.ones(5, dtype=torch.bool) for _ in range(count)]
    present[0][1] = False
    for mask in present:
        mask[4] = False
    return parts, present


@pytest.mark.parametrize("count", [2, 3])
def test_weights_equal_the_dense_form_and_sum_to_one(count):
    attention, (parts, present) = QueryAttention(3, count).double(), parts_of(count)
    hidden, _, query = attention.query
    torch.nn.init.normal_(hidden.bias)
    expected = oracles.query_weights(
        parts,
        present,
        hidden=(hidden.weight.detach(), hidden.bias.detach()),
        query=query.weight.detach(),
    )
    weights = attention.weights(parts, present)
    np.testing.assert_allclose(weights.detach(), expected, rtol=1e-12)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(5).double())
    assert weights[1, 0] == 0
    total = sum(weights[:, m : m + 1] * part for m, part in enumerate(parts))
    torch.testing.assert_close(attention(parts, present), total)


def test_equal_vectors_come_back_whatever_the_query_is():
    attention, (parts, present) = QueryAttention(3, 2).double(), parts_of(2)
    torch.testing.assert_close(attention([parts[0]] * 2, present), parts[0])


def test_a_single_vector_needs_no_parameters():
    attention, (parts, present) = QueryAttention(3, 1), parts_of(1)
    assert not list(attention.parameters())
    assert attention(parts, present) is parts[0]
    assert attention.weights(parts, present).tolist() == [[1.0]] * 5


def test_a_gate_by_hand():
    gate = SigmoidGate(2, 1)
    with torch.no_grad():
        gate.linear.weight.copy_(torch.tensor([[1.0, -1.0]]))
        gate.linear.bias.fill_(2.0)
    found = gate(torch.tensor([[3.0]]), torch.tensor([[0.5, 0.5]]))
    assert found.item() == pytest.approx(3 / (1 + np.exp(-2)))
