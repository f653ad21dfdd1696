"""Torch's CSR product keeps the contract of a backend."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from mmgraph.sparse.backends import csr
from mmgraph.testing.kernels import BACKEND_CHECKS, check_backend


@pytest.mark.parametrize("check", BACKEND_CHECKS, ids=lambda check: check.__name__)
def test_contract(check) -> None:
    check(csr, "cpu")


@pytest.mark.cuda
def test_contract_on_a_gpu() -> None:
    kernel = SimpleNamespace(multiply=csr.multiply)  # cuSPARSE takes no maxima
    check_backend(kernel, device="cuda")


def test_devices() -> None:
    assert csr.why_not("cpu") is None
    assert csr.why_not("cuda") is None
    assert csr.why_not("mps") == "there is no kernel for device type 'mps'"


def test_the_csr_tensor_shares_memory() -> None:
    value = torch.tensor([2.0, 3.0])
    matrix = csr.csr_tensor(torch.tensor([0, 1, 2]), torch.tensor([1, 0]), value, 3)
    assert matrix.to_dense().tolist() == [[0.0, 2.0, 0.0], [3.0, 0.0, 0.0]]
    assert matrix.values().data_ptr() == value.data_ptr()


@pytest.mark.parametrize("backend", ["csr", "edge_index"])
def test_the_user_hears_nothing_of_betas(backend: str) -> None:
    program = (
        "import warnings, torch\n"
        "import mmgraph.sparse as s\n"
        "import torch_geometric\n"
        "warnings.simplefilter('error')\n"
        "a = s.SparseAdjacency(torch.tensor([[0], [0]]), size=(1, 1))\n"
        "x = torch.ones(1, 1, requires_grad=True)\n"
        "w = torch.ones(1, requires_grad=True)\n"
        f"s.matmul(a, x, edge_weight=w, backend='{backend}').backward()\n"
    )
    ignored = ["-W", "ignore"]  # what torch_geometric says while it is imported
    done = subprocess.run([sys.executable, *ignored, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
