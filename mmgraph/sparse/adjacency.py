"""One sparse matrix with everything its forward and backward products need."""

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from mmgraph.errors import GraphError

_INT32_MAX = torch.iinfo(torch.int32).max


class SparseAdjacency(nn.Module):
    """A matrix of edges in CSR form, together with its transpose.

    Row ``t``, column ``s`` holds the weight of the edge from source ``s`` to target ``t``, so ``A @ x`` sums each
    target's incoming messages. It is a module of buffers: it moves between devices and changes precision with the model
    that owns it. The buffers are not saved with the model, because a graph follows from the data and not from training.

    Indices are int32 where they fit. A matrix that equals its transpose is recognised and stored once.

    Args:
        edge_index: Sources in row 0 and targets in row 1, in any order, without duplicates.
        edge_weight: One weight per edge; ones if left out.
        size: ``(num_targets, num_sources)``.

    Shapes:
        edge_index (2, num_edges) int64; edge_weight (num_edges,) floating.

    Raises:
        GraphError: an edge lies outside of ``size``.

    Complexity: O(num_edges log num_edges) time once, O(num_edges) memory.

    Example:
        >>> adj = SparseAdjacency(torch.tensor([[0, 1], [1, 0]]), torch.tensor([1.0, 2.0]), size=(2, 2))
        >>> adj.to_dense().tolist()
        [[0.0, 2.0], [1.0, 0.0]]
    """

    rowptr: Tensor
    col: Tensor
    value: Tensor
    t_rowptr: Tensor
    t_col: Tensor
    t_perm: Tensor

    def __init__(
        self,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        *,
        size: tuple[int, int],
    ) -> None:
        super().__init__()
        self.size = size
        _check_edges(edge_index, size)
        source, target = edge_index[0], edge_index[1]
        if edge_weight is None:
            edge_weight = torch.ones(source.numel(), device=source.device)
        order = torch.argsort(target * size[1] + source)
        source, target, value = source[order], target[order], edge_weight[order]
        # Position of each CSR entry's twin in the transpose; stays an index tensor for weights set later.
        t_perm = torch.argsort(source * size[0] + target)
        index = torch.int32 if max(source.numel(), *size) <= _INT32_MAX else torch.int64
        rowptr = _row_pointer(target, size[0]).to(index)
        t_rowptr = _row_pointer(source[t_perm], size[1]).to(index)
        col, t_col = source.to(index), target[t_perm].to(index)
        self.is_symmetric = (
            size[0] == size[1]
            and torch.equal(rowptr, t_rowptr)
            and torch.equal(col, t_col)
            and torch.equal(value, value[t_perm])
        )
        if self.is_symmetric:
            t_rowptr, t_col = rowptr, col
        for name, tensor in {
            "rowptr": rowptr,
            "col": col,
            "value": value,
            "t_rowptr": t_rowptr,
            "t_col": t_col,
            "t_perm": t_perm.to(index),
        }.items():
            self.register_buffer(name, tensor, persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.is_symmetric:
            self.t_rowptr, self.t_col = self.rowptr, self.col
        return self

    @property
    def num_edges(self) -> int:
        """Number of stored entries."""
        return self.col.numel()

    def edge_index(self) -> Tensor:
        """Return the edges in storage order: by target, then source; (2, num_edges) int64."""
        counts = self.rowptr.diff().long()
        target = torch.repeat_interleave(torch.arange(self.size[0], device=self.col.device), counts)
        return torch.stack([self.col.long(), target])

    def to_dense(self) -> Tensor:
        """Return the matrix as a dense tensor of ``size``; for small graphs and tests."""
        dense = self.value.new_zeros(self.size)
        source, target = self.edge_index()
        dense[target, source] = self.value
        return dense

    def extra_repr(self) -> str:
        """Show size, edges and symmetry in ``print(model)``."""
        return f"size={self.size}, num_edges={self.num_edges}, symmetric={self.is_symmetric}"


def _check_edges(edge_index: Tensor, size: tuple[int, int]) -> None:
    if edge_index.numel() == 0:
        return
    for row, what, count in ((0, "source", size[1]), (1, "target", size[0])):
        low, high = (int(bound) for bound in edge_index[row].aminmax())
        if low < 0 or high >= count:
            raise GraphError(
                f"edge_index must hold {what}s from 0 to {count - 1} (got {low if low < 0 else high}); "
                "give the right size"
            )


def _row_pointer(sorted_rows: Tensor, num_rows: int) -> Tensor:
    counts = torch.bincount(sorted_rows, minlength=num_rows)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])
