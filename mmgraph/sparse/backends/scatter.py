"""The segment reduction of the torch-scatter package over gathered rows, when it is installed."""

import torch
from torch import Tensor

from mmgraph.sparse.backends.usable import why_not_package
from mmgraph.sparse.backends.wide_index import as_int64


def why_not(device: str) -> str | None:
    """Return why this backend cannot be used on ``device``, or None."""
    return why_not_package("torch_scatter", device)


def multiply(rowptr: Tensor, col: Tensor, value: Tensor, x: Tensor, num_rows: int) -> Tensor:
    """Return the product; O(num_edges * dim) memory."""
    if col.numel() == 0 or x.numel() == 0:
        return x.new_zeros(num_rows, x.size(1))
    messages = x.index_select(0, col) * value[:, None]
    product: Tensor = torch.ops.torch_scatter.segment_sum_csr(messages, as_int64(rowptr), None)
    return product


def maximum(rowptr: Tensor, col: Tensor, value: Tensor, x: Tensor, num_rows: int) -> Tensor:
    """Return the largest ``w * x`` of each row and column; O(num_edges * dim) memory."""
    if col.numel() == 0 or x.numel() == 0:
        return x.new_zeros(num_rows, x.size(1))
    messages = x.index_select(0, col) * value[:, None]
    return torch.ops.torch_scatter.segment_max_csr(messages, as_int64(rowptr), None)[0]  # type: ignore[no-any-return]
