"""BPR: its value, its gradient, and its manners at the extremes."""

import math

import pytest
import torch

from mmgraph.nn import bpr_loss
from mmgraph.testing import oracles


def test_equal_scores_cost_ln_2() -> None:
    loss = bpr_loss(torch.zeros(5, dtype=torch.float64), torch.zeros(5, dtype=torch.float64))
    assert loss.item() == pytest.approx(math.log(2), abs=1e-15)
    assert loss.shape == ()


def test_value_equals_the_equation() -> None:
    positive, negative = torch.randn(2, 40, dtype=torch.float64) * 3
    expected = oracles.bpr(positive, negative)
    assert bpr_loss(positive, negative).item() == pytest.approx(expected, rel=1e-12)


def test_a_better_positive_costs_less() -> None:
    good, bad = torch.tensor([1.0]), torch.tensor([-1.0])
    assert bpr_loss(good, bad) < math.log(2) < bpr_loss(bad, good)


def test_gradient() -> None:
    positive, negative = torch.randn(2, 6, dtype=torch.float64)
    inputs = (positive.requires_grad_(), negative.requires_grad_())
    assert torch.autograd.gradcheck(bpr_loss, inputs)


@pytest.mark.parametrize(
    ("difference", "loss", "slope"), [(-1e4, 1e4, -1.0), (1e4, 0.0, 0.0), (-90.0, 90.0, -1.0)]
)
def test_large_differences_neither_overflow_nor_lose_their_gradient(
    difference: float, loss: float, slope: float
) -> None:
    positive = torch.tensor([difference], requires_grad=True)
    negative = torch.zeros(1, requires_grad=True)
    value = bpr_loss(positive, negative)
    value.backward()
    assert value.item() == loss
    assert positive.grad.item() == slope
    assert negative.grad.item() == -slope


def test_a_mask_leaves_pairs_out_of_the_mean_and_of_the_gradient():
    positive = torch.tensor([1.0, 5.0, 0.0], requires_grad=True)
    negative, mask = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([True, False, True])
    loss = bpr_loss(positive, negative, mask)
    torch.testing.assert_close(loss, bpr_loss(positive[mask], negative[mask]))
    loss.backward()
    assert positive.grad[1] == 0
    assert positive.grad[[0, 2]].all()
    assert bpr_loss(positive, negative, torch.zeros(3, dtype=torch.bool)).item() == 0


def test_base_two_counts_in_bits() -> None:
    assert bpr_loss(torch.zeros(5), torch.zeros(5), base="2").item() == pytest.approx(1.0)


def test_each_of_several_negatives_is_a_pair_of_its_own():
    positive = torch.randn(4, dtype=torch.float64)
    negative = torch.randn(4, 4, dtype=torch.float64)
    expected = torch.stack([bpr_loss(positive, column) for column in negative.T]).mean()
    torch.testing.assert_close(bpr_loss(positive, negative), expected, rtol=1e-14, atol=0)
