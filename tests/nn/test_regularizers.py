"""Three penalties, three conventions: each on numbers worked by hand and against its equation."""

import math

import pytest
import torch

from mmgraph.nn import l2_penalty
from mmgraph.testing import oracles

ORACLES = {
    "half_sq": oracles.half_squared_penalty,
    "norm": oracles.norm_penalty,
    "mean_sq": oracles.mean_squared_penalty,
}


@pytest.mark.parametrize(
    ("kind", "expected"),
    # Three 4x2 blocks of ones: 24 / (2 * 4); 3 * sqrt(8) / 4; 3 * 1.
    [("half_sq", 3.0), ("norm", 3 * math.sqrt(8) / 4), ("mean_sq", 3.0)],
)
def test_blocks_of_ones(kind: str, expected: float) -> None:
    blocks = [torch.ones(4, 2, dtype=torch.float64)] * 3
    assert l2_penalty(blocks, kind=kind).item() == pytest.approx(expected, abs=1e-12)


def test_the_norm_of_blocks_of_ones_as_published() -> None:
    assert round(l2_penalty([torch.ones(4, 2)] * 3, kind="norm").item(), 4) == 2.1213


@pytest.mark.parametrize(
    ("kind", "expected"),
    # [[3], [4]] and [[0], [2]]: (25 + 4) / 4; (5 + 2) / 2; 12.5 + 2.
    [("half_sq", 7.25), ("norm", 3.5), ("mean_sq", 14.5)],
)
def test_the_three_differ(kind: str, expected: float) -> None:
    blocks = [torch.tensor([[3.0], [4.0]]), torch.tensor([[0.0], [2.0]])]
    assert l2_penalty(blocks, kind=kind).item() == pytest.approx(expected)


@pytest.mark.parametrize("kind", list(ORACLES))
def test_equals_the_equation_and_has_its_gradient(kind: str) -> None:
    blocks = [torch.randn(5, 3, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    value = l2_penalty(blocks, kind=kind)
    expected = ORACLES[kind]([block.detach() for block in blocks])
    assert value.shape == ()
    assert value.item() == pytest.approx(expected, rel=1e-12)
    assert torch.autograd.gradcheck(lambda *rows: l2_penalty(rows, kind=kind), blocks)


@pytest.mark.parametrize("kind", list(ORACLES))
def test_zero_rows_have_a_finite_gradient(kind: str) -> None:
    block = torch.zeros(2, 3, requires_grad=True)
    l2_penalty([block], kind=kind).backward()
    assert block.grad.tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize(("kind", "power"), [("half_sq", 2), ("norm", 1), ("mean_sq", 2)])
def test_how_it_grows(kind: str, power: int) -> None:
    block = torch.randn(4, 3, dtype=torch.float64)
    one, three = (l2_penalty([c * block], kind=kind).item() for c in (1.0, 3.0))
    assert three == pytest.approx(3**power * one)
