"""Gather and scatter keep the contract of a backend, on any device."""

import pytest
import torch

from mmgraph.sparse import pieces
from mmgraph.sparse.backends import gather
from mmgraph.testing.kernels import BACKEND_CHECKS, check_backend


@pytest.mark.parametrize("check", BACKEND_CHECKS, ids=lambda check: check.__name__)
def test_contract(check) -> None:
    check(gather, "cpu")


@pytest.mark.cuda
def test_contract_on_a_gpu() -> None:
    check_backend(gather, device="cuda")


@pytest.mark.parametrize("check", BACKEND_CHECKS[:5], ids=lambda check: check.__name__)
def test_contract_in_pieces_of_a_few_edges(check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "ELEMENTS", 6)
    check(gather, "cpu")


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps", "xla"])
def test_no_device_is_refused(device: str) -> None:
    assert gather.why_not(device) is None


def test_bfloat16_rows_are_added_up_in_float32() -> None:
    count = 1024
    ones = torch.ones(count, 1, dtype=torch.bfloat16)
    rowptr = torch.tensor([0, count])
    assert gather.multiply(rowptr, torch.arange(count), ones[:, 0], ones, 1).item() == count
