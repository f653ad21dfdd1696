"""The product, its gradients, and the choice of the backend."""

import importlib
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmgraph.errors import ConfigError, GraphError
from mmgraph.sparse import SparseAdjacency, available_backends, choose_backend, matmul
from mmgraph.sparse.matmul import BACKEND_VARIABLE
from mmgraph.testing.kernels import adjacency_of, sample_matrices

EVERYWHERE = ["csr", "gather"]


@pytest.fixture(autouse=True)
def no_choice_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(BACKEND_VARIABLE, raising=False)


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note which backends compute."""
    names: list[str] = []
    for name in EVERYWHERE:
        module = importlib.import_module(f"mmgraph.sparse.backends.{name}")

        def kernel(adj, x, value, name=name, original=module.matmul):
            names.append(name)
            return original(adj, x, value)

        monkeypatch.setattr(module, "matmul", kernel)
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


def test_the_first_backend_that_works_is_chosen(
    monkeypatch: pytest.MonkeyPatch, called: list[str]
) -> None:
    assert choose_backend("cpu") == "csr"
    matmul(small(), torch.ones(6, 1))
    assert called == ["csr"]
    for name in ("csr", "torch_sparse"):
        module = importlib.import_module(f"mmgraph.sparse.backends.{name}")
        monkeypatch.setattr(module, "why_not", lambda device: "not today")
    matmul(small(), torch.ones(6, 1))
    assert called == ["csr", "gather"]


def test_other_devices_fall_back_to_plain_operations() -> None:
    assert choose_backend("mps") == "gather"


def test_the_variable_chooses(monkeypatch: pytest.MonkeyPatch, called: list[str]) -> None:
    monkeypatch.setenv("MMGRAPH_SPARSE_BACKEND", "gather")
    matmul(small(), torch.ones(6, 1))
    assert called == ["gather"]


def test_the_argument_overrides_the_variable(
    monkeypatch: pytest.MonkeyPatch, called: list[str]
) -> None:
    monkeypatch.setenv("MMGRAPH_SPARSE_BACKEND", "gather")
    matmul(small(), torch.ones(6, 1), backend="csr")
    assert called == ["csr"]


@pytest.mark.parametrize("from_variable", [True, False])
def test_an_unknown_backend_is_named_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, from_variable: bool
) -> None:
    if from_variable:
        monkeypatch.setenv("MMGRAPH_SPARSE_BACKEND", "gahter")
    with pytest.raises(ConfigError) as caught:
        matmul(small(), torch.ones(6, 1), backend=None if from_variable else "gahter")
    assert str(caught.value) == (
        "the sparse backend must be a known one (got 'gahter'); did you mean 'gather'?"
    )


def test_an_unknown_backend_like_no_other_lists_the_known() -> None:
    with pytest.raises(ConfigError, match=r"\(got 'x'\); known: csr, gather, torch_sparse$"):
        choose_backend("cpu", "x")


def test_a_backend_that_cannot_work_says_why() -> None:
    with pytest.raises(ConfigError) as caught:
        choose_backend("mps", "csr")
    assert str(caught.value) == (
        "the sparse backend 'csr' cannot be used on mps: torch has no CSR product for device type "
        "'mps'; choose another"
    )


def test_all_backends_are_listed_with_reasons() -> None:
    on_cpu, on_mps = available_backends(), available_backends("mps")
    assert list(on_cpu) == ["csr", "torch_sparse", "gather"]
    assert on_cpu["csr"] is None
    assert on_cpu["gather"] is None
    assert on_mps["gather"] is None
    assert "mps" in on_mps["csr"]


@pytest.mark.parametrize("backend", EVERYWHERE)
def test_too_few_weights_are_refused(backend: str) -> None:
    # One weight would be spread over all edges, or memory behind it read.
    with pytest.raises(GraphError, match=r"edge_weight"):
        matmul(small(), torch.ones(6, 1), edge_weight=torch.ones(1), backend=backend)


@pytest.mark.parametrize("backend", EVERYWHERE)
def test_a_wrong_number_of_rows_is_refused(backend: str) -> None:
    with pytest.raises(GraphError, match=r"x must have 6 rows"):
        matmul(small(), torch.ones(7, 1), backend=backend)


def test_a_broken_package_that_is_not_needed_harms_nobody(tmp_path, monkeypatch):
    (tmp_path / "torch_sparse.py").write_text("raise OSError('undefined symbol: _ZN3c10')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch_sparse", raising=False)
    assert choose_backend("cpu") == "csr"
    assert "cannot be imported (undefined symbol" in available_backends("cpu")["torch_sparse"]
