"""The embedding bag keeps the contract of a backend."""

import pytest
import torch

from mmgraph.sparse.backends import embedding_bag
from mmgraph.testing.kernels import BACKEND_CHECKS, check_backend


@pytest.mark.parametrize("check", BACKEND_CHECKS, ids=lambda check: check.__name__)
def test_contract(check) -> None:
    check(embedding_bag, "cpu")


@pytest.mark.cuda
def test_contract_on_a_gpu() -> None:
    check_backend(embedding_bag, device="cuda")


def test_devices() -> None:
    assert embedding_bag.why_not("cpu") is None
    assert embedding_bag.why_not("cuda") is None
    assert embedding_bag.why_not("mps") == "there is no kernel for device type 'mps'"


def test_it_takes_no_maxima() -> None:
    # The mode "max" of torch's embedding bag takes no weights.
    assert not hasattr(embedding_bag, "maximum")


def test_long_bfloat16_rows_are_added_up_in_float32() -> None:
    # Each one rounds away in a bfloat16 sum of 256 and more.
    count = 1024
    rowptr, col = torch.tensor([0, count]), torch.arange(count)
    ones = torch.ones(count, dtype=torch.bfloat16)
    product = embedding_bag.multiply(rowptr, col, ones, ones[:, None].expand(count, 64).clone(), 1)
    assert product.dtype == torch.bfloat16
    assert product.unique().tolist() == [count]
