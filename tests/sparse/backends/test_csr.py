"""Torch's CSR product with our backward keeps the contract of a backend."""

import subprocess
import sys

import pytest
import torch

from mmgraph.sparse.backends import csr
from mmgraph.testing.kernels import BACKEND_CHECKS, adjacency_of, check_backend, sample_matrices


@pytest.mark.parametrize("check", BACKEND_CHECKS, ids=lambda check: check.__name__)
def test_contract(check) -> None:
    check(csr.matmul, "cpu")


@pytest.mark.cuda
def test_contract_on_a_gpu() -> None:
    check_backend(csr.matmul, device="cuda")


def test_devices() -> None:
    assert csr.why_not("cpu") is None
    assert csr.why_not("cuda") is None
    assert csr.why_not("mps") == "torch has no CSR product for device type 'mps'"


def test_symmetric_backward_needs_no_permutation(monkeypatch: pytest.MonkeyPatch) -> None:
    adj = adjacency_of(sample_matrices()["symmetric"])
    x = torch.ones(6, 2, dtype=torch.float64, requires_grad=True)
    adj.t_perm = adj.t_perm[:0]  # a gather through it would now fail or give no values
    csr.matmul(adj, x, adj.value).sum().backward()
    torch.testing.assert_close(x.grad, adj.to_dense().T @ torch.ones(6, 2, dtype=torch.float64))


def test_asymmetric_weights_on_a_symmetric_matrix_are_transposed() -> None:
    adj = adjacency_of(torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64))
    assert adj.is_symmetric
    x = torch.zeros(2, 1, dtype=torch.float64, requires_grad=True)
    csr.matmul(adj, x, adj.value * torch.tensor([2.0, 5.0])).backward(torch.tensor([[1.0], [10.0]]))
    # A = [[0, 2], [5, 0]], so A^T [1, 10] = [50, 2].
    assert x.grad.tolist() == [[50.0], [2.0]]


def test_weights_changed_between_product_and_gradient_are_noticed() -> None:
    adj = adjacency_of(sample_matrices()["symmetric"])
    x = torch.ones(6, 2, dtype=torch.float64, requires_grad=True)
    product = csr.matmul(adj, x, adj.value)
    adj.value.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()


def test_the_user_hears_nothing_of_betas() -> None:
    program = (
        "import warnings, torch\n"
        "import mmgraph.sparse as s\n"
        "warnings.simplefilter('error')\n"
        "a = s.SparseAdjacency(torch.tensor([[0], [0]]), size=(1, 1))\n"
        "x = torch.ones(1, 1, requires_grad=True)\n"
        "s.matmul(a, x, edge_weight=torch.ones(1, requires_grad=True), backend='csr').backward()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
