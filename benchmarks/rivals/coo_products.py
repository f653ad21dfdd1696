"""Sparse products by torch's COO tensors, as a backend like those in ``mmgraph/sparse/backends``."""

import torch
from torch import Tensor


def why_not(device: str) -> None:
    """Return that it works everywhere."""
    del device
    return None


def multiply(rowptr: Tensor, col: Tensor, value: Tensor, x: Tensor, num_rows: int) -> Tensor:
    """Return the product."""
    row = torch.repeat_interleave(
        torch.arange(num_rows, device=x.device), rowptr.diff(), output_size=col.numel()
    )
    size = (num_rows, x.size(0))
    matrix = torch.sparse_coo_tensor(
        torch.stack([row, col.long()]), value, size, check_invariants=False, is_coalesced=True
    )
    product: Tensor = torch.sparse.mm(matrix, x)
    return product
