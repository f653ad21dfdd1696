"""Points on arcs and on curves of arcs: their ends, their length, and where an arc is not defined."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmgraph.nn import SphericalMix, normalize_rows, slerp
from mmgraph.testing import oracles


def directions(num_rows: int = 6, dim: int = 5) -> torch.Tensor:
    return normalize_rows(torch.randn(num_rows, dim, dtype=torch.float64))


def at(place: float) -> torch.Tensor:
    return torch.full((1,), place, dtype=torch.float64)


def everything(num_vectors: int, num_rows: int = 6) -> list[torch.Tensor]:
    return [torch.ones(num_rows, dtype=torch.bool)] * num_vectors


@given(place=st.floats(0, 1), angle=st.floats(0, np.pi), turn=st.floats(0, 6.28))
def test_every_point_has_unit_length(place: float, angle: float, turn: float) -> None:
    a = torch.tensor([np.cos(turn), np.sin(turn), 0.0], dtype=torch.float64)
    aside = torch.tensor([-np.sin(turn), np.cos(turn), 0.0], dtype=torch.float64)
    b = np.cos(angle) * a + np.sin(angle) * aside
    assert slerp(a, b, at(place)).norm().item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("angle", [0.0, 1e-7, 1e-3, 0.5, 1.57, 3.0, np.pi - 1e-7, np.pi])
def test_ends_are_the_given_vectors(angle: float) -> None:
    a = torch.tensor([1.0, 0.0]).double()
    b = torch.tensor([np.cos(angle), np.sin(angle)])
    torch.testing.assert_close(slerp(a, b, at(1.0)), a, rtol=0, atol=1e-12)
    torch.testing.assert_close(slerp(a, b, at(0.0)), b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("angle", [1e-9, 1e-4, 1.4e-3, 1.5e-3, 1.0, 3.1])
@pytest.mark.parametrize("place", [0.1, 0.5, 0.8])
def test_the_angle_is_divided_as_the_place_says(angle: float, place: float) -> None:
    a, b = torch.tensor([1.0, 0.0]).double(), torch.tensor([np.cos(angle), np.sin(angle)])
    x, y = slerp(a, b, at(place)).tolist()
    assert np.arctan2(y, x) == pytest.approx((1 - place) * angle, abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_where_there_is_no_arc_point_and_gradient_are_finite(dtype, sign: float) -> None:
    a = directions().to(dtype).requires_grad_()
    b = (sign * a.detach()).clone().requires_grad_()
    for place in (0.0, 0.3, 0.5, 1.0):
        point = slerp(a, b, at(place).to(dtype))
        torch.testing.assert_close(point.norm(dim=1), torch.ones(6, dtype=dtype))
        if sign > 0:
            torch.testing.assert_close(point, a)
        a.grad = b.grad = None
        point.sum().backward()
        assert a.grad.isfinite().all()
        assert b.grad.isfinite().all()


def test_zero_vectors_give_zero_and_finite_gradients() -> None:
    a, b = torch.zeros(2, 1, 3, requires_grad=True)
    x = torch.zeros(1, 3, requires_grad=True)
    assert not slerp(a, b, torch.tensor([0.5])).any()
    slerp(x, x, torch.tensor([0.5])).sum().backward()
    assert x.grad.isfinite().all()


def test_gradients_along_the_arc() -> None:
    a, b = directions().requires_grad_(), directions().requires_grad_()
    place = torch.rand(6, 1, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda a, b: slerp(a, b, place), (a, b))


@pytest.mark.parametrize("num_vectors", [1, 2, 3, 4])
def test_the_mixture_equals_the_equations(num_vectors: int) -> None:
    vectors = [torch.randn(6, 5, dtype=torch.float64) for _ in range(num_vectors)]
    found = SphericalMix(everything(num_vectors), alpha=0.5).eval()(vectors)
    expected = oracles.cm3_mix(vectors, np.full(6, 0.5))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_in_training_each_item_has_a_random_place_of_its_own(monkeypatch) -> None:
    mix = SphericalMix(everything(3), alpha=0.5)
    vectors, drawn = [torch.randn(6, 5, dtype=torch.float64) for _ in range(3)], []
    original = SphericalMix._places

    def places(self, points):
        drawn.append(original(self, points))
        return drawn[-1]

    monkeypatch.setattr(SphericalMix, "_places", places)
    torch.manual_seed(1)
    found = mix(vectors)
    place = drawn[0].flatten()
    assert len(set(place.tolist())) == 6
    expected = oracles.cm3_mix(vectors, place)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert not torch.equal(mix(vectors), found)
    torch.manual_seed(1)
    assert torch.equal(mix(vectors), found)


def test_places_follow_the_beta_distribution() -> None:
    """Its mean is 1/2 and its variance 1 / (4 (2 alpha + 1))."""
    mix = SphericalMix(everything(2, 20_000), alpha=0.25)
    place = mix._places(torch.zeros(20_000, 2, 1, dtype=torch.float64))
    assert place.shape == (20_000, 1, 1)
    assert place.mean().item() == pytest.approx(0.5, abs=0.02)
    assert place.var().item() == pytest.approx(1 / 6, abs=0.005)


def test_what_an_item_lacks_is_left_out_of_its_curve() -> None:
    vectors = [torch.randn(8, 5, dtype=torch.float64) for _ in range(3)]
    present = [torch.tensor([bool(item >> m & 1) for item in range(8)]) for m in range(3)]
    kept = [x * has[:, None] for x, has in zip(vectors, present, strict=True)]
    found = SphericalMix(present, alpha=0.5).eval()(kept)
    np.testing.assert_allclose(found, oracles.cm3_mix(kept, np.full(8, 0.5)), rtol=0, atol=1e-12)
    assert not found[0].any()
    torch.testing.assert_close(found[4], normalize_rows(vectors[2])[4])


def test_gradients_of_the_mixture() -> None:
    present = [torch.tensor([True, True, False]), torch.tensor([True, False, False])]
    present.append(torch.tensor([True, True, True]))
    mix = SphericalMix(present, alpha=0.5).eval()
    vectors = [torch.randn(3, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]

    def mixed(*vectors: torch.Tensor) -> torch.Tensor:
        return mix([x * has[:, None] for x, has in zip(vectors, present, strict=True)])

    assert torch.autograd.gradcheck(mixed, vectors)


def test_low_precision_is_mixed_in_full() -> None:
    vectors = [torch.randn(6, 5).bfloat16() for _ in range(2)]
    found = SphericalMix(everything(2), alpha=0.5).eval()(vectors)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.norm(dim=1), torch.ones(6))
