"""Inner products along edges, and their gradients, against dense matrices in float64."""

import pytest
import torch

from mmgraph.errors import GraphError
from mmgraph.sparse import SparseAdjacency, available_backends, edge_products, use_backend
from mmgraph.testing.kernels import adjacency_of, sample_matrices

USABLE = [name for name, fault in available_backends("cpu").items() if fault is None]


def rows(adj: SparseAdjacency) -> tuple[torch.Tensor, torch.Tensor]:
    target, source = (torch.randn(n, 3, dtype=torch.float64) for n in adj.size)
    return target.requires_grad_(), source.requires_grad_()


def on_edges(dense: torch.Tensor, adj: SparseAdjacency) -> torch.Tensor:
    source, target = adj.edge_index()
    return dense[target, source]


@pytest.mark.parametrize("name", sorted(sample_matrices()))
def test_they_are_the_entries_of_the_dense_product(name: str) -> None:
    adj = adjacency_of(sample_matrices()[name])
    target, source = rows(adj)
    upstream = torch.randn(adj.num_edges, dtype=torch.float64)
    found, expected = edge_products(adj, target, source), on_edges(target @ source.T, adj)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    got = torch.autograd.grad(found, (target, source), upstream)
    wanted = torch.autograd.grad(expected, (target, source), upstream)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", USABLE)
def test_every_backend_has_the_same_gradients(backend: str) -> None:
    adj = adjacency_of(sample_matrices()["square"])
    x, _ = rows(adj)
    with use_backend(backend):
        (got,) = torch.autograd.grad(edge_products(adj, x, x).square().sum(), x)
    (wanted,) = torch.autograd.grad(on_edges(x @ x.T, adj).square().sum(), x)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)


def test_gradients_are_made_only_for_what_needs_one() -> None:
    adj = adjacency_of(sample_matrices()["square"])
    target, source = rows(adj)
    edge_products(adj, target, source.detach()).sum().backward()
    edge_products(adj, target.detach(), source).sum().backward()
    assert torch.autograd.gradcheck(lambda x, y: edge_products(adj, x, y), (target, source))


def test_autocast_leaves_them_in_float32() -> None:
    adj = adjacency_of(sample_matrices()["square"])
    x = torch.randn(6, 3)
    exact = edge_products(adj, x, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(edge_products(adj, x, x), exact)
        rounded = edge_products(adj, x.bfloat16(), x)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=0.02, atol=0.02)


def test_a_graph_without_edges_has_no_products() -> None:
    adj = SparseAdjacency(torch.empty(2, 0, dtype=torch.long), size=(2, 3))
    target, source = rows(adj)
    found = edge_products(adj, target, source)
    assert found.shape == (0,)
    found.sum().backward()
    assert not target.grad.any()
    assert not source.grad.any()


@pytest.mark.parametrize(
    "shapes", [((5, 3), (6, 3)), ((6, 3), (5, 3)), ((6, 3), (6, 2)), ((6,), (6,))]
)
def test_rows_that_do_not_fit_are_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    adj = adjacency_of(sample_matrices()["square"])
    with pytest.raises(
        GraphError, match=r"rows of 6 targets and of 6 sources must be of one width"
    ):
        edge_products(adj, *(torch.ones(shape) for shape in shapes))


@pytest.mark.cuda
def test_a_gpu_gives_the_same() -> None:
    adj = adjacency_of(sample_matrices()["square"])
    target, source = rows(adj)
    edge_products(adj, target, source).square().sum().backward()
    on_gpu = [x.detach().cuda().requires_grad_() for x in (target, source)]
    products = edge_products(adj.cuda(), *on_gpu)
    products.square().sum().backward()
    for one, other in zip(on_gpu, (target, source), strict=True):
        torch.testing.assert_close(one.grad.cpu(), other.grad)
