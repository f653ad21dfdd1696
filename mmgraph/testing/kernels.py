"""The contract of a sparse backend: what its ``multiply`` and ``maximum`` must do, whoever wrote it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from mmgraph.sparse import SparseAdjacency
from mmgraph.sparse.product import Backend, Reduce, product


def check_backend(backend: Backend, *, device: str = "cpu") -> None:
    """Raise AssertionError where a backend breaks the contract.

    Args:
        backend: A module or object with ``multiply``, and ``maximum`` if it takes maxima; see
            ``mmgraph.sparse.product.Backend``.
        device: Where to test it.

    Example:
        >>> from types import SimpleNamespace
        >>> check_backend(SimpleNamespace(multiply=lambda rowptr, col, value, x, num_rows: x[:num_rows]))
        Traceback (most recent call last):
        ...
        AssertionError: ...
    """
    for check in BACKEND_CHECKS:
        check(backend, device)


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


def check_values(backend: Backend, device: str = "cpu") -> None:
    """The product equals the dense one, whatever the shape, for any width of the rows and either type of index."""
    for name, dense in _on(device).items():
        adj = adjacency_of(dense)
        for dim in (0, 1, 3, 16):
            x = _random(dense.size(1), dim).to(device)
            _close(product(backend, adj, x), dense @ x, f"{name}, dim {dim}")
            csr = (adj.rowptr.long(), adj.col.long(), adj.value)
            _close(backend.multiply(*csr, x, dense.size(0)), dense @ x, f"{name}, int64")


def check_given_weights(backend: Backend, device: str = "cpu") -> None:
    """Weights given with the call replace the stored ones, also where the stored matrix is symmetric."""
    for name, dense in _on(device).items():
        adj = adjacency_of(dense)
        x, value = _random(dense.size(1), 3).to(device), _random(adj.num_edges).to(device)
        _close(product(backend, adj, x, edge_weight=value), _scatter(adj, value) @ x, name)


def check_means(backend: Backend, device: str = "cpu") -> None:
    """The mean is the sum over the number of entries of the row, its gradients those of the dense mean."""
    for name, dense in _on(device).items():
        adj = adjacency_of(dense)
        x = _random(dense.size(1), 3).to(device).requires_grad_()
        given = _random(adj.num_edges).to(device).requires_grad_()
        counts = (dense != 0).sum(dim=1, keepdim=True).clamp(min=1)
        upstream = _random(dense.size(0), 3, seed=3).to(device)
        for weight, matrix in ((None, dense), (given, _scatter(adj, given))):
            inputs = (x,) if weight is None else (x, given)
            mean = product(backend, adj, x, reduce="mean", edge_weight=weight)
            expected = matrix / counts @ x
            _close(mean, expected, name)
            wanted = torch.autograd.grad(expected, inputs, upstream)
            for one, other in zip(torch.autograd.grad(mean, inputs, upstream), wanted, strict=True):
                _close(one, other, f"{name}, gradient of the mean")


def check_maxima(backend: Backend, device: str = "cpu") -> None:
    """Maxima and their gradients equal those found one by one; of equal ones the first in storage order wins."""
    if not hasattr(backend, "maximum"):
        return
    for name, dense in _on(device).items():
        for what, matrix, x in (
            ("distinct", dense, _random(dense.size(1), 3).to(device)),
            ("equal", dense.sign(), torch.ones(dense.size(1), 3).double().to(device)),
        ):
            adj = adjacency_of(matrix)
            x.requires_grad_()
            given = adj.value.clone().requires_grad_()
            largest = product(backend, adj, x, reduce="max", edge_weight=given)
            upstream = _random(dense.size(0), 3, seed=3).to(device)
            actual = (largest, *torch.autograd.grad(largest, (x, given), upstream))
            expected = _maxima_one_by_one(adj, x.detach(), upstream)
            for part, got, wanted in zip(
                ("maxima", "rows", "weights"), actual, expected, strict=True
            ):
                _close(got, wanted, f"{name}, {what}, {part}")


def check_gradients(backend: Backend, device: str = "cpu") -> None:
    """The gradients of rows and weights equal finite differences and those of the dense product."""
    for name, dense in _on(device).items():
        adj = adjacency_of(dense)
        x = _random(dense.size(1), 2).to(device).requires_grad_()
        given = _random(adj.num_edges).to(device).requires_grad_()
        upstream = _random(dense.size(0), 2, seed=3).to(device)
        expected = torch.autograd.grad(_scatter(adj, given) @ x, (x, given), upstream)
        result = product(backend, adj, x, edge_weight=given)
        actual = torch.autograd.grad(result, (x, given), upstream)
        for part, got, wanted in zip(("rows", "weights"), actual, expected, strict=True):
            _close(got, wanted, f"{name}, gradient of the {part}")
        (of_rows,) = torch.autograd.grad(product(backend, adj, x), (x,), upstream)
        _close(of_rows, dense.T @ upstream, f"{name}, stored weights")
        if dense.numel():
            _gradcheck(
                lambda x, w, adj=adj: product(backend, adj, x, edge_weight=w), (x, given), name
            )
            _gradcheck(lambda x, adj=adj: product(backend, adj, x), (x,), name)


def check_strides(backend: Backend, device: str = "cpu") -> None:
    """Rows and incoming gradients need not be contiguous."""
    for name in ("wide", "symmetric"):
        dense = _on(device)[name]
        adj = adjacency_of(dense)
        transposed = _random(3, dense.size(1)).to(device).T.requires_grad_()
        value = _random(adj.num_edges).to(device).requires_grad_()
        result = product(backend, adj, transposed, edge_weight=value)
        _close(result, _scatter(adj, value) @ transposed, f"{name}, transposed rows")
        constant = torch.ones(1, 1, dtype=torch.float64, device=device).expand(dense.size(1), 2)
        _close(product(backend, adj, constant), dense @ constant, f"{name}, expanded rows")
        # The gradient of a sum is one number seen as a matrix, that of a transpose runs down the columns.
        inputs, expected = (transposed, value), _scatter(adj, value) @ transposed
        numbers = _random(3, dense.size(0)).to(device)
        for upstream in (torch.ones_like(numbers[:1, :1]).expand_as(expected), numbers.T):
            wanted = torch.autograd.grad(expected, inputs, upstream, retain_graph=True)
            got = torch.autograd.grad(result, inputs, upstream, retain_graph=True)
            for one, other in zip(got, wanted, strict=True):
                _close(one, other, f"{name}, gradient that is not contiguous")


def check_precision(backend: Backend, device: str = "cpu") -> None:
    """The product has the precision of the rows, whatever that of the weights; gradients that of their inputs."""
    dense = _on(device)["square"]
    for rows in (torch.bfloat16, torch.float32, torch.float64):
        error = max(16 * torch.finfo(rows).eps, 1e-5)  # of sums of up to six numbers
        for weights in (torch.float32, torch.float64):
            adj = adjacency_of(dense).to(weights)
            x = _random(dense.size(1), 3).to(device, rows).requires_grad_()
            value = adj.value.clone().requires_grad_()
            result = product(backend, adj, x, edge_weight=value)
            _true(result.dtype == rows, f"rows {rows} gave {result.dtype}")
            upstream = torch.ones_like(result)
            got = (result, *torch.autograd.grad(result, (x, value), upstream))
            _true(got[1].dtype == rows and got[2].dtype == weights, "gradient's dtype")
            target, source = adj.edge_index()[1], adj.edge_index()[0]
            ones = upstream.double()
            wanted = (
                dense @ x.double(),
                dense.T @ ones,
                (x.double()[source] * ones[target]).sum(1),
            )
            for one, other in zip(got, wanted, strict=True):
                torch.testing.assert_close(one.double(), other, rtol=error, atol=error)


def check_inputs_kept(backend: Backend, device: str = "cpu") -> None:
    """Neither product nor gradient changes rows, weights or matrix."""
    adj = adjacency_of(_on(device)["square"])
    x, value = _random(6, 2).to(device), _random(adj.num_edges).to(device)
    tensors = [x, value, *adj.buffers()]
    before = [tensor.clone() for tensor in tensors]
    result = product(backend, adj, x.requires_grad_(), edge_weight=value.requires_grad_())
    result.sum().backward()
    for tensor, old in zip(tensors, before, strict=True):
        _true(torch.equal(tensor, old), "an input was changed")


def check_threads(backend: Backend, device: str = "cpu") -> None:
    """One thread and two give the same bytes, forward and backward; of a GPU nothing is asked."""
    if device != "cpu":
        return
    generator = torch.Generator().manual_seed(1)
    keys = torch.randint(0, 2000 * 1500, (40_000,), generator=generator).unique()
    edge_index = torch.stack([keys % 1500, keys // 1500])
    value = torch.rand(keys.numel(), generator=generator).requires_grad_()
    adj = SparseAdjacency(edge_index, size=(2000, 1500))
    x = torch.randn(1500, 16, generator=generator).requires_grad_()
    reductions: tuple[Reduce, ...] = ("sum", "max") if hasattr(backend, "maximum") else ("sum",)
    for reduce in reductions:
        results = []
        for count in (1, 2):
            with _threads(count):
                result = product(backend, adj, x, reduce=reduce, edge_weight=value)
                gradients = torch.autograd.grad(result.square().sum(), (x, value))
                results.append([result, *gradients])
        for part, one, two in zip(("product", "rows", "weights"), *results, strict=True):
            _true(torch.equal(one, two), f"{part}: two threads give other bytes than one")


def check_fresh_memory(backend: Backend, device: str = "cpu") -> None:
    """No result depends on what new memory holds: it is full of NaN here."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=device != "cpu")
    try:
        for check in (check_values, check_means, check_maxima):
            check(backend, device)
    finally:
        torch.use_deterministic_algorithms(before)


BACKEND_CHECKS: tuple[Callable[[Backend, str], None], ...] = (
    check_values,
    check_given_weights,
    check_means,
    check_maxima,
    check_gradients,
    check_strides,
    check_precision,
    check_inputs_kept,
    check_threads,
    check_fresh_memory,
)
"""The parts of the contract, so that a test can name the one that broke."""


def _maxima_one_by_one(adj: SparseAdjacency, x: Tensor, upstream: Tensor) -> tuple[Tensor, ...]:
    """Return the maxima and the gradients of rows and weights, each looked for by hand."""
    largest = torch.zeros_like(upstream)
    of_x, of_value = torch.zeros_like(x), torch.zeros_like(adj.value)
    ends = adj.edge_index().T.tolist()
    for row in range(adj.size[0]):
        edges = [edge for edge, (_, target) in enumerate(ends) if target == row]
        for column in range(x.size(1)) if edges else ():
            products = [float(adj.value[edge] * x[ends[edge][0], column]) for edge in edges]
            edge = edges[products.index(max(products))]
            source = ends[edge][0]
            largest[row, column] = max(products)
            of_x[source, column] += upstream[row, column] * adj.value[edge]
            of_value[edge] += upstream[row, column] * x[source, column]
    return largest, of_x, of_value


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
