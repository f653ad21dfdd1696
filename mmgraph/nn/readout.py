"""How the outputs of a stack of layers become one embedding."""

from collections.abc import Callable
from typing import Literal, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgraph.nn.conv import LightGCNConv
from mmgraph.sparse import SparseAdjacency, sum_of_powers

Combine = Literal["mean", "sum", "last", "concat"]


class LayerStack(nn.Module):
    """Apply a layer ``num_layers`` times and combine its input and all outputs.

    Sums and means of ``LightGCNConv`` over a ``SparseAdjacency`` with constant weights are one fused step.

    Source: He et al., 2020 (LightGCN), eq. (4) with uniform :math:`a_k = 1/(K+1)` for ``combine="mean"``.

    Args:
        conv: A layer called as ``conv(x, *graph)``, the same at every depth.
        num_layers: Depth K; with 0 the input itself is returned.
        combine: ``mean`` or ``sum`` over depths 0..K, ``last`` depth only, or ``concat`` of all.
        dropout: Share of each layer's output left out in training, before the next layer.

    Shapes:
        x (num_nodes, dim); returns (num_nodes, dim), for ``concat`` (num_nodes, dim * (num_layers + 1)).

    Example:
        >>> stack = LayerStack(lambda x, factor: factor * x, num_layers=2, combine="sum")
        >>> stack(torch.ones(1, 1), 2.0).item()
        7.0
    """

    def __init__(
        self,
        conv: Callable[..., Tensor],
        *,
        num_layers: int,
        combine: Combine = "mean",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.conv = conv
        self.num_layers = num_layers
        self.combine = combine
        self.dropout = dropout

    def forward(self, x: Tensor, *graph: object) -> Tensor:
        """Return the combined embedding of every node."""
        if self.combine == "concat":
            return torch.cat(self._depths(x, graph), dim=1)
        if self.combine == "last":
            return self._depths(x, graph)[-1]
        gaps = self.training and self.dropout > 0
        if isinstance(self.conv, LightGCNConv) and _is_constant(graph) and not gaps:
            scale = 1 / (self.num_layers + 1) if self.combine == "mean" else 1.0
            return sum_of_powers(graph[0], x, num_layers=self.num_layers, scale=scale)
        depths = torch.stack(self._depths(x, graph))
        return depths.mean(dim=0) if self.combine == "mean" else depths.sum(dim=0)

    def _depths(self, x: Tensor, graph: tuple[object, ...]) -> list[Tensor]:
        depths = [x]
        for _ in range(self.num_layers):
            layer = self.conv(depths[-1], *graph)
            depths.append(F.dropout(layer, self.dropout, self.training))
        return depths


def _is_constant(graph: tuple[object, ...]) -> TypeGuard[tuple[SparseAdjacency]]:
    matrix = graph[0] if len(graph) == 1 else None
    return isinstance(matrix, SparseAdjacency) and not matrix.value.requires_grad
