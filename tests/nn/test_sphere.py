"""The losses of directions: values, gradients, and the identities that hold on the unit sphere."""

import math

import pytest
import torch

from mmgraph.nn import alignment_loss, cosine_loss, normalize_rows, uniformity_loss
from mmgraph.testing import oracles


def rows(num_rows: int = 7, dim: int = 4, *, unit: bool = True) -> torch.Tensor:
    x = torch.randn(num_rows, dim, dtype=torch.float64)
    return normalize_rows(x) if unit else x


def cosines(x: torch.Tensor) -> torch.Tensor:
    return normalize_rows(x) @ normalize_rows(x).T


def rotation(dim: int = 4) -> torch.Tensor:
    return torch.linalg.qr(torch.randn(dim, dim, dtype=torch.float64)).Q


def test_cosine_loss_equals_the_equation() -> None:
    x, y = rows(unit=False), rows(unit=False)
    assert cosine_loss(x, y).item() == pytest.approx(oracles.bm3_distance(x, y), rel=1e-12)


@pytest.mark.parametrize(("target", "loss"), [([2.0, 0.0], 0.0), ([-3.0, 0.0], 2.0)])
def test_cosine_loss_lies_between_agreement_and_opposition(
    target: list[float], loss: float
) -> None:
    assert cosine_loss(torch.tensor([[5.0, 0.0]]), torch.tensor([target])).item() == loss


def test_no_gradient_reaches_the_target() -> None:
    x, y = rows(unit=False).requires_grad_(), rows(unit=False).requires_grad_()
    cosine_loss(x, y).backward()
    assert x.grad.any()
    assert y.grad is None
    assert torch.autograd.gradcheck(lambda x: cosine_loss(x, y), x)


def test_a_mask_leaves_rows_out() -> None:
    x, y = rows(unit=False), rows(unit=False)
    mask = torch.arange(7) > 2
    expected = cosine_loss(x[3:], y[3:])
    torch.testing.assert_close(cosine_loss(x, y, mask), expected, rtol=1e-14, atol=0)
    assert cosine_loss(x, y, mask & False).item() == 0


def test_alignment_equals_the_equation_and_is_of_cosines_on_the_sphere() -> None:
    x, y = rows(), rows()
    assert alignment_loss(x, y).item() == pytest.approx(oracles.cm3_alignment(x, y), rel=1e-12)
    on_sphere = 2 - 2 * (x * y).sum(dim=1).mean()
    torch.testing.assert_close(alignment_loss(x, y), on_sphere, rtol=1e-12, atol=0)
    assert alignment_loss(x, x).item() == 0
    assert alignment_loss(x, x.roll(1, dims=0)).item() > 0


@pytest.mark.parametrize("unit", [True, False])
def test_uniformity_equals_the_equation(unit: bool) -> None:
    x = rows(unit=unit)
    similarity = cosines(rows())
    found = uniformity_loss(x).item(), uniformity_loss(x, similarity, t=1.5).item()
    expected = oracles.cm3_uniformity(x), oracles.cm3_uniformity(x, similarity, t=1.5)
    assert found == pytest.approx(expected, rel=1e-12)


def test_a_constant_similarity_shifts_the_loss_and_leaves_its_gradient() -> None:
    """By t (2 - 2 s)."""
    x, s = rows(), 0.3
    plain, calibrated = x.clone().requires_grad_(), x.clone().requires_grad_()
    one, other = uniformity_loss(plain), uniformity_loss(calibrated, torch.full((7, 7), s).double())
    torch.testing.assert_close(other - one, torch.tensor(2 * (2 - 2 * s)).double())
    one.backward()
    other.backward()
    torch.testing.assert_close(calibrated.grad, plain.grad, rtol=1e-12, atol=1e-14)


def test_pairs_that_are_as_near_as_they_are_alike_cost_nothing() -> None:
    x = rows()
    assert uniformity_loss(x, cosines(x)).item() == pytest.approx(0, abs=1e-13)


def test_a_pair_is_repelled_by_its_dissimilarity() -> None:
    """Its exponential counts e^4 times as much with similarity 0 as with 1, for t = 2."""
    x = rows(2)
    unlike, alike = (uniformity_loss(x, torch.full((2, 2), s).double()) for s in (0.0, 1.0))
    assert (unlike - alike).item() == pytest.approx(4, abs=1e-12)


def test_a_rotation_changes_nothing() -> None:
    x, y, turn = rows(), rows(), rotation()
    similarity = cosines(rows())
    torch.testing.assert_close(alignment_loss(x @ turn, y @ turn), alignment_loss(x, y))
    torch.testing.assert_close(uniformity_loss(x @ turn), uniformity_loss(x))
    torch.testing.assert_close(
        uniformity_loss(x @ turn, similarity), uniformity_loss(x, similarity)
    )


def test_gradients_of_uniformity_reach_rows_and_similarities() -> None:
    x, similarity = rows().requires_grad_(), cosines(rows()).requires_grad_()
    assert torch.autograd.gradcheck(uniformity_loss, (x, similarity))
    uniformity_loss(x, similarity).backward()
    assert not similarity.grad.diag().any()


def test_equal_rows_are_a_pair_with_a_finite_gradient() -> None:
    x = torch.tensor([[1.0, 0.0]] * 3, requires_grad=True)
    loss = uniformity_loss(x)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert x.grad.isfinite().all()


def test_one_row_is_no_pair() -> None:
    assert uniformity_loss(rows(1)).item() == 0


def test_rows_in_low_precision_are_compared_in_full() -> None:
    x = rows().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = uniformity_loss(x)
    assert low.dtype == torch.float32
    assert low.item() == pytest.approx(uniformity_loss(x).item(), abs=1e-6)
    assert math.isfinite(uniformity_loss(x.bfloat16()).item())


@pytest.mark.parametrize("calibrated", [False, True])
def test_a_row_with_a_number_is_as_many_rows(calibrated: bool) -> None:
    """Value and gradients, for rows and similarities."""
    x, similarity, times = rows(4), cosines(rows(4)), torch.tensor([3, 1, 2, 1])
    place = torch.arange(4).repeat_interleave(times)
    gradients = []
    for repeated in (False, True):
        own, s = x.clone().requires_grad_(), similarity.clone().requires_grad_()
        chosen, pairs, number = own, s, times
        if repeated:
            chosen, pairs, number = own[place], s[place][:, place], None
        loss = uniformity_loss(chosen, pairs if calibrated else None, times=number)
        loss.backward()
        gradients.append([loss.detach(), own.grad, *([s.grad] if calibrated else [])])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
