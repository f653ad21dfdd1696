"""The product of the torch-sparse package, when it is installed and was built for the device."""

import torch
from torch import Tensor

from mmgraph.sparse.backends.usable import why_not_package
from mmgraph.sparse.backends.wide_index import as_int64


def why_not(device: str) -> str | None:
    """Return why this backend cannot be used on ``device``, or None."""
    return why_not_package("torch_sparse", device)


def multiply(rowptr: Tensor, col: Tensor, value: Tensor, x: Tensor, num_rows: int) -> Tensor:
    """Return the product."""
    if col.numel() == 0 or x.numel() == 0:
        # Its kernels divide by these sizes and would end the process.
        return x.new_zeros(num_rows, x.size(1))
    # Its kernel adds up in the precision of the rows, and a sum kept in bfloat16 soon stops growing.
    precise = torch.promote_types(x.dtype, torch.float32)
    product: Tensor = torch.ops.torch_sparse.spmm_sum(
        None, as_int64(rowptr), as_int64(col), value.to(precise), None, None, x.to(precise)
    )
    return product.to(x.dtype)


def maximum(rowptr: Tensor, col: Tensor, value: Tensor, x: Tensor, num_rows: int) -> Tensor:
    """Return the largest ``w * x`` of each row and column."""
    if col.numel() == 0 or x.numel() == 0:
        return x.new_zeros(num_rows, x.size(1))
    largest: Tensor = torch.ops.torch_sparse.spmm_max(as_int64(rowptr), as_int64(col), value, x)[0]
    return largest
