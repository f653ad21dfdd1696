"""The weighted neighbour sum of LightGCN, also used on item-item and user-user graphs."""

from typing import Optional

from torch import Tensor
from torch_geometric.nn import MessagePassing

from mmgraph.sparse import SparseAdjacency, matmul


class LightGCNConv(MessagePassing):  # type: ignore[misc]
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

    def __init__(self) -> None:
        super().__init__(aggr="add")

    def forward(
        self, x: Tensor, graph: SparseAdjacency | Tensor, edge_weight: Tensor | None = None
    ) -> Tensor:
        """Return the new rows of the targets."""
        if isinstance(graph, SparseAdjacency):
            return matmul(graph, x, edge_weight=edge_weight)
        messages: Tensor = self.propagate(graph, x=x, edge_weight=edge_weight)
        return messages

    # PyG reads this signature and knows Optional, not the newer union.
    def message(self, x_j: Tensor, edge_weight: Optional[Tensor]) -> Tensor:  # noqa: UP045
        """Return the message along each edge."""
        return x_j if edge_weight is None else edge_weight[:, None] * x_j
