"""The layer of MMGCN: neighbours' rows through a weight matrix, joined with the own row and a shared id row."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mmgraph.nn.conv.weighted_sum import WeightedSum
from mmgraph.nn.encoders import affine
from mmgraph.sparse import SparseAdjacency

Joined = Literal["add", "concat"]


class MMGCNConv(WeightedSum):
    r"""Aggregate the neighbours, and combine them with what the node is by itself.

    .. math::
        h_t = \mathrm{LReLU}\Big(W_1 \sum_{s \in \mathcal{N}(t)} w_{st}\, x_s\Big), \quad
        \hat x_t = \mathrm{LReLU}(W_3 x_t + b_3) + e_t

    - ``add``: :math:`x'_t = \mathrm{LReLU}(W_2 h_t + b_2 + \hat x_t)`;
    - ``concat``: :math:`x'_t = \mathrm{LReLU}(W_2 [h_t, \hat x_t] + b_2)`.

    :math:`e` are id rows, the same at every depth and for all modalities. The mean over the neighbours is in the
    weights (``ui_norm="rw"``). Given a ``SparseAdjacency`` the sum is one sparse product; given an ``edge_index``,
    messages are passed PyG's way. Both agree.

    Source: Wei et al., 2019 (MMGCN), aggregation and combination layers; biases and slope of the released code.

    Args:
        in_dim: Width of the rows, which the aggregation keeps.
        out_dim: Width of the id rows and of the new rows.
        combine: One of the two forms.
        slope: Of the leaky rectifier below zero.

    Shapes:
        x (num_nodes, in_dim), ids (num_nodes, out_dim); returns (num_nodes, out_dim).

    Example:
        >>> conv, edges = MMGCNConv(2, 3), torch.tensor([[0, 1], [1, 0]])
        >>> fused = conv(torch.eye(2), torch.ones(2, 3), SparseAdjacency(edges, size=(2, 2)))
        >>> bool(torch.allclose(fused, conv(torch.eye(2), torch.ones(2, 3), edges)))
        True
    """

    def __init__(
        self, in_dim: int, out_dim: int, *, combine: Joined = "add", slope: float = 0.01
    ) -> None:
        super().__init__()
        self.combine, self.slope = combine, slope
        self.of_neighbours = affine(in_dim, in_dim, bias=False)
        self.of_self = affine(in_dim, out_dim)
        self.output = affine(in_dim + (out_dim if combine == "concat" else 0), out_dim)

    def forward(
        self,
        x: Tensor,
        ids: Tensor,
        graph: SparseAdjacency | Tensor,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        """Return the new rows."""
        near = self._rectified(self.of_neighbours(self.neighbour_sum(x, graph, edge_weight)))
        own = self._rectified(self.of_self(x)) + ids
        if self.combine == "concat":
            return self._rectified(self.output(torch.cat([near, own], dim=1)))
        return self._rectified(self.output(near) + own)

    def _rectified(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.slope)
