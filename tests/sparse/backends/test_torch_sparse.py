"""The torch-sparse backend keeps the contract where it is installed, and says why where it cannot work."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest
import torch

from mmgraph.errors import MissingDependency
from mmgraph.sparse.backends import torch_sparse
from mmgraph.testing.kernels import BACKEND_CHECKS, adjacency_of, check_backend, sample_matrices


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make torch-sparse look as if it were not installed."""
    monkeypatch.setitem(sys.modules, "torch_sparse", None)


@pytest.fixture
def built_with(monkeypatch: pytest.MonkeyPatch):
    """Make torch-sparse look installed and built for a CUDA version; -1 is a build without."""

    def pretend(cuda_version: int) -> None:
        module = ModuleType("torch_sparse")
        module.__spec__ = ModuleSpec("torch_sparse", None)
        monkeypatch.setitem(sys.modules, "torch_sparse", module)
        monkeypatch.setattr(
            torch.ops.torch_sparse, "cuda_version", lambda: cuda_version, raising=False
        )

    return pretend


@pytest.mark.sparse
@pytest.mark.parametrize("check", BACKEND_CHECKS, ids=lambda check: check.__name__)
def test_contract(check) -> None:
    check(torch_sparse.matmul, "cpu")


@pytest.mark.sparse
@pytest.mark.cuda
def test_contract_on_a_gpu() -> None:
    if torch_sparse.why_not("cuda"):
        pytest.skip(torch_sparse.why_not("cuda"))
    check_backend(torch_sparse.matmul, device="cuda")


@pytest.mark.sparse
def test_installed_it_works_on_the_cpu() -> None:
    assert torch_sparse.why_not("cpu") is None


@pytest.mark.usefixtures("absent")
def test_absence_comes_with_the_install_line() -> None:
    wanted = "torch-sparse is not installed (run `python -m mmgraph.sparse.extensions`)"
    assert torch_sparse.why_not("cpu") == wanted
    adj = adjacency_of(sample_matrices()["square"])
    with pytest.raises(MissingDependency, match=r"needs torch-sparse; run `python -m mmgraph"):
        torch_sparse.matmul(adj, torch.ones(6, 1), adj.value)


def test_a_build_without_cuda_is_refused_on_a_gpu_only(built_with) -> None:
    built_with(-1)
    assert torch_sparse.why_not("cuda") == "this torch-sparse was built without CUDA"
    assert torch_sparse.why_not("cpu") is None


def test_a_build_with_cuda_is_taken(built_with) -> None:
    built_with(12080)
    assert torch_sparse.why_not("cuda") is None
    assert torch_sparse.why_not("cpu") is None
    assert torch_sparse.why_not("mps") == "torch-sparse has no kernels for device type 'mps'"
