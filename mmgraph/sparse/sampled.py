"""Inner products of rows on the stored positions of a matrix: the gradient of its weights."""

import torch
from torch import Tensor

from mmgraph.sparse.backends.csr import csr_tensor
from mmgraph.sparse.pieces import pieces


def sampled_product(rowptr: Tensor, col: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Return ``<left_t, right_s>`` for every stored entry in row t and column s.

    Torch's sampled product is some eight times as fast as gathering both ends; where it has no kernel, both ends are
    gathered piece by piece, and summed in float32 at least.

    Shapes:
        left (num_rows, dim), right (num_columns, dim), both contiguous; returns (num_edges,).

    Complexity: O(num_edges * dim) time, O(num_edges) memory.

    Example:
        >>> rowptr, col = torch.tensor([0, 2]), torch.tensor([0, 1])
        >>> sampled_product(rowptr, col, torch.tensor([[2.0]]), torch.tensor([[3.0], [5.0]])).tolist()
        [6.0, 10.0]
    """
    if col.numel() == 0 or left.size(1) == 0:
        return left.new_zeros(col.numel())
    if left.dtype in (torch.float32, torch.float64) and left.device.type in ("cpu", "cuda"):
        # Zeros: beta=0 multiplies the values of the pattern, and leaves what is not a number.
        pattern = csr_tensor(rowptr, col, left.new_zeros(col.numel()), right.size(0))
        # The transposed view of `right`: torch's kernel reads it row by row again.
        products: Tensor = torch.sparse.sampled_addmm(pattern, left, right.t(), beta=0.0)
        return products.values()
    result = left.new_empty(col.numel())
    for piece in pieces(rowptr, col.numel(), dim=left.size(1)):
        ends = right.index_select(0, col[piece.edges]).float()
        ends *= left[piece.rows].index_select(0, piece.row)
        result[piece.edges] = ends.sum(dim=1)
    return result
