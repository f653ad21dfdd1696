"""The layer of NGCF: neighbours' rows, and their products with the row that receives."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from mmgraph.nn.conv.weighted_sum import WeightedSum
from mmgraph.sparse import SparseAdjacency

Preset = Literal["paper", "as_released"]


class NGCFConv(WeightedSum):
    r"""Transform the sum of the neighbours, and its element-wise product with the own row.

    With :math:`s_t = \sum_{s \in \mathcal{N}(t)} w_{st} x_s`:

    - ``paper``: :math:`x'_t = \mathrm{LReLU}(W_1 (s_t + x_t) + W_2 (s_t \odot x_t))`, the weights without self loops;
    - ``as_released``: :math:`x'_t = \mathrm{LReLU}(W_1 s_t + b_1) + \mathrm{LReLU}(W_2 (s_t \odot x_t) + b_2)`, self
      loops being part of the weights (``ui_norm="rw_self"``).

    Given a ``SparseAdjacency`` the sum is one sparse product; given an ``edge_index``, messages are passed PyG's way.
    Both agree.

    Source: Wang et al., 2019 (NGCF), eq. (7); the released code for the other form and for the slope 0.2.

    Args:
        in_dim: Width of the rows.
        out_dim: Width of the new rows.
        preset: One of the two forms.
        slope: Of the leaky rectifier below zero.

    Shapes:
        x (num_nodes, in_dim); returns (num_nodes, out_dim).

    Example:
        >>> import torch
        >>> conv, edges = NGCFConv(2, 3), torch.tensor([[0, 1], [1, 0]])
        >>> fused = conv(torch.eye(2), SparseAdjacency(edges, size=(2, 2)))
        >>> bool(torch.allclose(fused, conv(torch.eye(2), edges)))
        True
    """

    def __init__(
        self, in_dim: int, out_dim: int, *, preset: Preset = "paper", slope: float = 0.2
    ) -> None:
        super().__init__()
        self.preset, self.slope = preset, slope
        released = preset == "as_released"
        self.of_sum = nn.Linear(in_dim, out_dim, bias=released)
        self.of_product = nn.Linear(in_dim, out_dim, bias=released)
        for linear in (self.of_sum, self.of_product):
            nn.init.xavier_uniform_(linear.weight)
            if released:
                nn.init.xavier_uniform_(linear.bias[None])

    def forward(
        self, x: Tensor, graph: SparseAdjacency | Tensor, edge_weight: Tensor | None = None
    ) -> Tensor:
        """Return the new rows."""
        near = self.neighbour_sum(x, graph, edge_weight)
        if self.preset == "paper":
            return F.leaky_relu(self.of_sum(near + x) + self.of_product(near * x), self.slope)
        first, second = self.of_sum(near), self.of_product(near * x)
        return F.leaky_relu(first, self.slope) + F.leaky_relu(second, self.slope)
