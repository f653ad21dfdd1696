"""Likelihoods of noisy labels: against closed forms, where they begin and end, and what they do not teach."""

import math

import pytest
import torch

from mmgraph.nn import FlipFactors, noisy_label_loss
from mmgraph.testing import oracles

CRITERIA = ("bpo", "exact", "surrogate", "nbpo")
LOGITS = torch.tensor([-14.0, -6.0, -1.3, 0.0, 0.4, 3.0, 12.0], dtype=torch.float64)
SCORE, FLIP = (x.flatten() for x in torch.meshgrid(LOGITS, LOGITS, indexing="ij"))
NOTHING = torch.zeros(1, dtype=torch.float64)


def gradients(criterion, *, voted, clip=None, score=SCORE, flip=FLIP):
    """Return the derivatives of the gain of each pair by score and flip logit, and the gains' mean."""
    score, flip = (x.clone().requires_grad_() for x in (score, flip))
    sides = [(score, flip), (NOTHING, NOTHING)]
    positive, unvoted = sides if voted else sides[::-1]
    loss = noisy_label_loss(positive, unvoted, criterion=criterion, clip=clip)
    by_score, by_flip = torch.autograd.grad(
        -len(score) * loss, (score, flip), allow_unused=criterion == "bpo"
    )
    return by_score, torch.zeros_like(flip) if by_flip is None else by_flip, loss.item()


@pytest.mark.parametrize("clip", [None, 10.0])
@pytest.mark.parametrize("voted", [True, False])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_gradients_equal_the_closed_forms(criterion, voted, clip) -> None:
    found = gradients(criterion, voted=voted, clip=clip)[:2]
    pairs = zip(SCORE.tolist(), FLIP.tolist(), strict=True)
    options = {"voted": voted, "criterion": criterion, "clip": clip}
    gradient = [oracles.nbpo_gradient(r, g, **options) for r, g in pairs]
    expected = torch.tensor(gradient, dtype=torch.float64)
    torch.testing.assert_close(torch.stack(found, dim=1), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_values_equal_the_oracle(criterion) -> None:
    for voted in (True, False):
        options = {"criterion": criterion}
        near = SCORE.abs() < 10
        pairs = [(r, g) for r, g in zip(SCORE[near].tolist(), FLIP[near].tolist(), strict=True)]
        total = [oracles.nbpo_gain(r, g, voted=voted, **options) for r, g in pairs]
        nothing = oracles.nbpo_gain(0.0, 0.0, voted=not voted, **options)
        loss = gradients(criterion, voted=voted, score=SCORE[near], flip=FLIP[near])[2]
        assert loss == pytest.approx(-sum(total) / len(total) - nothing, rel=1e-12)


@pytest.mark.parametrize("voted", [True, False])
def test_without_flips_it_is_the_criterion_without_noise(voted) -> None:
    never = torch.full_like(SCORE, -1e4)
    found = gradients("nbpo", voted=voted, flip=never)
    assert torch.equal(found[0], gradients("bpo", voted=voted)[0])


def test_an_item_that_is_surely_flipped_teaches_even_odds() -> None:
    always = torch.full_like(SCORE, 1e4)
    found = gradients("nbpo", voted=False, flip=always)[0]
    torch.testing.assert_close(found, 1 - 2 * SCORE.sigmoid(), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("gamma", [0.1, 0.5, 0.9])
def test_the_stationary_point_of_an_unvoted_item(gamma) -> None:
    flip = torch.tensor([math.log(gamma / (1 - gamma))], dtype=torch.float64)
    p = gamma / (1 + gamma)
    score = torch.tensor([math.log(p / (1 - p))], dtype=torch.float64)
    assert gradients("nbpo", voted=False, score=score, flip=flip)[0].item() == pytest.approx(
        0, abs=1e-15
    )


def test_chances_that_weigh_get_no_gradient() -> None:
    """Scores move flips only through the flip logit's own logarithm, and the other way round."""
    score, flip = SCORE.clone().requires_grad_(), FLIP.clone().requires_grad_()
    loss = noisy_label_loss((score, flip), (score, flip), criterion="nbpo")
    first = torch.autograd.grad(loss, (score, flip), create_graph=True)
    by_score = torch.autograd.grad(first[0].sum(), (score, flip), allow_unused=True)
    assert by_score[1] is None or not by_score[1].any()


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("clip", [None, 10.0])
def test_extreme_logits_stay_finite(criterion, clip) -> None:
    ends = torch.tensor([-1e4, -20.0, 20.0, 1e4])
    score, flip = (x.flatten() for x in torch.meshgrid(ends, ends, indexing="ij"))
    for voted in (True, False):
        by_score, by_flip, loss = gradients(
            criterion, voted=voted, clip=clip, score=score, flip=flip
        )
        assert math.isfinite(loss)
        assert by_score.isfinite().all()
        assert by_flip.isfinite().all()


def test_flips_are_rare_at_first() -> None:
    torch.manual_seed(0)
    factors = FlipFactors(200, 300, 50)
    user, item = factors(torch.arange(200), torch.arange(300))
    rates = (user @ item.T).sigmoid()
    assert 0.001 < rates.mean() < 0.004
    assert rates.max() < 0.1


def test_factors_from_features() -> None:
    """Item 2 lacks the image, item 3 both; the mean is over what is there."""
    text, image = torch.randn(4, 5), torch.randn(4, 3)
    has = torch.tensor([True, True, True, False]), torch.tensor([True, True, False, False])
    text[3], image[2:] = float("nan"), float("nan")
    features = {"text": (text, has[0]), "image": (image, has[1])}
    factors = FlipFactors(2, 4, 6, features=features).double()
    weights = [encoder.linear.weight for encoder in factors.encoders.encoders]
    parts = [
        torch.nn.functional.normalize(x).double() @ w.T
        for x, w in zip((text, image), weights, strict=True)
    ]
    expected = torch.stack([*(parts[0] + parts[1])[:2] / 2, parts[0][2], torch.zeros(6)])
    found = factors.of_items()
    torch.testing.assert_close(found, expected + factors.bias, rtol=1e-6, atol=1e-7)
    assert torch.equal(found[3], factors.bias)
    torch.testing.assert_close(factors.of_items(torch.tensor([2, 0])), found[[2, 0]])
    assert {name for name, _ in factors.named_parameters() if "user" in name or "item" in name} == {
        "flip_user"
    }
    assert (factors.bias < 0).all()
    assert (factors.flip_user > 0).all()
