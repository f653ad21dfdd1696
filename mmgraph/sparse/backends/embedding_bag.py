"""Torch's embedding bag: a row of the matrix is a bag of weighted rows.

On the CPU this is FBGEMM's kernel, made for embedding tables: it computes ahead which rows it will read and fetches
them early, has code of its own for every width, and adds up bfloat16 rows in float32.
"""

from torch import Tensor
from torch.nn import functional as F

from mmgraph.sparse.backends.usable import why_not_device

why_not = why_not_device


def multiply(rowptr: Tensor, col: Tensor, value: Tensor, x: Tensor, num_rows: int) -> Tensor:
    """Return the product; ``col`` and ``rowptr`` are the bags, ``value`` the weights inside them."""
    return F.embedding_bag(
        col, x, rowptr, mode="sum", per_sample_weights=value, include_last_offset=True
    )
