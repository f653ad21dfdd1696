"""The cosine transform: the sums it stands for, and that it only rotates."""

import numpy as np
import pytest
import torch

from mmgraph.nn import cosine_transform
from mmgraph.testing import oracles


@pytest.mark.parametrize("width", [1, 2, 5, 8])
def test_it_equals_the_sums(width: int) -> None:
    x = torch.randn(4, width, dtype=torch.float64)
    expected = oracles.lirdrec_frequencies(x)
    np.testing.assert_allclose(cosine_transform(x), expected, rtol=0, atol=1e-13)


def test_inner_products_stay() -> None:
    x = torch.randn(6, 9, dtype=torch.float64)
    c = cosine_transform(x)
    torch.testing.assert_close(c @ c.T, x @ x.T, rtol=1e-12, atol=1e-13)


def test_a_linear_layer_after_it_is_one_before_it() -> None:
    x, weight = torch.randn(6, 9).double(), torch.randn(3, 9).double()
    matrix = cosine_transform(torch.eye(9).double())
    torch.testing.assert_close(cosine_transform(x) @ weight.T, x @ (matrix @ weight.T))


@pytest.mark.parametrize(("keep", "kept"), [(1.0, 10), (0.5, 5), (0.26, 3), (0.01, 1)])
def test_the_low_frequencies_are_kept(keep: float, kept: int) -> None:
    x = torch.randn(3, 10)
    low = cosine_transform(x, keep=keep)
    assert low.shape == (3, kept)
    assert low.dtype == x.dtype
    assert torch.equal(low, cosine_transform(x)[:, :kept])


def test_order_of_rows_is_only_order() -> None:
    x, order = torch.randn(6, 9), torch.tensor([3, 1, 5, 0, 2, 4])
    assert torch.equal(cosine_transform(x[order]), cosine_transform(x)[order])
