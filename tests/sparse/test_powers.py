"""The sum of the layers against dense powers, and against the product layer by layer."""

import pytest
import torch

from mmgraph.errors import GraphError
from mmgraph.sparse import SparseAdjacency, available_backends, matmul, sum_of_powers
from mmgraph.testing.kernels import adjacency_of, sample_matrices

SQUARE = {name: x for name, x in sample_matrices().items() if x.size(0) == x.size(1)}
USABLE = [name for name, fault in available_backends().items() if fault is None]


def rows(size: int, dim: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(size, dim, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("backend", USABLE)
@pytest.mark.parametrize("name", SQUARE)
@pytest.mark.parametrize("num_layers", [0, 1, 3])
def test_equals_the_dense_sum_with_its_gradient(name: str, num_layers: int, backend: str) -> None:
    dense = SQUARE[name]
    x = rows(dense.size(0)).requires_grad_()
    powers = [torch.linalg.matrix_power(dense, k) for k in range(num_layers + 1)]
    expected = 0.3 * torch.stack(powers).sum(dim=0) @ x
    found = sum_of_powers(adjacency_of(dense), x, num_layers=num_layers, scale=0.3, backend=backend)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    upstream = rows(dense.size(0)).flip(0)
    for one, other in zip(
        torch.autograd.grad(found, x, upstream),
        torch.autograd.grad(expected, x, upstream),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_gradient_by_finite_differences_of_a_matrix_that_is_not_symmetric() -> None:
    adj, x = adjacency_of(SQUARE["square"]), rows(6).requires_grad_()
    assert not adj.is_symmetric
    assert torch.autograd.gradcheck(lambda x: sum_of_powers(adj, x, num_layers=2, scale=0.5), (x,))


def test_neither_rows_nor_gradients_are_changed() -> None:
    adj, x = adjacency_of(SQUARE["symmetric"]), rows(6).requires_grad_()
    before, upstream = x.detach().clone(), rows(6)
    kept = upstream.clone()
    for num_layers in (0, 2):
        sum_of_powers(adj, x, num_layers=num_layers, scale=0.5).backward(upstream)
    assert torch.equal(x, before)
    assert torch.equal(upstream, kept)


def test_under_autocast_products_are_rounded_and_the_sum_is_not() -> None:
    adj = adjacency_of(SQUARE["square"]).float()
    x = rows(6).float().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = sum_of_powers(adj, x, num_layers=1)
        product = matmul(adj, x)
    assert (found.dtype, product.dtype) == (torch.float32, torch.bfloat16)
    assert torch.equal(found, product.float() + x)
    found.sum().backward()
    assert x.grad.dtype == torch.float32


def test_rows_that_are_not_contiguous() -> None:
    adj = adjacency_of(SQUARE["square"])
    x = rows(3, 6).T
    found = sum_of_powers(adj, x, num_layers=2)
    torch.testing.assert_close(found, sum_of_powers(adj, x.contiguous(), num_layers=2))


@pytest.mark.parametrize(("size", "count"), [((2, 3), 3), ((2, 2), 3)])
def test_wrong_sizes_are_refused(size: tuple[int, int], count: int) -> None:
    adj = SparseAdjacency(torch.tensor([[0], [1]]), size=size)
    with pytest.raises(GraphError, match="square matrix and one row of x per node"):
        sum_of_powers(adj, torch.ones(count, 1), num_layers=1)


def test_weights_that_learn_are_refused() -> None:
    adj = SparseAdjacency(torch.tensor([[0], [1]]), size=(2, 2))
    adj.value.requires_grad_()
    with pytest.raises(GraphError, match="weights are constant"):
        sum_of_powers(adj, torch.ones(2, 1), num_layers=1)
