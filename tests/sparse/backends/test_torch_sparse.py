"""The torch-sparse backend keeps the contract where the package is installed."""

import sys

import pytest
import torch

from mmgraph.sparse.backends import torch_sparse
from mmgraph.testing.kernels import BACKEND_CHECKS, check_backend


@pytest.mark.sparse
@pytest.mark.parametrize("check", BACKEND_CHECKS, ids=lambda check: check.__name__)
def test_contract(check) -> None:
    check(torch_sparse, "cpu")


@pytest.mark.sparse
@pytest.mark.cuda
def test_contract_on_a_gpu() -> None:
    if torch_sparse.why_not("cuda"):
        pytest.skip(torch_sparse.why_not("cuda"))
    check_backend(torch_sparse, device="cuda")


@pytest.mark.sparse
def test_installed_it_works_on_the_cpu() -> None:
    assert torch_sparse.why_not("cpu") is None


@pytest.mark.sparse
def test_long_bfloat16_rows_are_added_up_in_float32() -> None:
    count = 1024
    ones = torch.ones(count, 1, dtype=torch.bfloat16)
    rowptr = torch.tensor([0, count])
    product = torch_sparse.multiply(rowptr, torch.arange(count), ones[:, 0], ones, 1)
    assert product.dtype == torch.bfloat16
    assert product.item() == count


def test_absence_comes_with_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_sparse", None)
    wanted = "torch-sparse is not installed (run `python -m mmgraph.sparse.extensions`)"
    assert torch_sparse.why_not("cpu") == wanted
