"""The weighted neighbour sum of LightGCN, also used on item-item and user-user graphs."""

from torch import Tensor

from mmgraph.nn.conv.weighted_sum import WeightedSum
from mmgraph.sparse import SparseAdjacency


class LightGCNConv(WeightedSum):
    r"""Sum the neighbours' rows with the weights of the edges; no parameters, no self loops, no non-linearity.

    .. math:: \mathbf{x}'_t = \sum_{s \in \mathcal{N}(t)} w_{st}\, \mathbf{x}_s

    The weights are those of the graph, normalised when it was built, so a layer is one sparse product. Given a
    ``SparseAdjacency`` the fused product is used; given an ``edge_index`` the messages are passed PyG's way.
    Both agree.

    Source: He et al., 2020 (LightGCN), eq. (3), with the degrees already inside the weights.

    Shapes:
        x (num_sources, dim); returns (num_targets, dim); with an ``edge_index``, sources and
        targets are the same nodes.

    Example:
        >>> import torch
        >>> x, edge_index = torch.eye(2), torch.tensor([[0, 1], [1, 0]])
        >>> conv = LightGCNConv()
        >>> conv(x, edge_index, torch.tensor([1.0, 2.0])).tolist()
        [[0.0, 2.0], [1.0, 0.0]]
        >>> conv(x, SparseAdjacency(edge_index, torch.tensor([1.0, 2.0]), size=(2, 2))).tolist()
        [[0.0, 2.0], [1.0, 0.0]]
    """

    def forward(
        self, x: Tensor, graph: SparseAdjacency | Tensor, edge_weight: Tensor | None = None
    ) -> Tensor:
        """Return the new rows of the targets."""
        return self.neighbour_sum(x, graph, edge_weight)
