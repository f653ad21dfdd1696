"""The product users call: what it checks, reduces and rounds."""

import importlib
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmgraph.errors import ConfigError, GraphError
from mmgraph.sparse import SparseAdjacency, matmul
from mmgraph.sparse.calibration import Case
from mmgraph.sparse.choice import BACKEND_VARIABLE, BACKENDS, why_not
from mmgraph.testing.kernels import adjacency_of, sample_matrices

EVERYWHERE = ["embedding_bag", "csr", "edge_index", "gather"]


@pytest.fixture(autouse=True)
def no_choice_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(BACKEND_VARIABLE, raising=False)
    for case in (Case(torch.device("cpu")), Case(torch.device("cpu"), reduce="max")):
        for name in BACKENDS:
            why_not(name, case)  # now, so that no test counts the trial products


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note which backends compute."""
    names: list[str] = []

    def note(name, original, *args):
        names.append(name)
        return original(*args)

    for name in EVERYWHERE:
        module = importlib.import_module(f"mmgraph.sparse.backends.{name}")

        for kind in ("multiply", "maximum"):
            original = getattr(module, kind, None)
            if original is not None:
                monkeypatch.setattr(module, kind, partial(note, name, original))
    return names


def small() -> SparseAdjacency:
    return adjacency_of(sample_matrices()["square"])


@st.composite
def products(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw a matrix of small whole numbers, many of them zero, and rows to multiply it with."""
    rows, columns, dim = (draw(st.integers(low, 5)) for low in (0, 0, 1))
    numbers = st.sampled_from([0.0, 0.0, 0.0, 1.0, 2.0, -3.0])
    flat = draw(st.lists(numbers, min_size=rows * columns, max_size=rows * columns))
    x = torch.arange(columns * dim, dtype=torch.float64).reshape(columns, dim) - 3
    return torch.tensor(flat, dtype=torch.float64).reshape(rows, columns), x


@given(products())
def test_whole_numbers_are_multiplied_exactly(product: tuple[torch.Tensor, torch.Tensor]) -> None:
    dense, x = product
    adj = adjacency_of(dense)
    for backend in EVERYWHERE:
        assert torch.equal(matmul(adj, x, backend=backend), dense @ x), backend


def test_a_product_worked_by_hand() -> None:
    # Edges 2 -> 0 (weight 3) and 0 -> 1 (weight 2), given out of order.
    adj = SparseAdjacency(torch.tensor([[0, 2], [1, 0]]), torch.tensor([2.0, 3.0]), size=(2, 3))
    x = torch.tensor([[1.0], [10.0], [100.0]], requires_grad=True)
    product = matmul(adj, x)
    assert product.tolist() == [[300.0], [2.0]]
    product.backward(torch.tensor([[1.0], [7.0]]))
    assert x.grad.tolist() == [[14.0], [0.0], [3.0]]


@pytest.mark.parametrize("backend", EVERYWHERE)
def test_given_weights_are_in_storage_order(backend: str) -> None:
    adj = SparseAdjacency(torch.tensor([[0, 2], [1, 0]]), size=(2, 3))
    weight = torch.tensor([5.0, 6.0], requires_grad=True)  # of 2 -> 0, then 0 -> 1
    x = torch.tensor([[1.0], [10.0], [100.0]])
    product = matmul(adj, x, edge_weight=weight, backend=backend)
    assert product.tolist() == [[500.0], [6.0]]
    product.sum().backward()
    assert weight.grad.tolist() == [100.0, 1.0]


@pytest.mark.parametrize("backend", EVERYWHERE)
def test_a_doubled_module_multiplies_in_double(backend: str) -> None:
    dense = sample_matrices()["square"]
    adj = adjacency_of(dense.float()).double()
    x = torch.randn(6, 2, dtype=torch.float64)
    torch.testing.assert_close(
        matmul(adj, x, backend=backend), dense.float().double() @ x, rtol=1e-14, atol=1e-14
    )


@pytest.mark.parametrize("backend", EVERYWHERE)
@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_under_autocast_products_are_bfloat16_and_gradients_as_their_inputs(
    backend: str, reduce: str
) -> None:
    dense = sample_matrices()["square"].float()
    adj = adjacency_of(dense)
    x = torch.randn(6, 16, requires_grad=True)
    weight = adj.value.clone().requires_grad_()
    exact = matmul(adj, x, reduce=reduce, backend=backend)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        stored = matmul(adj, x, reduce=reduce, backend=backend)
        given = matmul(adj, x, reduce=reduce, edge_weight=weight, backend=backend)
    assert stored.dtype == given.dtype == torch.bfloat16
    torch.testing.assert_close(stored, given, rtol=0, atol=0)
    # Rows and weights are rounded to 2**-9 each, the result once more.
    torch.testing.assert_close(stored.float(), exact, rtol=0.02, atol=0.05)
    upstream = torch.randn_like(exact)
    (rough,) = torch.autograd.grad(stored, x, upstream.bfloat16())
    (fine,) = torch.autograd.grad(exact, x, upstream)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, fine, rtol=0.02, atol=0.05)
    given.sum().backward()
    assert weight.grad.dtype == torch.float32
    assert adj.value.dtype == torch.float32


def test_autocast_leaves_double_and_maxima_alone() -> None:
    dense = sample_matrices()["square"]
    adj = adjacency_of(dense)
    x = torch.randn(6, 2, dtype=torch.float64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(matmul(adj, x), matmul(adj, x, backend="embedding_bag"))
        assert matmul(adj, x).dtype == torch.float64
        assert matmul(adj, x.float(), reduce="max").dtype == torch.float32


def test_weights_cost_no_product_of_their_own_when_they_are_the_stored_ones(
    called: list[str],
) -> None:
    adj = small()
    matmul(adj, torch.ones(6, 1), edge_weight=adj.value)
    assert called == ["embedding_bag"]


def test_the_reductions_of_one_row() -> None:
    adj = SparseAdjacency(torch.tensor([[0, 1], [0, 0]]), torch.tensor([2.0, 3.0]), size=(2, 2))
    x = torch.tensor([[1.0], [-5.0]])
    assert matmul(adj, x).tolist() == [[-13.0], [0.0]]
    assert matmul(adj, x, reduce="mean").tolist() == [[-6.5], [0.0]]
    assert matmul(adj, x, reduce="max").tolist() == [[2.0], [0.0]]


def test_a_maximum_takes_a_backend_that_can(called: list[str]) -> None:
    matmul(small(), torch.ones(6, 1), reduce="max")
    assert called == ["csr"]


def test_a_reduction_that_is_not_known_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        matmul(small(), torch.ones(6, 1), reduce="maen")
    assert str(caught.value) == "reduce must be a known one (got 'maen'); did you mean 'mean'?"


@pytest.mark.cuda
@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
def test_a_gpu_gives_the_same(reduce: str) -> None:
    adj = adjacency_of(sample_matrices()["square"])
    x = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    expected = matmul(adj, x, reduce=reduce, backend="gather")
    on_gpu = x.detach().cuda().requires_grad_()
    product = matmul(adj.cuda(), on_gpu, reduce=reduce)
    torch.testing.assert_close(product.cpu(), expected)
    expected.square().sum().backward()
    product.square().sum().backward()
    torch.testing.assert_close(on_gpu.grad.cpu(), x.grad)


@pytest.mark.parametrize("backend", EVERYWHERE)
def test_too_few_weights_are_refused(backend: str) -> None:
    # One weight would be spread over all edges, or memory behind it read.
    with pytest.raises(GraphError, match=r"edge_weight"):
        matmul(small(), torch.ones(6, 1), edge_weight=torch.ones(1), backend=backend)


@pytest.mark.parametrize("backend", EVERYWHERE)
def test_a_wrong_number_of_rows_is_refused(backend: str) -> None:
    with pytest.raises(GraphError, match=r"x must have 6 rows"):
        matmul(small(), torch.ones(7, 1), backend=backend)
