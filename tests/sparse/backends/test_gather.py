"""Gather and scatter keep the contract of a backend, on any device."""

import pytest

from mmgraph.sparse.backends import gather
from mmgraph.testing.kernels import BACKEND_CHECKS, check_backend


@pytest.mark.parametrize("check", BACKEND_CHECKS, ids=lambda check: check.__name__)
def test_contract(check) -> None:
    check(gather.matmul, "cpu")


@pytest.mark.cuda
def test_contract_on_a_gpu() -> None:
    check_backend(gather.matmul, device="cuda")


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps", "xla"])
def test_no_device_is_refused(device: str) -> None:
    assert gather.why_not(device) is None
