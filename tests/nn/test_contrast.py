"""The contrastive criterion against its dense form, its gradient, golden values, and what it never holds."""

import itertools
import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmgraph.nn import info_nce, pairwise_info_nce
from mmgraph.testing import oracles

OPTIONS = [
    dict(zip(("unit", "intra", "reduction"), values, strict=True))
    for values in itertools.product((True, False), (True, False), ("mean", "sum"))
]


@pytest.fixture(params=[5, 2**20])
def block(request, monkeypatch):
    """Make blocks of one row, and one block of all."""
    monkeypatch.setattr("mmgraph.nn.contrast._BLOCK_CPU", request.param)


def vectors(rows, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 3, generator=generator, dtype=torch.float64).requires_grad_()


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("present", [None, [True, False, True, True, True]])
def test_pairs_equal_the_dense_form_with_the_right_gradient(options, present):
    one, other = vectors(5), vectors(5, seed=4)
    mask = None if present is None else torch.tensor(present)
    given = {"temperature": 0.7, **options}
    found = info_nce(one, other, present=mask, **given)
    expected = oracles.info_nce(one.detach(), other.detach(), present=present, **given)
    assert found.item() == pytest.approx(expected, rel=1e-12)
    assert torch.autograd.gradcheck(
        lambda a, b: info_nce(a, b, present=mask, **given), (one, other)
    )


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("present", [None, [True, False, True, True, True, True, False]])
def test_positives_anywhere_among_the_candidates(present):
    anchors, candidates = vectors(4), vectors(7, seed=4)
    positive, given = torch.tensor([6, 2, 2, 0]), {"temperature": 0.3, "reduction": "sum"}
    mask = None if present is None else torch.tensor(present)
    found = info_nce(anchors, candidates, positive, present=mask, **given)
    tables = (anchors.detach(), candidates.detach(), positive.tolist())
    expected = oracles.info_nce(*tables, present=present, **given)
    assert found.item() == pytest.approx(expected, rel=1e-12)
    assert torch.autograd.gradcheck(
        lambda a, c: info_nce(a, c, positive, present=mask, **given), (anchors, candidates)
    )


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_tables_are_contrasted_two_by_two(reduction):
    tables, rows = [vectors(4, seed) for seed in (1, 2, 3)], torch.tensor([3, 0, 3])
    present = torch.tensor([[True] * 4, [True, True, False, True], [True, True, True, False]])
    expected = sum(
        oracles.info_nce(
            tables[a].detach()[rows],
            tables[b].detach(),
            rows.tolist(),
            temperature=0.3,
            present=(present[a] & present[b]).tolist(),
            reduction=reduction,
        )
        for a, b in ((0, 1), (0, 2), (1, 2))
    )
    found = pairwise_info_nce(tables, rows, present=present, temperature=0.3, reduction=reduction)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_golden_values_of_orthonormal_rows():
    x, tau = torch.eye(6, dtype=torch.float64), 0.2
    found = info_nce(x, x, temperature=tau).item()
    assert found == pytest.approx(math.log(1 + 5 * math.exp(-1 / tau)), rel=1e-12)
    found = info_nce(x, x, temperature=tau, intra=True).item()
    assert found == pytest.approx(math.log(1 + 10 * math.exp(-1 / tau)), rel=1e-12)


def test_a_single_pair_is_certain():
    for intra in (False, True):
        found = info_nce(vectors(1), vectors(1, seed=4), temperature=0.2, intra=intra)
        assert found.item() == pytest.approx(0, abs=1e-13)


def test_cosines_do_not_see_the_length_of_rows_and_inner_products_do():
    one, other, scale = vectors(5), vectors(5, seed=4), torch.rand(5, 1).double() + 0.1
    for unit in (True, False):
        plain = info_nce(one, other, temperature=0.5, unit=unit)
        scaled = info_nce(scale * one, other, temperature=0.5, unit=unit)
        assert torch.isclose(plain, scaled, rtol=1e-12) == unit


@pytest.mark.parametrize("intra", [False, True])
def test_what_is_not_there_is_never_looked_at(intra):
    one, other = vectors(4), vectors(4, seed=4)
    present = torch.tensor([True, True, False, True])
    changed = [x.detach().clone().requires_grad_() for x in (one, other)]
    with torch.no_grad():
        for x in changed:
            x[2] = 100.0
    found = [
        info_nce(*pair, temperature=0.5, present=present, intra=intra)
        for pair in ((one, other), changed)
    ]
    assert torch.equal(*found)
    found[1].backward()
    assert not any(x.grad[2].any() for x in changed)
    nothing = info_nce(*changed, temperature=0.5, present=~present.logical_or(~present))
    assert nothing.item() == 0
    for x in changed:
        x.grad = None
    nothing.backward()
    assert not any(x.grad.any() for x in changed)


class Largest(TorchDispatchMode):
    """Remembers the size of the largest tensor that anything returned."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for x in result if isinstance(result, tuple | list) else [result]:
            if isinstance(x, torch.Tensor):
                self.numel = max(self.numel, x.numel())
        return result


def test_the_matrix_of_similarities_is_never_held(monkeypatch):
    monkeypatch.setattr("mmgraph.nn.contrast._BLOCK_CPU", 1000)
    one, other = (torch.randn(300, 3, requires_grad=True) for _ in range(2))
    with Largest() as largest:
        info_nce(one, other, temperature=0.5, intra=True).backward()
    assert (
        largest.numel <= 2 * 300 * 3
    )  # a block of one row is shorter than the candidates are in all


def test_it_is_as_precise_under_autocast():
    one, other = (torch.randn(6, 4, requires_grad=True) for _ in range(2))
    plain = info_nce(one, other, temperature=0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = info_nce(one, other, temperature=0.1)
        half = info_nce(one.bfloat16(), other.bfloat16(), temperature=0.1)
    assert low.dtype == half.dtype == torch.float32
    assert torch.equal(low, plain)
    assert half.item() == pytest.approx(plain.item(), rel=0.05)
    half.backward()
    assert one.grad.dtype == torch.float32


def test_without_a_gradient_the_value_is_the_same():
    one, other = vectors(5), vectors(5, seed=4)
    wanted = info_nce(one, other, temperature=0.5)
    with torch.no_grad():
        assert torch.equal(info_nce(one, other, temperature=0.5), wanted)
    assert torch.equal(info_nce(one.detach(), other, temperature=0.5), wanted)


@pytest.mark.cuda
def test_a_gpu_gives_the_same():
    one, other = vectors(50), vectors(50, seed=4)
    gpu = [x.detach().cuda().requires_grad_() for x in (one, other)]
    options = {"temperature": 0.3, "intra": True}
    expected, found = info_nce(one, other, **options), info_nce(*gpu, **options)
    torch.testing.assert_close(found.cpu(), expected)
    expected.backward()
    found.backward()
    torch.testing.assert_close(gpu[1].grad.cpu(), other.grad)
