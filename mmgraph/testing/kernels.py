"""The contract of a sparse backend: what any ``matmul(adj, x, value)`` must do, whoever wrote it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from mmgraph.sparse import SparseAdjacency
from mmgraph.sparse.matmul import Backend


def check_backend(matmul: Backend, *, device: str = "cpu") -> None:
    """Raise AssertionError where a backend breaks the contract.

    Args:
        matmul: Takes the matrix, the rows of the sources and the weights in storage order; returns the
            rows of the targets.
        device: Where to test it.

    Example:
        >>> check_backend(lambda adj, x, value: adj.to_dense().to(x) @ x)
        Traceback (most recent call last):
        ...
        AssertionError: ...
    """
    for check in BACKEND_CHECKS:
        check(matmul, device)


def sample_matrices() -> dict[str, Tensor]:
    """Return small dense float64 matrices of every kind a kernel meets, by name.

    Example:
        >>> sample_matrices()["without rows"].shape
        torch.Size([0, 3])
    """
    generator = torch.Generator().manual_seed(7)

    def draw(rows: int, columns: int) -> Tensor:
        values = torch.randn(rows, columns, dtype=torch.float64, generator=generator)
        return values * (torch.rand(rows, columns, generator=generator) < 0.5)

    square = draw(6, 6)
    isolated = draw(6, 6)
    isolated[[0, 5]], isolated[:, [2, 5]] = 0.0, 0.0
    pattern = (square + square.T) != 0
    return {
        "wide": draw(4, 7),
        "tall": draw(7, 4),
        "square": square,
        "symmetric": square + square.T,
        "symmetric pattern only": pattern * torch.rand(6, 6, generator=generator).double(),
        "isolated nodes": isolated,
        "full": torch.rand(3, 3, dtype=torch.float64, generator=generator) + 1,
        "one entry": torch.tensor([[2.5]], dtype=torch.float64),
        "no edges": torch.zeros(4, 4, dtype=torch.float64),
        "no edges, not square": torch.zeros(2, 5, dtype=torch.float64),
        "without rows": torch.zeros(0, 3, dtype=torch.float64),
        "without columns": torch.zeros(3, 0, dtype=torch.float64),
    }


def adjacency_of(dense: Tensor, *, seed: int = 0) -> SparseAdjacency:
    """Return the nonzero entries of a matrix as a ``SparseAdjacency``, made from edges in a random order.

    Example:
        >>> adjacency_of(torch.tensor([[0.0, 2.0]])).edge_index().tolist()
        [[1], [0]]
    """
    target, source = dense.nonzero(as_tuple=True)
    order = torch.randperm(target.numel(), generator=torch.Generator().manual_seed(seed))
    edge_index = torch.stack([source, target])[:, order.to(dense.device)]
    weight = dense[edge_index[1], edge_index[0]]
    return SparseAdjacency(edge_index, weight, size=(dense.size(0), dense.size(1)))


def check_values(matmul: Backend, device: str = "cpu") -> None:
    """The product equals the dense one, whatever the shape, and for any width of the rows."""
    for name, dense in _on(device).items():
        adj = adjacency_of(dense)
        for dim in (1, 3, 16):
            x = _random(dense.size(1), dim).to(device)
            _close(matmul(adj, x, adj.value), dense @ x, f"{name}, dim {dim}")


def check_given_weights(matmul: Backend, device: str = "cpu") -> None:
    """Weights given with the call replace the stored ones, also where the stored matrix is symmetric."""
    for name, dense in _on(device).items():
        adj = adjacency_of(dense)
        x, value = _random(dense.size(1), 3).to(device), _random(adj.num_edges).to(device)
        _close(matmul(adj, x, value), _scatter(adj, value) @ x, name)


def check_gradients(matmul: Backend, device: str = "cpu") -> None:
    """The gradients of rows and weights equal finite differences and those of the dense product."""
    for name, dense in _on(device).items():
        adj = adjacency_of(dense)
        x = _random(dense.size(1), 2).to(device).requires_grad_()
        given = _random(adj.num_edges).to(device).requires_grad_()
        upstream = _random(dense.size(0), 2, seed=3).to(device)
        expected = torch.autograd.grad(_scatter(adj, given) @ x, (x, given), upstream)
        actual = torch.autograd.grad(matmul(adj, x, given), (x, given), upstream)
        for part, got, wanted in zip(("rows", "weights"), actual, expected, strict=True):
            _close(got, wanted, f"{name}, gradient of the {part}")
        (of_rows,) = torch.autograd.grad(matmul(adj, x, adj.value), (x,), upstream)
        _close(of_rows, dense.T @ upstream, f"{name}, stored weights")
        if dense.numel():
            _gradcheck(lambda x, value, adj=adj: matmul(adj, x, value), (x, given), name)
            _gradcheck(lambda x, adj=adj: matmul(adj, x, adj.value), (x,), name)


def check_partial_gradients(matmul: Backend, device: str = "cpu") -> None:
    """A gradient is made where one is needed and nowhere else."""
    dense = _on(device)["square"]
    adj = adjacency_of(dense)
    x, value = _random(dense.size(1), 2).to(device), _random(adj.num_edges).to(device)
    _true(not matmul(adj, x, value).requires_grad, "nothing needs a gradient, the product does")
    for first, second in ((True, False), (False, True)):
        left = x.clone().requires_grad_(first)
        right = value.clone().requires_grad_(second)
        matmul(adj, left, right).square().sum().backward()
        _true((left.grad is not None) == first, "the gradient of the rows is wrong or needless")
        _true(
            (right.grad is not None) == second, "the gradient of the weights is wrong or needless"
        )


def check_strides(matmul: Backend, device: str = "cpu") -> None:
    """Rows and incoming gradients need not be contiguous."""
    for name in ("wide", "symmetric"):
        dense = _on(device)[name]
        adj = adjacency_of(dense)
        transposed = _random(3, dense.size(1)).to(device).T.requires_grad_()
        value = _random(adj.num_edges).to(device).requires_grad_()
        product = matmul(adj, transposed, value)
        _close(product, _scatter(adj, value) @ transposed, f"{name}, transposed rows")
        constant = torch.ones(1, 1, dtype=torch.float64, device=device).expand(dense.size(1), 2)
        _close(matmul(adj, constant, adj.value), dense @ constant, f"{name}, expanded rows")
        # The gradient of a sum is one number seen as a matrix, that of a transpose runs down the columns.
        inputs, expected = (transposed, value), _scatter(adj, value) @ transposed
        numbers = _random(3, dense.size(0)).to(device)
        for upstream in (torch.ones_like(numbers[:1, :1]).expand_as(expected), numbers.T):
            wanted = torch.autograd.grad(expected, inputs, upstream, retain_graph=True)
            got = torch.autograd.grad(product, inputs, upstream, retain_graph=True)
            for one, other in zip(got, wanted, strict=True):
                _close(one, other, f"{name}, gradient that is not contiguous")


def check_precision(matmul: Backend, device: str = "cpu") -> None:
    """The product has the precision of the rows, whatever that of the weights; gradients that of their inputs."""
    dense = _on(device)["square"]
    for rows in (torch.float32, torch.float64):
        for weights in (torch.float32, torch.float64):
            adj = adjacency_of(dense).to(weights)
            x = _random(dense.size(1), 3).to(device, rows).requires_grad_()
            value = adj.value.clone().requires_grad_()
            product = matmul(adj, x, value)
            _true(product.dtype == rows, f"rows {rows} gave {product.dtype}")
            torch.testing.assert_close(product.double(), dense @ x.double(), rtol=1e-5, atol=1e-5)
            product.sum().backward()
            for tensor in (x, value):
                gradient = tensor.grad
                _true(gradient is not None and gradient.dtype == tensor.dtype, "gradient's dtype")


def check_inputs_kept(matmul: Backend, device: str = "cpu") -> None:
    """Neither product nor gradient changes rows, weights or matrix."""
    adj = adjacency_of(_on(device)["square"])
    x, value = _random(6, 2).to(device), _random(adj.num_edges).to(device)
    tensors = [x, value, *adj.buffers()]
    before = [tensor.clone() for tensor in tensors]
    matmul(adj, x.requires_grad_(), value.requires_grad_()).sum().backward()
    for tensor, old in zip(tensors, before, strict=True):
        _true(torch.equal(tensor, old), "an input was changed")


def check_threads(matmul: Backend, device: str = "cpu") -> None:
    """One thread and two give the same bytes, forward and backward; of a GPU nothing is asked."""
    if device != "cpu":
        return
    generator = torch.Generator().manual_seed(1)
    keys = torch.randint(0, 2000 * 1500, (40_000,), generator=generator).unique()
    edge_index = torch.stack([keys % 1500, keys // 1500])
    value = torch.rand(keys.numel(), generator=generator).requires_grad_()
    adj = SparseAdjacency(edge_index, size=(2000, 1500))
    x = torch.randn(1500, 16, generator=generator).requires_grad_()
    results = []
    for count in (1, 2):
        with _threads(count):
            product = matmul(adj, x, value)
            results.append([product, *torch.autograd.grad(product.square().sum(), (x, value))])
    for part, one, two in zip(("product", "rows", "weights"), *results, strict=True):
        _true(torch.equal(one, two), f"{part}: two threads give other bytes than one")


BACKEND_CHECKS: tuple[Callable[[Backend, str], None], ...] = (
    check_values,
    check_given_weights,
    check_gradients,
    check_partial_gradients,
    check_strides,
    check_precision,
    check_inputs_kept,
    check_threads,
)
"""The parts of the contract, so that a test can name the one that broke."""


def _on(device: str) -> dict[str, Tensor]:
    return {name: dense.to(device) for name, dense in sample_matrices().items()}


def _random(*shape: int, seed: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def _scatter(adj: SparseAdjacency, value: Tensor) -> Tensor:
    source, target = adj.edge_index()
    return value.new_zeros(adj.size).index_put((target, source), value)


def _close(actual: Tensor, expected: Tensor, case: str) -> None:
    torch.testing.assert_close(
        actual, expected, rtol=1e-12, atol=1e-12, msg=lambda text: f"{case}: {text}"
    )


def _gradcheck(function: Callable[..., Tensor], inputs: tuple[Tensor, ...], case: str) -> None:
    # Atomic additions on a GPU may differ in the last bits from run to run.
    # On matrices this small a second thread costs far more than it does.
    with _threads(1):
        agrees = torch.autograd.gradcheck(function, inputs, nondet_tol=1e-10, raise_exception=False)
    _true(agrees, f"{case}: gradients differ from finite differences")


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _true(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)
