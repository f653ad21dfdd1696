"""Memberships, their noise, and what passes through the hyperedges."""

import pytest
import torch

from mmgraph.nn import HypergraphConv, ModalityHypergraphs, SoftHypergraph

LOGITS = torch.tensor([[0.0, 1.0, -1.0], [2.0, 2.0, 2.0], [5.0, 0.0, 1.0]], dtype=torch.float64)
ALL = torch.ones(3, dtype=torch.bool)


def test_rows_are_softmaxes_and_nothing_changes_them_in_eval_mode():
    graph = SoftHypergraph(temperature=0.5, dropout=0.5).eval()
    present = torch.tensor([True, True, False])
    found = graph(LOGITS, present)
    assert torch.equal(found, graph(LOGITS, present))
    torch.testing.assert_close(found[:2], (LOGITS[:2] / 0.5).softmax(dim=1))
    assert not found[2].any()


def test_noise_in_training_comes_from_the_global_generator_and_rows_still_sum_to_one():
    graph = SoftHypergraph(temperature=0.5).train()
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(graph(LOGITS, ALL))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    torch.testing.assert_close(found[2].sum(dim=1), torch.ones(3).double())


def test_noise_is_gumbels():
    """The largest of logits plus Gumbel noise is each one with the chance that the softmax says."""
    graph, logits = SoftHypergraph(temperature=1e-3).train(), torch.tensor([[0.0, 1.0]])
    first = graph(logits.expand(20_000, 2), torch.ones(20_000, dtype=torch.bool))[:, 0]
    assert first.mean().item() == pytest.approx(1 / (1 + torch.e), abs=0.015)


def test_gaps_are_scaled_up():
    graph = SoftHypergraph(temperature=1.0, dropout=0.5).train()
    found = graph(torch.zeros(2000, 1), torch.ones(2000, dtype=torch.bool))
    assert set(found.unique().tolist()) == {0.0, 2.0}
    assert found.mean().item() == pytest.approx(1, abs=0.1)


def test_memberships_are_float32_at_least():
    assert SoftHypergraph(temperature=0.2)(LOGITS.bfloat16(), ALL).dtype == torch.float32


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_the_convolution_equals_its_equations(num_layers):
    x, of_items, of_users = torch.randn(4, 3), torch.rand(4, 2), torch.rand(5, 2)
    item = x
    for _ in range(num_layers):
        gathered = of_items.T @ item
        item, user = of_items @ gathered, of_users @ gathered
    found = HypergraphConv(num_layers)(x, of_items, of_users)
    torch.testing.assert_close(found, (user, item))


def test_each_modality_has_its_own_hyperedges():
    x, of_users, of_items = torch.randn(4, 3), torch.rand(2, 5, 2), torch.rand(2, 4, 2)
    present = [torch.tensor([[True] * 5, [False] * 5]), torch.tensor([[True] * 4] * 2)]
    block = ModalityHypergraphs(temperature=0.5, num_layers=2).eval()
    users, items = block(x, [*of_users], [*of_items], present)
    for m in range(2):
        memberships = (
            block.memberships(logits[m], has[m])
            for logits, has in ((of_items, present[1]), (of_users, present[0]))
        )
        torch.testing.assert_close((users[m], items[m]), block.layers(x, *memberships))
    assert not users[1].any()
