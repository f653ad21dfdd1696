"""Item graphs chosen again and again as the projections of the features learn."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Self

from torch import Tensor, nn

from mmgraph.nn.buffers import BufferList
from mmgraph.nn.encoders import ModalityEncoder, ModalityEncoders
from mmgraph.nn.structure import WeightedEdges, edge_cosine, normalize_by_row, sum_graphs
from mmgraph.sparse import SparseAdjacency


class ItemGraph(NamedTuple):
    """A matrix whose stored weights do not count, and the weights that do, in its order; they may carry gradients."""

    adjacency: SparseAdjacency
    weight: Tensor

    def detached(self) -> Self:
        """Return the same graph without gradients."""
        return self._replace(weight=self.weight.detach())


class LearnedItemGraphs(ModalityEncoders):
    """Projected features of each modality, the graphs of their nearest neighbours, and those of the raw features.

    An item that lacks a modality has no neighbours in its graphs.

    Source: Zhang et al., 2021 (LATTICE), eqs. (1)-(5); Zhang et al., 2022 (MICRO).

    Args:
        features: As for ``ModalityEncoders``.
        raw: Edges and normalised weights of the raw features' graph of each modality.
        dim: Width of the projections; None where nothing is chosen, and so nothing learned.
        nearest: Returns the edges to the nearest neighbours of the rows that are present.

    Example:
        >>> import torch
        >>> x, has = torch.eye(2), torch.ones(2, dtype=torch.bool)
        >>> loops = torch.tensor([[0, 1], [0, 1]])
        >>> raw = [(loops, torch.ones(2))]
        >>> graphs = LearnedItemGraphs({"text": (x, has)}, raw, dim=4, nearest=lambda x, has: loops)
        >>> [[round(number, 3) for number in weight.tolist()] for _, weight in graphs.chosen()]
        [[1.0, 1.0]]
    """

    def __init__(
        self,
        features: Mapping[str, tuple[Tensor, Tensor]],
        raw: Sequence[WeightedEdges],
        *,
        dim: int | None,
        nearest: Callable[[Tensor, Tensor], Tensor],
    ) -> None:
        super().__init__(
            features, lambda width: nn.Identity() if dim is None else ModalityEncoder(width, dim)
        )
        self.nearest = nearest
        self.raw_edges = BufferList(edges for edges, _ in raw)
        self.raw_weights = BufferList(weights for _, weights in raw)

    def raw(self) -> list[WeightedEdges]:
        """Return the graph of the raw features of each modality."""
        return list(zip(self.raw_edges, self.raw_weights, strict=True))

    def chosen(self) -> list[WeightedEdges]:
        """Choose the neighbours by the present projections; return the cosines, which gradients reach."""
        graphs = []
        for x, has in zip(self().values(), self.present, strict=True):
            edges = self.nearest(x.detach(), has)
            graphs.append((edges, edge_cosine(x, edges)))
        return graphs

    def normalized(self, graph: WeightedEdges) -> WeightedEdges:
        """Return a graph whose weights are divided by the roots of both ends' row sums."""
        edges, weight = graph
        return edges, normalize_by_row(edges, weight, num_nodes=self.num_items, norm="sym")

    def mixed(self, graphs: Sequence[WeightedEdges]) -> ItemGraph:
        """Return the sum of some graphs as a matrix."""
        edges, weight = sum_graphs(graphs, num_nodes=self.num_items)
        return ItemGraph(SparseAdjacency(edges, size=(self.num_items, self.num_items)), weight)

    @property
    def num_items(self) -> int:
        """Size of the catalogue."""
        return len(self.present[0])
