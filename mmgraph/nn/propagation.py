"""Smoothing over the joint user-item graph, the backbone that most systems share."""

import torch
from torch import Tensor, nn

from mmgraph.nn.conv import LightGCNConv
from mmgraph.nn.readout import Combine, LayerStack
from mmgraph.sparse import SparseAdjacency


def joint_adjacency(
    to_item: tuple[Tensor, Tensor],
    to_user: tuple[Tensor, Tensor],
    *,
    num_users: int,
    num_items: int,
    self_weight: Tensor | None = None,
) -> SparseAdjacency:
    """Return the joint matrix over users, then items.

    Args:
        to_item: Edges from users (row 0) to items (row 1), and their weights.
        to_user: Edges from items (row 0) to users (row 1), and their weights.
        num_users: Number of users.
        num_items: Number of items.
        self_weight: Weights of the self loops of all nodes, if there are any.

    Shapes:
        edges (2, num_edges) int64, weights (num_edges,), self_weight (num_users + num_items,).

    Complexity: O(E log E) for E edges.

    Example:
        >>> edge, weight = torch.tensor([[0], [0]]), torch.tensor([2.0])
        >>> joint_adjacency((edge, weight), (edge, weight), num_users=1, num_items=1).to_dense().tolist()
        [[0.0, 2.0], [2.0, 0.0]]
    """
    num_nodes, device = num_users + num_items, to_item[0].device
    edges = [
        to_user[0] + torch.tensor([[num_users], [0]], device=device),
        to_item[0] + torch.tensor([[0], [num_users]], device=device),
    ]
    weights = [to_user[1], to_item[1]]
    if self_weight is not None:
        edges.append(torch.arange(num_nodes, device=device).expand(2, -1))
        weights.append(self_weight)
    return SparseAdjacency(torch.cat(edges, dim=1), torch.cat(weights), size=(num_nodes, num_nodes))


class UserItemPropagation(nn.Module):
    """LightGCN's propagation of any user and item vectors: stack, smooth ``num_layers`` times, combine, split.

    Source: He et al., 2020 (LightGCN), eqs. (3)-(4).

    Args:
        adjacency: The joint matrix, users first, normalised.
        num_layers: Depth K.
        combine: See ``LayerStack``.
        dropout: See ``LayerStack``.

    Shapes:
        user (num_users, dim), item (num_items, dim); returns the same two shapes (wider for ``concat``).

    Example:
        >>> edges = torch.tensor([[0, 1], [1, 0]])
        >>> smooth = UserItemPropagation(SparseAdjacency(edges, size=(2, 2)), num_layers=1)
        >>> [x.item() for x in smooth(torch.tensor([[1.0]]), torch.tensor([[3.0]]))]
        [2.0, 2.0]
    """

    def __init__(
        self,
        adjacency: SparseAdjacency,
        *,
        num_layers: int,
        combine: Combine = "mean",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.adjacency = adjacency
        self.layers = LayerStack(
            LightGCNConv(), num_layers=num_layers, combine=combine, dropout=dropout
        )

    def forward(
        self, user: Tensor, item: Tensor, adjacency: SparseAdjacency | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the smoothed user and item vectors; another matrix, such as a pruned one, may be given."""
        matrix = self.adjacency if adjacency is None else adjacency
        joint = self.layers(torch.cat([user, item]), matrix)
        smooth_user, smooth_item = joint.split([user.size(0), item.size(0)])
        return smooth_user, smooth_item
