"""One product and its gradients over any backend: nothing is computed or kept that is not needed."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from mmgraph.sparse.backends import gather
from mmgraph.sparse.choice import backend_of
from mmgraph.sparse.product import product
from mmgraph.testing.kernels import adjacency_of, sample_matrices


class Counting:
    """The oracle backend, noting the matrices it was asked to multiply."""

    def __init__(self) -> None:
        self.calls: list[Tensor] = []

    def multiply(self, rowptr, col, value, x, num_rows):
        self.calls.append(value)
        return gather.multiply(rowptr, col, value, x, num_rows)

    def maximum(self, rowptr, col, value, x, num_rows):
        return gather.maximum(rowptr, col, value, x, num_rows)


def saved_by(backend, adj, x, **options) -> list[Tensor]:
    """Return what the product keeps for its gradient."""
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        product(backend, adj, x, **options)
    return kept


@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
@pytest.mark.parametrize("needs_x", [True, False])
@pytest.mark.parametrize("needs_weight", [True, False])
def test_a_gradient_is_made_where_one_is_needed(
    reduce: str, needs_x: bool, needs_weight: bool
) -> None:
    adj = adjacency_of(sample_matrices()["square"])
    x = torch.randn(6, 2, dtype=torch.float64, requires_grad=needs_x)
    weight = torch.randn(adj.num_edges, dtype=torch.float64, requires_grad=needs_weight)
    backend = Counting()
    result = product(backend, adj, x, reduce=reduce, edge_weight=weight)
    assert result.requires_grad == (needs_x or needs_weight)
    if result.requires_grad:
        result.square().sum().backward()
    assert (x.grad is not None) == needs_x
    assert (weight.grad is not None) == needs_weight
    if reduce != "max":
        assert len(backend.calls) == 1 + needs_x


def test_only_what_the_gradient_needs_is_kept() -> None:
    adj = adjacency_of(sample_matrices()["square"])
    x = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    weight = adj.value.clone().requires_grad_()
    (stored,) = saved_by(gather, adj, x)
    assert stored.data_ptr() == adj.value.data_ptr()  # no copy of rows or weights
    assert [kept.shape for kept in saved_by(gather, adj, x, edge_weight=weight)] == [
        x.shape,
        weight.shape,
    ]
    (only,) = saved_by(gather, adj, x.detach(), edge_weight=weight)
    assert only.shape == x.shape
    assert saved_by(gather, adj, x.detach()) == []


def test_stored_values_are_transposed_once() -> None:
    adj = adjacency_of(sample_matrices()["square"])
    x = torch.ones(6, 2, dtype=torch.float64, requires_grad=True)
    backend = Counting()
    for _ in range(2):
        product(backend, adj, x).sum().backward()
    forward, backward, again, once_more = (value.data_ptr() for value in backend.calls)
    assert forward == again == adj.value.data_ptr()
    assert backward == once_more != forward


def test_a_symmetric_matrix_is_its_own_transpose() -> None:
    adj = adjacency_of(sample_matrices()["symmetric"])
    x = torch.ones(6, 2, dtype=torch.float64, requires_grad=True)
    backend = Counting()
    product(backend, adj, x).sum().backward()
    assert [value.data_ptr() for value in backend.calls] == [adj.value.data_ptr()] * 2
    torch.testing.assert_close(x.grad, adj.to_dense().T @ torch.ones(6, 2, dtype=torch.float64))


def test_asymmetric_weights_on_a_symmetric_matrix_are_transposed() -> None:
    adj = adjacency_of(torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64))
    assert adj.is_symmetric
    x = torch.zeros(2, 1, dtype=torch.float64, requires_grad=True)
    weight = adj.value * torch.tensor([2.0, 5.0])
    product(gather, adj, x, edge_weight=weight).backward(torch.tensor([[1.0], [10.0]]))
    # A = [[0, 2], [5, 0]], so A^T [1, 10] = [50, 2].
    assert x.grad.tolist() == [[50.0], [2.0]]


@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_weights_changed_between_product_and_gradient_are_noticed(reduce: str) -> None:
    adj = adjacency_of(sample_matrices()["square"])
    x = torch.ones(6, 2, dtype=torch.float64, requires_grad=True)
    result = product(gather, adj, x, reduce=reduce)
    adj.value.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        result.sum().backward()


@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_weights_changed_between_two_products_are_used(reduce: str) -> None:
    adj = adjacency_of(sample_matrices()["square"])
    x = torch.ones(6, 2, dtype=torch.float64, requires_grad=True)
    first = product(gather, adj, x, reduce=reduce)
    first.sum().backward()
    old, x.grad = x.grad, None
    adj.value.mul_(2)
    second = product(gather, adj, x, reduce=reduce)
    second.sum().backward()
    torch.testing.assert_close(second, 2 * first)
    torch.testing.assert_close(x.grad, 2 * old)


@pytest.mark.parametrize("backend", ["gather", "edge_index", "torch_sparse"])
@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
def test_what_inference_has_prepared_serves_training(reduce: str, backend: str) -> None:
    kernel = backend_of(backend)
    if kernel.why_not("cpu"):
        pytest.skip(kernel.why_not("cpu"))
    adj = adjacency_of(sample_matrices()["square"])
    x = torch.randn(6, 2)
    with torch.inference_mode():
        first = product(kernel, adj, x, reduce=reduce)
    x.requires_grad_()
    again = product(kernel, adj, x, reduce=reduce)
    again.sum().backward()
    assert torch.equal(first, again)
    assert x.grad.shape == x.shape


def test_stored_weights_that_learn_get_their_gradient() -> None:
    adj = adjacency_of(sample_matrices()["square"])
    adj.value.requires_grad_()
    x = torch.randn(6, 2, dtype=torch.float64)
    product(gather, adj, x).sum().backward()
    source = adj.edge_index()[0]
    torch.testing.assert_close(adj.value.grad, x.sum(dim=1)[source])


def test_gradients_of_gradients_are_refused() -> None:
    adj = adjacency_of(sample_matrices()["square"])
    x = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(product(gather, adj, x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_the_kernel_sees_plain_tensors() -> None:
    seen = []

    def multiply(rowptr, col, value, x, num_rows):
        seen.append((value.requires_grad, x.requires_grad, x.is_contiguous()))
        return gather.multiply(rowptr, col, value, x, num_rows)

    adj = adjacency_of(sample_matrices()["square"])
    x = torch.randn(2, 6, dtype=torch.float64).T.requires_grad_()
    weight = adj.value.clone().requires_grad_()
    result = product(SimpleNamespace(multiply=multiply), adj, x, edge_weight=weight)
    result.sum().backward()
    assert seen == [(False, False, True)] * 2


def test_autocast_does_not_reach_into_the_kernel() -> None:
    def multiply(rowptr, col, value, x, num_rows):
        dense = value.new_zeros(num_rows, x.size(0))
        row = torch.arange(num_rows).repeat_interleave(rowptr.diff())
        return dense.index_put((row, col.long()), value) @ x  # which autocast would round

    dense = SimpleNamespace(multiply=multiply)
    adj = adjacency_of(sample_matrices()["square"].float())
    x = torch.randn(6, 2, requires_grad=True)
    outside = product(dense, adj, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = product(dense, adj, x)
        (one,) = torch.autograd.grad(inside, x, torch.ones_like(inside))
    (other,) = torch.autograd.grad(outside, x, torch.ones_like(outside))
    assert torch.equal(inside, outside)
    assert torch.equal(one, other)


def test_maxima_worked_by_hand() -> None:
    # Row 0: -1 * 2 and -3 * 1, row 1: nothing.
    adj = adjacency_of(torch.tensor([[-1.0, -3.0], [0.0, 0.0]]))
    x = torch.tensor([[2.0], [1.0]], requires_grad=True)
    result = product(gather, adj, x, reduce="max")
    assert result.tolist() == [[-2.0], [0.0]]
    result.sum().backward()
    assert x.grad.tolist() == [[-1.0], [0.0]]
