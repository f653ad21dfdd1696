"""The product of ``torch_geometric.EdgeIndex``; on the CPU the same kernel as ``csr``, behind PyG's interface."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from mmgraph.sparse.backends import gather
from mmgraph.sparse.backends.usable import why_not_device

# PyG checks and converts edges when an EdgeIndex is made, which costs more than a product; so one is kept for each
# matrix as long as its `col` is alive.
_KNOWN: Any = WeakTensorKeyDictionary()

why_not = why_not_device


def multiply(rowptr: Tensor, col: Tensor, value: Tensor, x: Tensor, num_rows: int) -> Tensor:
    """Return the product."""
    return _matmul(rowptr, col, value, x, "sum")


def maximum(rowptr: Tensor, col: Tensor, value: Tensor, x: Tensor, num_rows: int) -> Tensor:
    """Return the largest ``w * x`` of each row and column."""
    if x.device.type != "cpu" or col.numel() == 0:
        # PyG has no kernel of its own for these.
        return gather.maximum(rowptr, col, value, x, num_rows)
    return _matmul(rowptr, col, value, x, "max")


def _matmul(rowptr: Tensor, col: Tensor, value: Tensor, x: Tensor, reduce: str) -> Tensor:
    # Said aloud, or torch warns that nobody decided whether to check the indices.
    with torch.sparse.check_sparse_tensor_invariants(False):
        result: Tensor = _edge_index(rowptr, col, x.size(0)).matmul(x, value, reduce=reduce)
    return result


def _edge_index(rowptr: Tensor, col: Tensor, num_columns: int) -> Any:
    from torch_geometric import EdgeIndex

    found = _KNOWN.get(col)
    if found is None or found[0] != (rowptr.data_ptr(), rowptr.numel(), num_columns):
        counts = rowptr.diff().long()
        rows = torch.arange(counts.numel(), dtype=col.dtype, device=col.device)
        row = torch.repeat_interleave(rows, counts, output_size=col.numel())
        size = (counts.numel(), num_columns)
        made = EdgeIndex(torch.stack([row, col]), sparse_size=size, sort_order="row")
        made.fill_cache_(no_transpose=True)
        found = _KNOWN[col] = ((rowptr.data_ptr(), rowptr.numel(), num_columns), made)
    return found[1]
