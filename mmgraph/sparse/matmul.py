"""The sparse product of the toolkit, and the choice of the backend that computes it."""

import os
from collections.abc import Callable
from importlib import import_module

from torch import Tensor

from mmgraph.errors import ConfigError, GraphError, nearest
from mmgraph.sparse.adjacency import SparseAdjacency

Backend = Callable[[SparseAdjacency, Tensor, Tensor], Tensor]

# In order of preference; each module has `matmul(adj, x, value)` and `why_not(device) -> str | None`.
_BACKENDS = {
    "csr": "mmgraph.sparse.backends.csr",
    "torch_sparse": "mmgraph.sparse.backends.torch_sparse",
    "gather": "mmgraph.sparse.backends.gather",
}

BACKEND_VARIABLE = "MMGRAPH_SPARSE_BACKEND"


def matmul(
    adj: SparseAdjacency,
    x: Tensor,
    *,
    edge_weight: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Return ``A @ x``: for each target, the weighted sum of its sources' rows.

    Gradients reach ``x`` and, where it requires them, ``edge_weight``.

    Args:
        adj: The matrix.
        x: One row per source.
        edge_weight: Weights to use instead of the stored ones, in storage order (see ``SparseAdjacency.edge_index``).
        backend: Name of a backend; by default the variable MMGRAPH_SPARSE_BACKEND, else the first that works here.

    Shapes:
        x (num_sources, dim); edge_weight (num_edges,); returns (num_targets, dim).

    Raises:
        GraphError: ``x`` or ``edge_weight`` has the wrong length.
        ConfigError: the backend is unknown or cannot work on this device.

    Complexity: O(num_edges * dim) time for the product and for each gradient.

    Example:
        >>> import torch
        >>> adj = SparseAdjacency(torch.tensor([[1], [0]]), torch.tensor([2.0]), size=(2, 2))
        >>> matmul(adj, torch.tensor([[1.0], [3.0]])).tolist()
        [[6.0], [0.0]]
    """
    # The kernels read by these lengths without looking; a wrong one would read past the end.
    if x.dim() != 2 or x.size(0) != adj.size[1]:
        raise GraphError(
            f"x must have {adj.size[1]} rows, one per source (got shape {tuple(x.shape)}); check the graph"
        )
    value = adj.value if edge_weight is None else edge_weight
    if value.shape != adj.value.shape:
        raise GraphError(
            f"edge_weight must have {adj.num_edges} values, one per edge (got shape {tuple(value.shape)}); "
            "order them like adj.edge_index()"
        )
    name = choose_backend(x.device.type, backend)
    kernel: Backend = import_module(_BACKENDS[name]).matmul
    return kernel(adj, x, value)


def choose_backend(device: str, name: str | None = None) -> str:
    """Return the name of the backend to use on ``device``; ``name`` or the environment variable overrides.

    Example:
        >>> choose_backend("cpu", "gather")
        'gather'
    """
    name = name or os.environ.get(BACKEND_VARIABLE) or None
    if name is None:
        # One after the other: a package that is not needed is not imported either.
        return next(
            found
            for found, module in _BACKENDS.items()
            if import_module(module).why_not(device) is None
        )
    if name not in _BACKENDS:
        raise ConfigError(
            f"the sparse backend must be a known one (got {name!r}){nearest(name, _BACKENDS)}"
        )
    why_not = import_module(_BACKENDS[name]).why_not(device)
    if why_not:
        raise ConfigError(
            f"the sparse backend {name!r} cannot be used on {device}: {why_not}; choose another"
        )
    return name


def available_backends(device: str = "cpu") -> dict[str, str | None]:
    """Return each backend's name with the reason it cannot be used on ``device``, or None if it can."""
    return {name: import_module(module).why_not(device) for name, module in _BACKENDS.items()}
