"""Which precision products get, with autocast and without."""

import pytest
import torch

from mmgraph.sparse.autocast import exactly, product_dtype


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_without_autocast_rows_keep_their_precision(dtype: torch.dtype) -> None:
    assert product_dtype(torch.ones(1, dtype=dtype)) == dtype


def test_autocast_rounds_single_precision_and_leaves_double_alone() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert product_dtype(torch.ones(1)) == torch.bfloat16
        assert product_dtype(torch.ones(1, dtype=torch.float64)) == torch.float64
    assert product_dtype(torch.ones(1)) == torch.float32


def test_inside_nothing_is_rounded_and_afterwards_it_is_again() -> None:
    one = torch.ones(1, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with exactly(one):
            assert (one @ one).dtype == torch.float32
        assert (one @ one).dtype == torch.bfloat16
