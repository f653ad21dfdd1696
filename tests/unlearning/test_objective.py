"""The reversed criterion: identities, slopes, and what a step does with it."""

import numpy as np
import pytest
import torch
from torch import Tensor

from mmgraph.config import Recipe
from mmgraph.graph import build_graph
from mmgraph.models import MODELS, get_model
from mmgraph.models.base import Recommender
from mmgraph.models.batch import Batch, Rows
from mmgraph.run import build_model
from mmgraph.testing import checkerboard_dataset, checkerboard_graph
from mmgraph.training.loop import compute_losses
from mmgraph.unlearning.objective import (
    FORGET,
    Reverse,
    can_share_rows,
    reverse_loss,
    unlearning_losses,
)

RETAIN = Batch(torch.arange(8), (torch.arange(8) + 2) % 12, (torch.arange(8) + 3) % 12)
PAIR = Batch(torch.tensor([0]), torch.tensor([2]), torch.tensor([1]))
LOST = Batch(torch.tensor([1, 5, 9]), torch.tensor([5, 9, 1]), torch.tensor([2, 0, 4]))


def small(name: str = "bpr_mf", **options: object) -> Recommender:
    config = get_model(name).Config(name=name, embedding_dim=4, **options)  # type: ignore[call-arg]
    return get_model(name)(checkerboard_graph(), config).double()


def pair_rows(x: Tensor) -> Rows:
    """Return rows whose scores differ by x."""
    one = torch.ones_like(x)[:, None]
    return Rows(one, x[:, None], torch.zeros_like(one))


def test_swap_is_never_below_zero_and_differs_from_bpr_by_the_margin() -> None:
    model = small()
    x = torch.linspace(-30, 30, 61, dtype=torch.float64)
    for value in x:
        swapped = reverse_loss(model, PAIR, rows=pair_rows(value[None])).item()
        forward = model.criterion(*pair_rows(value[None]).scores()).item()
        assert swapped >= 0
        assert swapped - forward == pytest.approx(
            value.item(), abs=3e-9
        )  # torch rounds the softplus beyond 20
        assert reverse_loss(model, PAIR, "negate", rows=pair_rows(value[None])).item() == -forward


@pytest.mark.parametrize(
    ("reverse", "remembered", "lost"), [("swap", 0.9997, 0.0003), ("negate", 0.0003, 0.9997)]
)
def test_slopes_push_down_and_are_those_of_the_sigmoid(
    reverse: Reverse, remembered: float, lost: float
) -> None:
    """To turn sides and sign at once would push up: the slope on the margin must be positive."""
    model = small()
    for start, expected in ((8.0, remembered), (-8.0, lost)):
        x = torch.tensor([start], dtype=torch.float64, requires_grad=True)
        reverse_loss(model, PAIR, reverse, rows=pair_rows(x)).backward()
        assert x.grad is not None
        assert x.grad.item() > 0
        assert round(x.grad.item(), 4) == expected
        sign = 1 if reverse == "swap" else -1
        assert x.grad.item() == pytest.approx(1 / (1 + np.exp(-sign * start)), abs=1e-12)


@pytest.mark.parametrize("reverse", ["swap", "negate"])
def test_a_small_step_lowers_the_margin_of_every_pair(reverse: Reverse) -> None:
    model = small()
    user, item, other = torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2]), torch.tensor([5, 6, 7])
    batch = Batch(user, item, other)  # no row belongs to two pairs

    def margins() -> Tensor:
        positive, negative = model.batch_rows(batch).scores()
        return positive - negative

    before = margins().detach()
    reverse_loss(model, batch, reverse).backward()
    with torch.no_grad():
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter -= 1e-3 * parameter.grad
    assert (margins() < before).all()


@pytest.mark.parametrize("mix", [0.0, 0.3, 1.0])
def test_the_sum_is_the_mixture_and_the_penalty_keeps_its_weight(mix: float) -> None:
    model = small("lightgcn", reg_weight=0.7)
    stage = model.stages[0]
    terms, loss = unlearning_losses(model, stage, RETAIN, LOST, mix=mix)
    alone = model.losses(RETAIN)
    forget = reverse_loss(model, LOST)
    expected = mix * forget + (1 - mix) * alone["bpr"] + 0.7 * alone["reg"]
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    assert set(terms) == ({"bpr", "reg", FORGET} if mix else {"bpr", "reg"})


def test_without_anything_to_forget_a_step_is_one_of_training() -> None:
    model = small("lightgcn", reg_weight=0.7)
    stage = model.stages[0]
    expected = compute_losses(model, stage, RETAIN, precision="float32")[1]
    for forget, mix in ((None, 0.5), (LOST, 0.0)):
        terms, loss = unlearning_losses(model, stage, RETAIN, forget, mix=mix)
        assert FORGET not in terms
        assert torch.equal(loss, expected)


@pytest.mark.parametrize("name", MODELS)
def test_every_trained_model_can_unlearn(name: str) -> None:
    """A step of plain descent on the reversed term alone lowers it; all terms are finite."""
    recipe = Recipe.build({"model": {"name": name}, "graph": {"k": 3}})
    model = build_model(recipe, build_graph(checkerboard_dataset(), recipe.graph)).double().train()
    if not model.stages:
        pytest.skip(f"{name} is not trained")
    stage = model.stages[-1]
    model.on_stage(stage)
    model.on_epoch(1)
    retain = RETAIN
    if model.num_negatives > 1:
        several = RETAIN.negative[:, None].expand(-1, model.num_negatives)
        retain = RETAIN._replace(negative=several)
    together = can_share_rows(model, LOST)
    terms, loss = unlearning_losses(model, stage, retain, LOST, mix=0.5, together=together)
    loss.backward()
    assert FORGET in terms
    assert all(torch.isfinite(term) for term in terms.values())
    assert any(p.grad is not None and p.grad.any() for p in model.parameters())
    model.zero_grad()
    model.eval()
    before = reverse_loss(model, LOST)
    before.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 1e-4 * parameter.grad
    assert reverse_loss(model, LOST) < before


@pytest.mark.parametrize("name", ["bpr_mf", "lightgcn", "vbpr", "freedom", "mm_gef"])
def test_encoded_together_the_terms_are_the_same(name: str) -> None:
    recipe = Recipe.build({"model": {"name": name}, "graph": {"k": 3}})
    model = build_model(recipe, build_graph(checkerboard_dataset(), recipe.graph)).double().train()
    assert can_share_rows(model, LOST)
    stage = model.stages[-1]
    one, loss = unlearning_losses(model, stage, RETAIN, LOST, mix=0.3, together=True)
    two, same = unlearning_losses(model, stage, RETAIN, LOST, mix=0.3)
    assert one.keys() == two.keys()
    torch.testing.assert_close(loss, same, rtol=1e-10, atol=1e-10)
    for key, value in two.items():
        torch.testing.assert_close(one[key], value, rtol=1e-10, atol=1e-10)


def test_models_with_losses_of_their_own_are_encoded_apart() -> None:
    recipe = Recipe.build({"model": {"name": "mario"}, "graph": {"k": 3}})
    model = build_model(recipe, build_graph(checkerboard_dataset(), recipe.graph))
    assert not can_share_rows(model, LOST)


@pytest.mark.parametrize("reverse", ["swap", "negate"])
def test_gradients_equal_finite_differences(reverse: Reverse) -> None:
    model = small("lightgcn", reg_weight=0.1)

    def loss() -> Tensor:
        return unlearning_losses(model, model.stages[0], RETAIN, LOST, mix=0.4, reverse=reverse)[1]

    loss().backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        gradient, numbers = parameter.grad.view(-1), parameter.detach().view(-1)
        place = int(gradient.abs().argmax())
        value, ends = numbers[place].clone(), []
        for step in (1e-6, -1e-6):
            numbers[place] = value + step
            ends.append(loss().item())
        numbers[place] = value
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(gradient[place].item(), abs=1e-7)
