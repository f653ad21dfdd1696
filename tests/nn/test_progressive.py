"""Weights that are learned first and remembered then: their shares, their memory, what is saved."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from mmgraph.nn import ProgressiveWeights
from mmgraph.testing import oracles

NUM_USERS, NUM_BLOCKS, DIM = 5, 3, 4


def make(**options: Any) -> ProgressiveWeights:
    torch.manual_seed(0)
    given = {"hidden_dim": 2, "start": 0.9, "decay": 0.9, **options}
    return ProgressiveWeights(NUM_USERS, NUM_BLOCKS, DIM, **given).double()


def blocks() -> torch.Tensor:
    return torch.randn(NUM_USERS, NUM_BLOCKS * DIM, dtype=torch.float64)


def dense(weights: ProgressiveWeights, x: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    networks = [[p.detach() for p in scorer.parameters()] for scorer in weights.scorers]
    memory = weights.user_memory.detach()
    return oracles.lirdrec_weights(x.split(DIM, dim=1), networks, memory, share=weights.share)


@pytest.mark.parametrize("start", [0.0, 0.3, 0.9, 1.0])
def test_weights_equal_the_equations(start: float) -> None:
    weights, x = make(start=start), blocks()
    np.testing.assert_allclose(weights(x).detach(), dense(weights, x)[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("start", "decay"), [(0.9, 0.9), (0.99, 0.9), (0.5, 0.7)])
def test_the_share_follows_the_recursion_and_its_closed_form(start: float, decay: float) -> None:
    weights, found = make(start=start, decay=decay), []
    for epoch in range(1, 13):
        weights.on_epoch(epoch)
        found.append(weights.share)
        odds = start / (1 - start) * decay ** (epoch * (epoch + 1) / 2)
        assert weights.share / (1 - weights.share) == pytest.approx(odds, rel=1e-12)
    assert found == pytest.approx(oracles.lirdrec_shares(start, decay, 12), rel=1e-12)
    assert all(later < sooner for sooner, later in pairwise(found))


def test_shares_that_are_published() -> None:
    weights, found = make(), []
    for epoch in range(1, 6):
        weights.on_epoch(epoch)
        found.append(round(weights.share, 3))
    assert found == [0.890, 0.868, 0.827, 0.758, 0.649]


def test_a_base_of_one_keeps_the_share_and_late_epochs_leave_nothing() -> None:
    steady, fading = make(decay=1.0), make()
    for weights in (steady, fading):
        weights.on_epoch(100_000)
    assert (steady.share, fading.share) == (pytest.approx(0.9, abs=1e-15), 0.0)
    certain = make(start=1.0)
    certain.on_epoch(100_000)
    assert certain.share == 1.0


def test_with_share_one_the_memory_plays_no_part_and_with_share_zero_the_networks() -> None:
    x = blocks()
    said, remembered = make(start=1.0, copied="attention"), make(start=0.0, copied="attention")
    for weights in (said, remembered):
        (weights(x) * torch.randn(NUM_USERS, NUM_BLOCKS)).sum().backward()
    assert not said.user_memory.grad.any()
    assert all(p.grad.any() for p in said.scorers.parameters() if p.numel() > 1)
    assert remembered.user_memory.grad.any()
    assert not any(p.grad.any() for p in remembered.scorers.parameters())
    torch.testing.assert_close(remembered(x), remembered.user_memory.softmax(dim=1))


@pytest.mark.parametrize("copied", ["logit", "attention"])
def test_an_epoch_copies_what_the_last_training_step_came_to(copied: str) -> None:
    weights, x = make(copied=copied), blocks()
    weights.on_epoch(1)
    start = weights.user_memory.detach().clone()
    weights(x + 1, remember=True)
    weights(x, remember=True)
    weights(x - 1)
    logits, softmax = dense(weights, x)
    assert torch.equal(weights.user_memory, start)
    weights.on_epoch(2)
    expected = logits if copied == "logit" else softmax
    np.testing.assert_allclose(weights.user_memory.detach(), expected, rtol=0, atol=1e-12)


def test_an_epoch_that_has_begun_does_not_begin_again() -> None:
    weights, x = make(), blocks()
    weights.on_epoch(1)
    weights(x, remember=True)
    before = weights.user_memory.clone()
    weights.on_epoch(1)
    assert torch.equal(weights.user_memory, before)


@pytest.mark.parametrize("copied", ["logit", "attention"])
def test_the_memory_of_logits_stays_and_that_of_weights_becomes_uniform(copied: str) -> None:
    weights, x = make(copied=copied, decay=0.1), 5 * blocks()
    with torch.no_grad():
        weights.user_memory.mul_(5)
    ends = []
    for epoch in range(1, 13):
        weights.on_epoch(epoch)
        with torch.no_grad():
            ends.append(weights(x, remember=True))
    moved = (ends[-1] - ends[-6]).abs().max().item()
    assert moved < 1e-3
    far = (ends[-1] - 1 / NUM_BLOCKS).abs().max().item()
    assert (far < 1e-3) == (copied == "attention")


@pytest.mark.parametrize("copied", ["logit", "attention"])
def test_what_is_saved_is_all_that_the_next_epoch_needs(copied: str) -> None:
    weights, x = make(copied=copied), blocks()
    for epoch in (1, 2, 3):
        weights.on_epoch(epoch)
        weights(x, remember=True)
    fresh = make(copied=copied)
    fresh.load_state_dict(weights.state_dict())
    assert fresh.epoch == 3
    for each in (weights, fresh):
        each.on_epoch(4)
    assert torch.equal(fresh(x), weights(x))
    addresses = {value.data_ptr() for value in weights.state_dict().values() if value.numel()}
    assert len(addresses) == len(weights.state_dict())  # files of tensors hold each number once


def test_only_the_memory_that_was_released_is_trained() -> None:
    trained = [dict(make(copied=kind).named_parameters()) for kind in ("logit", "attention")]
    assert ["user_memory" in names for names in trained] == [False, True]


def test_gradients() -> None:
    weights = make()
    assert torch.autograd.gradcheck(weights, blocks().requires_grad_())
