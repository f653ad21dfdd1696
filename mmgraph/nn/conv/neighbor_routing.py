"""Attention over neighbours by inner products, and rows that move towards the neighbours they are like."""

from torch import Tensor
from torch_geometric.utils import softmax

from mmgraph.nn.conv.weighted_sum import WeightedSum
from mmgraph.nn.fusion import normalize_rows
from mmgraph.sparse import SparseAdjacency, edge_products, segment_softmax


class NeighborRouting(WeightedSum):
    r"""Refine the targets' rows R times by what their sources are.

    .. math::
        \alpha_{st} = \mathrm{softmax}_{s \in \mathcal{N}(t)} \langle x_t, y_s\rangle, \quad
        x_t \leftarrow \mathrm{norm}\Big(x_t + \sum_{s \in \mathcal{N}(t)} \alpha_{st}\, y_s\Big)

    Edges go from sources, which stay as they are, to targets, which are refined: to refine users by their items the
    graph must have users as its rows. No parameters. Given a ``SparseAdjacency`` nothing is gathered; given an
    ``edge_index``, messages are passed PyG's way. Both agree.

    Source: Wei et al., 2020 (GRCN), graph refining layer. In the released code messages flow to the items, while the
    users' rows, which receive none, are read.

    Args:
        num_steps: The number R; with 0 the targets stay as they are.

    Shapes:
        target (num_targets, dim), source (num_sources, dim); returns (num_targets, dim).

    Example:
        >>> import torch
        >>> to_user = SparseAdjacency(torch.tensor([[0, 1], [0, 0]]), size=(1, 2))
        >>> user, item = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 3.0], [0.0, 3.0]])
        >>> [round(x, 4) for x in NeighborRouting(1)(user, item, to_user)[0].tolist()]
        [0.7071, 0.7071]
    """

    def __init__(self, num_steps: int) -> None:
        super().__init__()
        self.num_steps = num_steps

    def forward(self, target: Tensor, source: Tensor, graph: SparseAdjacency | Tensor) -> Tensor:
        """Return the refined rows of the targets."""
        for _ in range(self.num_steps):
            target = normalize_rows(target + self.attend(target, source, graph)[0])
        return target

    def attend(
        self, target: Tensor, source: Tensor, graph: SparseAdjacency | Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what the targets receive, once, and the weight of every edge: 1 in all for a target with edges.

        Shapes:
            returns (num_targets, dim) and (num_edges,), a matrix's edges in storage order.
        """
        if isinstance(graph, SparseAdjacency):
            weight = segment_softmax(edge_products(graph, target, source), graph.rowptr)
            return self.neighbour_sum(source, graph, weight), weight
        sources, targets = graph
        products = (target.index_select(0, targets) * source.index_select(0, sources)).sum(dim=1)
        weight = softmax(products, targets, num_nodes=target.size(0))
        size = (source.size(0), target.size(0))
        return self.propagate(graph, x=(source, target), edge_weight=weight, size=size), weight
