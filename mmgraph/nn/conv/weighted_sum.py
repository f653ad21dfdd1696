"""The weighted sum over neighbours that layers begin with, fused or by messages."""

from typing import Optional

from torch import Tensor
from torch_geometric.nn import MessagePassing

from mmgraph.sparse import SparseAdjacency, matmul


class WeightedSum(MessagePassing):  # type: ignore[misc]
    r"""Base of layers that sum their neighbours' rows with the weights of the edges.

    .. math:: \mathbf{s}_t = \sum_{s \in \mathcal{N}(t)} w_{st}\, \mathbf{x}_s

    Given a ``SparseAdjacency`` it is one sparse product; given an ``edge_index`` the messages are passed PyG's way.
    Both agree.

    Example:
        >>> import torch
        >>> x, edges = torch.tensor([[1.0], [10.0]]), torch.tensor([[0, 1], [1, 1]])
        >>> WeightedSum().neighbour_sum(x, edges).tolist()
        [[0.0], [11.0]]
    """

    def __init__(self) -> None:
        super().__init__(aggr="add")

    def neighbour_sum(
        self, x: Tensor, graph: SparseAdjacency | Tensor, edge_weight: Tensor | None = None
    ) -> Tensor:
        """Return for each target the weighted sum of its sources' rows."""
        if isinstance(graph, SparseAdjacency):
            return matmul(graph, x, edge_weight=edge_weight)
        messages: Tensor = self.propagate(graph, x=x, edge_weight=edge_weight)
        return messages

    # PyG reads this signature and knows Optional, not the newer union.
    def message(self, x_j: Tensor, edge_weight: Optional[Tensor]) -> Tensor:  # noqa: UP045
        """Return the message along each edge."""
        return x_j if edge_weight is None else edge_weight[:, None] * x_j
