"""MARGO's calibration against the equations, and its gradients: where they go and where they stop."""

import math

import numpy as np
import pytest
import torch

from mmgraph.nn import ScoredItems, calibration_loss, confidence, masked_softmax, reliability
from mmgraph.testing import oracles

BATCH, DIM = 40, 3


class Triples:
    """Random users and items with their own rows for each triple, and what the oracle wants to know."""

    def __init__(self, *, num_modalities=3, missing=False, seed=0):
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape):
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.user = [normal(BATCH, DIM) for _ in range(num_modalities)]
        self.item = [normal(2 * BATCH, DIM) for _ in range(num_modalities)]
        self.logits = normal(2 * BATCH, num_modalities).requires_grad_()
        self.present = torch.ones(2 * BATCH, num_modalities, dtype=torch.bool)
        if missing:
            self.present = torch.rand(self.present.shape, generator=generator) < 0.6
            self.present |= ~self.present.any(dim=1, keepdim=True)

    def parts(self):
        user = [torch.cat([x, x]) for x in self.user]
        columns = [(u * i).sum(dim=1) for u, i in zip(user, self.item, strict=True)]
        return torch.stack(columns, dim=1)

    def sides(self, parts=None):
        parts = self.parts() if parts is None else parts
        scores = (parts * masked_softmax(self.logits, self.present)).sum(dim=1)
        columns = (parts, scores, self.logits, self.present)
        return [ScoredItems(*side) for side in zip(*(x.chunk(2) for x in columns), strict=True)]

    def oracle(self, **options):
        index = np.arange(BATCH)
        return oracles.margo_calibration(
            self.user,
            self.item,
            self.logits.detach(),
            np.stack([index, index, index + BATCH], axis=1),
            present=self.present,
            **options,
        )


@pytest.mark.parametrize("num_modalities", [1, 2, 3])
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("kl_target", ["mean", "sum"])
def test_loss_equals_the_oracle(num_modalities, missing, kl_target):
    triples = Triples(num_modalities=num_modalities, missing=missing)
    expected = triples.oracle(tau=2.0, kl_target=kl_target)
    found = calibration_loss(*triples.sides(), tau=2.0, kl_target=kl_target)
    assert found.item() == pytest.approx(expected.mean(), rel=1e-12, abs=1e-16)
    assert (num_modalities == 1 and kl_target == "mean") == (abs(expected.mean()) < 1e-12)


def test_reliability_equals_the_oracle():
    difference = torch.randn(200, 4, dtype=torch.float64)
    difference[:3] = -difference[:3].abs()
    found = reliability(difference, torch.ones(200, 4, dtype=torch.bool))
    expected = [oracles.margo_reliability(row) for row in difference]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-30)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(200).double(), rtol=0, atol=1e-15)
    assert (found[:3] == 0.25).all()
    negative = (difference < 0) & (difference >= 0).any(dim=1, keepdim=True)
    assert negative.any()
    assert (found[negative] == 0).all()


@pytest.mark.parametrize("missing", [False, True])
def test_a_constant_in_a_modalitys_scores_of_both_items_changes_nothing(missing):
    triples = Triples(missing=missing)
    sides = triples.sides(torch.randint(-50, 50, (2 * BATCH, 3)).double() / 8)  # exact sums
    shift = torch.tensor([4.0, -2.0, 0.5]).double()
    shifted = [side._replace(parts=side.parts + shift) for side in sides]
    plain, other = (calibration_loss(*pair, tau=1.0) for pair in (sides, shifted))
    assert plain.item() == other.item() > 0
    gradients = [
        torch.autograd.grad(loss, triples.logits, retain_graph=True)[0] for loss in (plain, other)
    ]
    assert torch.equal(*gradients)
    assert gradients[0].any()


def test_confidence_at_the_extremes_of_tau():
    positive, negative = torch.tensor([3.0, 1.0, 1.0, 1.01]), torch.tensor([1.0, 3.0, 1.0, 1.0])
    assert confidence(positive, negative, tau=1e-12).tolist() == [1.0, 0.0, 0.0, 1.0]
    wide = confidence(positive, negative, tau=1e12)
    assert (wide[[0, 3]] > 0).all()
    assert wide.max() < 1e-11
    assert confidence(positive, negative, tau=4.0)[0].item() == pytest.approx(math.tanh(0.5))
    triples = Triples()
    assert 0 < calibration_loss(*triples.sides(), tau=1e9).item() < 1e-8


def test_the_loss_is_never_negative_and_the_sum_target_is_log_2_gamma_less():
    triples = Triples(missing=True)
    positive, negative = triples.sides()
    mean, both = (
        calibration_loss(positive, negative, tau=1.0, kl_target=kind) for kind in ("mean", "sum")
    )
    shared = (positive.present & negative.present).any(dim=1)
    assert not shared.all()
    gamma = confidence(positive.score, negative.score, tau=1.0) * shared
    assert mean.item() > 0
    assert (mean - both).item() == pytest.approx(gamma.mean().item() * math.log(2), rel=1e-12)
    gradients = [torch.autograd.grad(x, triples.logits, retain_graph=True)[0] for x in (mean, both)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-15)


def test_gradients_of_logits_equal_the_formula_and_reach_only_confident_triples():
    triples = Triples()
    parts = triples.parts().requires_grad_()
    positive, negative = triples.sides(parts)
    (gradient,) = torch.autograd.grad(
        calibration_loss(positive, negative, tau=1.0), triples.logits, retain_graph=True
    )
    gamma = confidence(positive.score, negative.score, tau=1.0).detach()
    z = reliability(positive.parts - negative.parts, positive.present).detach()
    own, other = (x.logits.detach().softmax(dim=1) for x in (positive, negative))
    slope = -gamma[:, None] * z / (own + other) / BATCH
    expected = torch.cat([w * (slope - (w * slope).sum(dim=1, keepdim=True)) for w in (own, other)])
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-16)
    reached = gradient.any(dim=1).view(2, BATCH)
    assert torch.equal(reached, (gamma > 0).expand(2, -1))
    assert 0 < int(reached[0].sum()) < BATCH


def test_no_gradient_reaches_the_scores_unless_it_is_asked_for():
    for detach in (True, False):
        triples = Triples()
        parts = triples.parts().requires_grad_()
        loss = calibration_loss(*triples.sides(parts), tau=1.0, detach=detach)
        (gradient,) = torch.autograd.grad(loss, parts, allow_unused=True)
        assert (gradient is None or not gradient.any()) == detach


@pytest.mark.parametrize("missing", [False, True])
def test_without_stops_the_gradient_is_that_of_finite_differences(missing):
    triples = Triples(missing=missing)
    parts = triples.parts().requires_grad_()

    def loss(parts, logits):
        triples.logits = logits
        return calibration_loss(*triples.sides(parts), tau=1.0, detach=False)

    assert torch.autograd.gradcheck(loss, (parts, triples.logits), atol=1e-7)


@pytest.mark.parametrize("detach", [True, False])
def test_extremes_have_finite_losses_and_gradients(detach):
    """All modalities wrong, nothing shared, weights that underflow: in float32."""
    parts = torch.tensor([[-9.0, -9.0], [90.0, 9.0], [90.0, -90.0], [1e4, 0.0]], requires_grad=True)
    logits = torch.tensor([[0.0, 0.0], [0.0, 0.0], [-300.0, 300.0], [0.0, 0.0]], requires_grad=True)
    has = torch.tensor([[1, 1], [1, 0], [1, 1], [1, 1]], dtype=torch.bool)
    other = torch.tensor([[1, 1], [0, 1], [1, 1], [1, 1]], dtype=torch.bool)
    zeros = torch.zeros(4, 2)
    loss = calibration_loss(
        ScoredItems(parts, torch.ones(4), logits, has),
        ScoredItems(zeros, torch.zeros(4), logits, other),
        tau=1.0,
        detach=detach,
    )
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()
    assert detach or parts.grad.isfinite().all()


def test_a_small_step_on_the_loss_brings_every_confident_triple_nearer():
    triples = Triples(num_modalities=3)
    positive, negative = triples.sides()
    gamma = confidence(positive.score, negative.score, tau=1.0)
    z = reliability(positive.parts - negative.parts, positive.present)

    def divergence():
        own, other = triples.logits.detach().softmax(dim=1).chunk(2)
        return (torch.xlogy(z, z) - torch.xlogy(z, (own + other) / 2)).sum(dim=1)

    before = divergence()
    calibration_loss(positive, negative, tau=1.0).backward()
    triples.logits.data -= 1e-3 * triples.logits.grad
    counted = (gamma > 0) & (before > 1e-9)
    assert counted.sum() > 5
    assert (divergence()[counted] < before[counted]).all()
    assert torch.equal(divergence()[gamma == 0], before[gamma == 0])


def test_masked_softmax_equals_the_oracles_weights():
    triples = Triples(missing=True)
    found = masked_softmax(triples.logits, triples.present)
    expected = oracles.margo_weights(triples.logits.detach(), triples.present)
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-12, atol=0)
    (gradient,) = torch.autograd.grad(found.square().sum(), triples.logits)
    assert (gradient[~triples.present] == 0).all()
