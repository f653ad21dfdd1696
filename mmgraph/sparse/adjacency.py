"""One sparse matrix with everything its forward and backward products need."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mmgraph.errors import GraphError
from mmgraph.files import new_file

_INT32_MAX = torch.iinfo(torch.int32).max


class SparseAdjacency(nn.Module):
    """A matrix of edges in CSR form, together with its transpose.

    Row ``t``, column ``s`` holds the weight of the edge from source ``s`` to target ``t``, so ``A @ x`` sums each
    target's incoming messages. It is a module of buffers: it moves between devices and changes precision with the model
    that owns it. The buffers are not saved with the model, because a graph follows from the data and not from training;
    :meth:`save` writes one matrix to a file of its own.

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
        if edge_weight is None:
            edge_weight = torch.ones(edge_index.size(1), device=edge_index.device)
        index = torch.int32 if max(edge_index.size(1), *size) <= _INT32_MAX else torch.int64
        col, target, value = _in_storage_order(edge_index.to(index), edge_weight)
        rowptr = _row_pointer(target, size[0])
        # Position of each CSR entry's twin in the transpose. The entries come by target, so a stable sort by source
        # leaves them by source, then target.
        t_perm = torch.argsort(col, stable=True).to(index)
        t_rowptr, t_col = _row_pointer(col, size[1]), target[t_perm]
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
            "t_perm": t_perm,
        }.items():
            self.register_buffer(name, tensor, persistent=False)
        self._forget_derived()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.is_symmetric:
            self.t_rowptr, self.t_col = self.rowptr, self.col
        self._forget_derived()
        return self

    def __getstate__(self) -> dict[str, Any]:
        # A copy counts the changes of its values anew and could take old derived ones for current.
        return {**self.__dict__, "_derived": {}, "_derived_from": None}

    def _forget_derived(self) -> None:
        self._derived: dict[tuple[torch.dtype, bool, bool], Tensor] = {}
        self._derived_from: tuple[Tensor, int] | None = None

    @property
    def num_edges(self) -> int:
        """Number of stored entries."""
        return self.col.numel()

    def edge_index(self) -> Tensor:
        """Return the edges in storage order: by target, then source; (2, num_edges) int64."""
        return torch.stack([self.col.long(), self._by_row(torch.arange(self.size[0]))])

    def to_dense(self) -> Tensor:
        """Return the matrix as a dense tensor of ``size``; for small graphs and tests."""
        dense = self.value.new_zeros(self.size)
        source, target = self.edge_index()
        dense[target, source] = self.value
        return dense

    def weights(
        self, dtype: torch.dtype, *, mean: bool = False, transposed: bool = False
    ) -> Tensor:
        """Return the stored values the way a kernel wants them.

        What must be computed for that is computed once, and again only after ``value`` has changed.

        Args:
            dtype: Precision of the rows they will be multiplied with.
            mean: Divided by the number of entries of their row.
            transposed: In the storage order of the transpose.

        Shapes:
            returns (num_edges,); not to be written to.
        """
        transposed = transposed and (mean or not self.is_symmetric)
        if not mean and not transposed and self.value.dtype == dtype:
            return self.value
        version = 0 if self.value.is_inference() else self.value._version
        known = self._derived_from
        if known is None or known[0] is not self.value or known[1] != version:
            self._forget_derived()
            self._derived_from = (self.value, version)
        key = (dtype, mean, transposed)
        if key not in self._derived:
            # Kept for training too, which cannot use what was made in inference mode.
            with torch.inference_mode(False):
                value = self.value * self.mean_scale() if mean else self.value
                value = value.index_select(0, self.t_perm) if transposed else value
                self._derived[key] = value.to(dtype)
        return self._derived[key]

    def mean_scale(self) -> Tensor:
        """Return for every entry one over the number of entries of its row; (num_edges,), as precise as ``value``."""
        return self._by_row(self.rowptr.diff().to(self.value.dtype).reciprocal())

    def _by_row(self, of_row: Tensor) -> Tensor:
        of_row, counts = of_row.to(self.col.device), self.rowptr.diff().long()
        return torch.repeat_interleave(of_row, counts, output_size=self.num_edges)

    def save(self, path: str | Path) -> None:
        """Write the matrix to one ``.safetensors`` file, whole or not at all; the transpose is not stored.

        Raises:
            GraphError: the file cannot be written.

        Example:
            >>> import tempfile
            >>> path = Path(tempfile.mkdtemp()) / "matrix.safetensors"
            >>> SparseAdjacency(torch.tensor([[2], [0]]), torch.tensor([4.0]), size=(1, 3)).save(path)
            >>> SparseAdjacency.load(path).to_dense().tolist()
            [[0.0, 0.0, 4.0]]
        """
        tensors = {"rowptr": self.rowptr, "col": self.col, "value": self.value}
        on_cpu = {name: tensor.detach().cpu() for name, tensor in tensors.items()}
        try:
            with new_file(Path(path)) as partial:
                save_file(on_cpu, partial, metadata={"size": json.dumps(self.size)})
        except (OSError, SafetensorError) as error:
            raise GraphError(f"{path} cannot be written ({error}); choose another place") from error

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a matrix written by :meth:`save`, onto the CPU.

        Raises:
            GraphError: the file is missing, damaged, or holds no matrix.
        """
        try:
            with safe_open(path, framework="pt") as file:
                size = json.loads((file.metadata() or {})["size"])
                rowptr, col, value = (file.get_tensor(name) for name in ("rowptr", "col", "value"))
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise GraphError(
                f"{path} must be a matrix written by SparseAdjacency.save ({error}); save it again"
            ) from error
        fault = _fault_of_csr(rowptr, col, value, size)
        if fault:
            raise GraphError(f"{path} is damaged: {fault}; save the matrix again")
        target = torch.repeat_interleave(torch.arange(size[0]), rowptr.diff().long())
        return cls(torch.stack([col.long(), target]), value, size=(size[0], size[1]))

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


def _in_storage_order(edge_index: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return copies of sources, targets and weights, by target, then source."""
    source, target = edge_index[0], edge_index[1]
    rising = target[1:] > target[:-1]
    if bool((rising | ((target[1:] == target[:-1]) & (source[1:] >= source[:-1]))).all()):
        return source.clone(), target.clone(), weight.clone()
    # Two stable sorts of small integers are radix sorts, four times as fast as one of 64-bit keys.
    order = torch.argsort(source, stable=True)
    order = order[torch.argsort(target[order], stable=True)]
    return source[order], target[order], weight[order]


def _row_pointer(rows: Tensor, num_rows: int) -> Tensor:
    counts = torch.bincount(rows, minlength=num_rows)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)]).to(rows.dtype)


def _fault_of_csr(rowptr: Tensor, col: Tensor, value: Tensor, size: Any) -> str | None:
    """Return what is wrong with the parts of a matrix that were read from a file, or None."""
    if not (
        isinstance(size, list)
        and len(size) == 2
        and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in size)
    ):
        return f"size must be two whole numbers (got {size!r})"
    integers = (torch.int32, torch.int64)
    if rowptr.dtype not in integers or col.dtype not in integers or not value.is_floating_point():
        kinds = f"{rowptr.dtype}, {col.dtype}, {value.dtype}"
        return f"rowptr, col and value must be integers, integers and floats (got {kinds})"
    if rowptr.shape != (size[0] + 1,) or col.dim() != 1 or value.shape != col.shape:
        shapes = ", ".join(str(tuple(part.shape)) for part in (rowptr, col, value))
        return f"rowptr, col and value must have {size[0] + 1}, num_edges and num_edges entries (got {shapes})"
    if int(rowptr[0]) != 0 or int(rowptr[-1]) != col.numel() or bool((rowptr.diff() < 0).any()):
        return "rowptr must rise from 0 to the number of edges"
    if col.numel() and not (0 <= int(col.min()) and int(col.max()) < size[1]):
        return f"col must be from 0 to {size[1] - 1} (got {int(col.min())} to {int(col.max())})"
    return None
