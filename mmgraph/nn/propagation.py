"""Smoothing over the joint user-item graph, the backbone that most systems share."""

import torch
from torch import Tensor, nn

from mmgraph.nn.conv import LightGCNConv
from mmgraph.nn.readout import Combine, LayerStack
from mmgraph.sparse import SparseAdjacency


class UserItemPropagation(nn.Module):
    """LightGCN's propagation of any user and item vectors: stack, smooth ``num_layers`` times, combine, split.

    Source: He et al., 2020 (LightGCN), eqs. (3)-(4).

    Args:
        adjacency: The joint matrix, users first, normalised.
        num_layers: Depth K.
        combine: See ``LayerStack``.

    Shapes:
        user (num_users, dim), item (num_items, dim); returns the same two shapes (wider for ``concat``).

    Example:
        >>> edges = torch.tensor([[0, 1], [1, 0]])
        >>> smooth = UserItemPropagation(SparseAdjacency(edges, size=(2, 2)), num_layers=1)
        >>> [x.item() for x in smooth(torch.tensor([[1.0]]), torch.tensor([[3.0]]))]
        [2.0, 2.0]
    """

    def __init__(
        self, adjacency: SparseAdjacency, *, num_layers: int, combine: Combine = "mean"
    ) -> None:
        super().__init__()
        self.adjacency = adjacency
        self.layers = LayerStack(LightGCNConv(), num_layers=num_layers, combine=combine)

    def forward(self, user: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
        """Return the smoothed user and item vectors."""
        joint = self.layers(torch.cat([user, item]), self.adjacency)
        smooth_user, smooth_item = joint.split([user.size(0), item.size(0)])
        return smooth_user, smooth_item
