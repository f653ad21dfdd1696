"""How the outputs of a stack of layers become one embedding."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

Combine = Literal["mean", "sum", "last", "concat"]


class LayerStack(nn.Module):
    """Apply a layer ``num_layers`` times and combine its input and all outputs.

    Source: He et al., 2020 (LightGCN), eq. (4) with uniform :math:`a_k = 1/(K+1)` for ``combine="mean"``.

    Args:
        conv: A layer called as ``conv(x, *graph)``, the same at every depth.
        num_layers: Depth K; with 0 the input itself is returned.
        combine: ``mean`` or ``sum`` over depths 0..K, ``last`` depth only, or ``concat`` of all.

    Shapes:
        x (num_nodes, dim); returns (num_nodes, dim), for ``concat`` (num_nodes, dim * (num_layers + 1)).

    Example:
        >>> stack = LayerStack(lambda x, factor: factor * x, num_layers=2, combine="sum")
        >>> stack(torch.ones(1, 1), 2.0).item()
        7.0
    """

    def __init__(
        self, conv: Callable[..., Tensor], *, num_layers: int, combine: Combine = "mean"
    ) -> None:
        super().__init__()
        self.conv = conv
        self.num_layers = num_layers
        self.combine = combine

    def forward(self, x: Tensor, *graph: object) -> Tensor:
        """Return the combined embedding of every node."""
        if self.combine == "concat":
            return torch.cat(self._depths(x, graph), dim=1)
        if self.combine == "last":
            return self._depths(x, graph)[-1]
        total = x
        for _ in range(self.num_layers):
            x = self.conv(x, *graph)
            total = total + x
        return total / (self.num_layers + 1) if self.combine == "mean" else total

    def _depths(self, x: Tensor, graph: tuple[object, ...]) -> list[Tensor]:
        depths = [x]
        for _ in range(self.num_layers):
            depths.append(self.conv(depths[-1], *graph))
        return depths
