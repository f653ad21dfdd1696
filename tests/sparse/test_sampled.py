"""Inner products on the stored positions, by torch's kernel and piece by piece."""

import pytest
import torch

from mmgraph.sparse import pieces
from mmgraph.sparse.sampled import sampled_product
from mmgraph.testing.kernels import adjacency_of, sample_matrices


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dim", [0, 1, 5, 16])
@pytest.mark.parametrize("name", sample_matrices())
def test_it_is_the_dense_product_on_the_stored_positions(
    name: str, dim: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "ELEMENTS", 8)
    dense = sample_matrices()[name]
    adj = adjacency_of(dense)
    left = torch.randn(dense.size(0), dim).to(dtype)
    right = torch.randn(dense.size(1), dim).to(dtype)
    source, target = adj.edge_index()
    expected = (left.double() @ right.double().T)[target, source]
    for index in (torch.int32, torch.int64):
        got = sampled_product(adj.rowptr.to(index), adj.col.to(index), left, right)
        assert got.dtype == dtype
        error = 8 * torch.finfo(dtype).eps
        torch.testing.assert_close(got.double(), expected, rtol=error, atol=error)


def test_bfloat16_is_added_up_in_float32() -> None:
    ones = torch.ones(1, 1024, dtype=torch.bfloat16)
    rowptr, col = torch.tensor([0, 1]), torch.tensor([0])
    assert sampled_product(rowptr, col, ones, ones).item() == 1024


def test_bfloat16_products_are_not_rounded_one_by_one() -> None:
    a = 1 + 2**-7
    left = torch.tensor([[a, 1 + 2**-6]], dtype=torch.bfloat16)
    right = torch.tensor([[a, -1.0]], dtype=torch.bfloat16)
    assert sampled_product(torch.tensor([0, 1]), torch.tensor([0]), left, right).item() == 2**-14
