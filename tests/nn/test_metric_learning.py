"""Bounded rows, the hinge weighed by rank, and the covariance of columns."""

import math

import numpy as np
import pytest
import torch

from mmgraph.nn import clip_rows, covariance_penalty, rank_weighted_hinge
from mmgraph.testing import oracles


def draw(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("max_norm", [0.5, 1.0, 3.0])
def test_rows_in_the_ball_stay_and_others_end_on_its_surface(max_norm) -> None:
    x = draw(40, 3)
    x[0] = 0
    found, length = clip_rows(x, max_norm), x.norm(dim=1)
    inside = length <= max_norm
    assert 0 < int(inside.sum()) < 40
    assert torch.equal(found[inside], x[inside])
    torch.testing.assert_close(
        found[~inside].norm(dim=1), torch.tensor(max_norm).expand(int((~inside).sum())).double()
    )
    direction = (found * x).sum(dim=1) / (found.norm(dim=1) * length).clamp(min=1e-300)
    torch.testing.assert_close(direction[1:], torch.ones(39).double())


def test_rounding_leaves_no_row_outside() -> None:
    x = 100 * torch.randn(1000, 64)
    assert clip_rows(x, 1.0).norm(dim=1).max() <= 1 + 1e-6


def test_gradients_of_clipped_rows() -> None:
    x = draw(6, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda rows: clip_rows(rows, 1.0), (x,))
    zero = torch.zeros(1, 3, requires_grad=True)
    clip_rows(zero, 1.0).sum().backward()
    assert zero.grad.tolist() == [[1.0, 1.0, 1.0]]


@pytest.mark.parametrize("num_negatives", [1, 2, 5])
def test_the_hinge_equals_the_oracle(num_negatives) -> None:
    positive, negative = draw(20).square(), draw(20, num_negatives, seed=1).square()
    found = rank_weighted_hinge(positive, negative, margin=0.7, num_items=31)
    expected = oracles.maml_hinge(positive, negative, margin=0.7, num_items=31)
    assert found.item() == pytest.approx(expected, rel=1e-14)


def test_no_loss_when_all_negatives_are_far() -> None:
    positive, negative = draw(5).square(), 3 + draw(5, 2).square()
    near = negative.amin(dim=1) - 1.5
    assert rank_weighted_hinge(near, negative, margin=1.5, num_items=9).item() == 0
    assert rank_weighted_hinge(near + 1e-6, negative, margin=1.5, num_items=9).item() > 0
    assert rank_weighted_hinge(positive, positive[:, None], margin=0.0, num_items=9).item() == 0


def test_only_the_closest_negative_gets_a_gradient() -> None:
    positive, negative = draw(6).requires_grad_(), draw(6, 3, seed=1).requires_grad_()
    rank_weighted_hinge(positive, negative, margin=9.0, num_items=30).backward()
    # All three are impostors, so the rank is 30.
    torch.testing.assert_close(positive.grad, torch.full((6,), math.log(31) / 6).double())
    closest = torch.nn.functional.one_hot(negative.argmin(dim=1), 3).double()
    torch.testing.assert_close(negative.grad, -closest * math.log(31) / 6)


@pytest.mark.parametrize("signed", [False, True])
def test_the_covariance_equals_the_oracle(signed) -> None:
    x = draw(9, 4) + 5
    expected = oracles.maml_covariance(x, signed=signed)
    assert covariance_penalty(x, signed=signed).item() == pytest.approx(expected, rel=1e-12)
    given = x.requires_grad_()
    assert torch.autograd.gradcheck(lambda rows: covariance_penalty(rows, signed=signed), (given,))


def test_columns_against_each_other_cost_as_much_as_with_each_other() -> None:
    x = draw(30, 2)
    mirrored = x * torch.tensor([1.0, -1.0])
    assert covariance_penalty(mirrored).item() == pytest.approx(covariance_penalty(x).item())
    with_sign = [covariance_penalty(rows, signed=True).item() for rows in (x, mirrored)]
    assert with_sign[0] == pytest.approx(-with_sign[1])
    assert covariance_penalty(x).item() == pytest.approx(with_sign[0] ** 2 / 2)


def test_moving_all_rows_changes_no_covariance() -> None:
    x = draw(12, 3)
    np.testing.assert_allclose(covariance_penalty(x + 7), covariance_penalty(x), rtol=1e-12)
