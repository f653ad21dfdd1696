"""PyG's EdgeIndex keeps the contract of a backend, and is made once per matrix."""

import gc
import weakref

import pytest
import torch
import torch_geometric

from mmgraph.sparse.backends import edge_index
from mmgraph.sparse.product import product
from mmgraph.testing.kernels import BACKEND_CHECKS, adjacency_of, check_backend, sample_matrices


@pytest.mark.parametrize("check", BACKEND_CHECKS, ids=lambda check: check.__name__)
def test_contract(check) -> None:
    check(edge_index, "cpu")


@pytest.mark.cuda
def test_contract_on_a_gpu() -> None:
    check_backend(edge_index, device="cuda")


def test_devices() -> None:
    assert edge_index.why_not("cpu") is None
    assert edge_index.why_not("cuda") is None
    assert edge_index.why_not("mps") == "there is no kernel for device type 'mps'"


def test_it_is_made_once_and_goes_with_the_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    original = torch_geometric.EdgeIndex

    def watched(*args, **kwargs):
        index = original(*args, **kwargs)
        made.append(weakref.ref(index))
        return index

    monkeypatch.setattr(torch_geometric, "EdgeIndex", watched)
    adj = adjacency_of(sample_matrices()["square"])
    x = torch.ones(6, 2, dtype=torch.float64, requires_grad=True)
    for _ in range(3):
        product(edge_index, adj, x).sum().backward()
    gc.collect()
    assert [index() is not None for index in made] == [True, True]  # the matrix and its transpose
    del adj
    gc.collect()
    assert [index() for index in made] == [None, None]
