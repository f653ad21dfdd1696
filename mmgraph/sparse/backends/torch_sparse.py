"""The product of the torch-sparse package, when it is installed and was built for the device."""

from importlib.util import find_spec

import torch
from torch import Tensor

from mmgraph.errors import MissingDependency
from mmgraph.sparse.adjacency import SparseAdjacency
from mmgraph.sparse.backends import gather

_INSTALL = "run `python -m mmgraph.sparse.extensions`"


def why_not(device: str) -> str | None:
    """Return why this backend cannot be used on ``device``, or None."""
    if find_spec("torch_sparse") is None:
        return f"torch-sparse is not installed ({_INSTALL})"
    try:
        import torch_sparse  # noqa: F401  (registers torch.ops.torch_sparse)
    except (ImportError, OSError) as error:
        # The usual reason: it was built against another torch.
        return f"torch-sparse cannot be imported ({str(error).splitlines()[0]}; {_INSTALL})"

    # A build without nvcc imports well and then fails on the first CUDA tensor.
    if device == "cuda" and torch.ops.torch_sparse.cuda_version() == -1:
        return "this torch-sparse was built without CUDA"
    return (
        None
        if device in ("cpu", "cuda")
        else f"torch-sparse has no kernels for device type {device!r}"
    )


def matmul(adj: SparseAdjacency, x: Tensor, value: Tensor) -> Tensor:
    """Return the product through ``torch_sparse.SparseTensor``."""
    try:
        from torch_sparse import SparseTensor
        from torch_sparse import matmul as torch_sparse_matmul
    except ImportError as error:
        raise MissingDependency(
            f"the backend 'torch_sparse' needs torch-sparse; {_INSTALL}"
        ) from error
    if adj.num_edges == 0 or x.numel() == 0:
        # Its kernels divide by these sizes and would end the process.
        return gather.matmul(adj, x, value)
    matrix = SparseTensor(
        rowptr=adj.rowptr.long(),
        col=adj.col.long(),
        value=value.to(x.dtype),
        sparse_sizes=adj.size,
        is_sorted=True,
        trust_data=True,
    )
    product: Tensor = torch_sparse_matmul(matrix, x)
    return product
