"""The linear layer on rows against torch's own on a copy of the rows."""

import pytest
import torch
import torch.nn.functional as F

from mmgraph.errors import ConfigError
from mmgraph.nn import linear_rows


@pytest.fixture(params=[3, 2**20])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make chunks of one row, and one chunk of all."""
    monkeypatch.setattr("mmgraph.nn.projection._CHUNK", request.param)


def inputs(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(7, 5, generator=generator).to(dtype)
    weight = torch.randn(3, 5, generator=generator).to(dtype).requires_grad_()
    bias = torch.randn(3, generator=generator).to(dtype).requires_grad_()
    return x, torch.tensor([6, 0, 0, 3]), weight, bias


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("with_bias", [True, False])
def test_equals_the_layer_on_a_copy_with_its_gradients(with_bias: bool) -> None:
    x, rows, weight, bias = inputs()
    given = (weight, bias) if with_bias else (weight,)
    found, expected = linear_rows(x, rows, *given), F.linear(x[rows], *given)
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)
    upstream = torch.arange(12.0).view(4, 3).double()
    for one, other in zip(
        torch.autograd.grad(found, given, upstream),
        torch.autograd.grad(expected, given, upstream),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-13)
    assert torch.autograd.gradcheck(lambda *given: linear_rows(x, rows, *given), given)


@pytest.mark.usefixtures("chunk")
def test_no_rows_and_gradients_that_are_not_contiguous() -> None:
    x, rows, weight, bias = inputs()
    none = linear_rows(x, rows[:0], weight, bias)
    assert none.shape == (0, 3)
    none.sum().backward()
    assert not weight.grad.any()
    weight.grad = None
    linear_rows(x, rows, weight, bias).sum().backward()
    torch.testing.assert_close(weight.grad, x[rows].sum(dim=0).expand(3, 5))


@pytest.mark.usefixtures("chunk")
def test_under_autocast_products_are_bfloat16_and_gradients_as_precise_as_the_weights() -> None:
    x, rows, weight, bias = inputs(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, expected = linear_rows(x, rows, weight, bias), F.linear(x[rows], weight, bias)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)
    found.float().sum().backward()
    assert (weight.grad.dtype, bias.grad.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(weight.grad, x[rows].sum(dim=0).expand(3, 5), rtol=0.02, atol=0.02)


def test_features_that_want_a_gradient_are_refused() -> None:
    x, rows, weight, _ = inputs()
    with pytest.raises(ConfigError, match="must be constant"):
        linear_rows(x.requires_grad_(), rows, weight)
