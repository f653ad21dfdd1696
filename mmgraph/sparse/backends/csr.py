"""Torch's CSR product with our own backward: the transpose is made once, not on every step."""

import warnings
from typing import Any

import torch
from torch import Tensor

from mmgraph.sparse.adjacency import SparseAdjacency


def why_not(device: str) -> str | None:
    """Return why this backend cannot be used on ``device``, or None."""
    return (
        None
        if device in ("cpu", "cuda")
        else f"torch has no CSR product for device type {device!r}"
    )


def matmul(adj: SparseAdjacency, x: Tensor, value: Tensor) -> Tensor:
    """Return the product; the gradient of ``x`` is one product with the transpose, that of ``value`` a sampled one."""
    product: Tensor = _CSRMatmul.apply(adj, x, value.to(x.dtype))  # type: ignore[no-untyped-call]
    return product


class _CSRMatmul(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, adj: SparseAdjacency, x: Tensor, value: Tensor) -> Tensor:
        ctx.adj = adj
        ctx.save_for_backward(x, value)
        return _csr(adj.rowptr, adj.col, value, adj.size) @ x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor | None, Tensor | None]:
        adj: SparseAdjacency = ctx.adj
        x, value = ctx.saved_tensors
        (gradient,) = gradients
        grad_x = grad_value = None
        if ctx.needs_input_grad[1]:
            same = adj.is_symmetric and value.data_ptr() == adj.value.data_ptr()
            transposed = value if same else value[adj.t_perm]
            grad_x = _csr(adj.t_rowptr, adj.t_col, transposed, adj.size[::-1]) @ gradient
        if ctx.needs_input_grad[2]:
            # dL/dA_ts = <gradient_t, x_s>, on the stored positions only.
            pattern = _csr(adj.rowptr, adj.col, torch.zeros_like(value), adj.size)
            grad_value = torch.sparse.sampled_addmm(
                pattern, gradient.contiguous(), x.t().contiguous(), beta=0.0
            ).values()
        return None, grad_x, grad_value


def _csr(rowptr: Tensor, col: Tensor, value: Tensor, size: tuple[int, ...]) -> Tensor:
    return torch.sparse_csr_tensor(rowptr, col, value, size=size, check_invariants=False)


# Torch announces once per process that CSR is in beta; said here it would tell a user nothing.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)
    _csr(torch.tensor([0, 1]), torch.tensor([0]), torch.tensor([1.0]), (1, 1))
