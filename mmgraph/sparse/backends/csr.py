"""Torch's product of a CSR tensor: on the CPU its own kernel with reduction, on CUDA that of cuSPARSE."""

import warnings

import torch
from torch import Tensor

from mmgraph.sparse.backends.usable import why_not_device

why_not = why_not_device


def multiply(rowptr: Tensor, col: Tensor, value: Tensor, x: Tensor, num_rows: int) -> Tensor:
    """Return the product."""
    matrix = csr_tensor(rowptr, col, value, x.size(0))
    # The kernel with reduction also knows bfloat16 and takes int32 as it is, which MKL's behind `@` does not.
    product: Tensor = torch.sparse.mm(matrix, x, "sum") if x.device.type == "cpu" else matrix @ x
    return product


def maximum(rowptr: Tensor, col: Tensor, value: Tensor, x: Tensor, num_rows: int) -> Tensor:
    """Return the largest ``w * x`` of each row and column; on the CPU only."""
    largest: Tensor = torch.sparse.mm(csr_tensor(rowptr, col, value, x.size(0)), x, "amax")
    return largest


def csr_tensor(rowptr: Tensor, col: Tensor, value: Tensor, num_columns: int) -> Tensor:
    """Return torch's own sparse tensor over the same memory."""
    size = (rowptr.numel() - 1, num_columns)
    return torch.sparse_csr_tensor(rowptr, col, value, size=size, check_invariants=False)


# Torch announces once per process that CSR is in beta; said here it would tell a user nothing.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)
    csr_tensor(torch.tensor([0, 1]), torch.tensor([0]), torch.tensor([1.0]), 1)
