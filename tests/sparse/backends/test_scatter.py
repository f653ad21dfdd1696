"""The torch-scatter backend keeps the contract where the package is installed."""

import sys

import pytest

from mmgraph.sparse.backends import scatter
from mmgraph.testing.kernels import BACKEND_CHECKS, check_backend


@pytest.mark.sparse
@pytest.mark.parametrize("check", BACKEND_CHECKS, ids=lambda check: check.__name__)
def test_contract(check) -> None:
    check(scatter, "cpu")


@pytest.mark.sparse
@pytest.mark.cuda
def test_contract_on_a_gpu() -> None:
    if scatter.why_not("cuda"):
        pytest.skip(scatter.why_not("cuda"))
    check_backend(scatter, device="cuda")


@pytest.mark.sparse
def test_installed_it_works_on_the_cpu() -> None:
    assert scatter.why_not("cpu") is None


def test_absence_comes_with_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_scatter", None)
    wanted = "torch-scatter is not installed (run `python -m mmgraph.sparse.extensions`)"
    assert scatter.why_not("cpu") == wanted
