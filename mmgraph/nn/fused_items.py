"""Messages over an item graph made of content and of co-interaction."""

import logging
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from mmgraph.nn.buffers import BufferList
from mmgraph.nn.conv import LightGCNConv
from mmgraph.nn.fusion import Attention, EdgeFusion, normalize_rows
from mmgraph.nn.readout import LayerStack
from mmgraph.nn.structure import (
    FusedItemGraph,
    WeightedEdges,
    fuse_item_graphs,
    normalize_by_row,
    sum_graphs,
)

_LOG = logging.getLogger(__name__)
_MANY_EDGES = 500_000


class FusedItemLayers(nn.Module):
    r"""Fuse content edges with fixed co-interaction edges and send the items' rows over the result.

    .. math:: E^u = \mathrm{SoftAttn}(E^m : E^c), \quad h^t = E^u h^{t-1}, \quad \mathrm{out} = h^T / \lVert h^T\rVert_2

    Source: MM-GEF, eqs. (5)-(7).

    Args:
        cointeraction: Edges and weights of :math:`E^c`, or None for a graph of content alone.
        num_items: Size of the catalogue.
        attention: See :class:`EdgeFusion`.
        num_layers: Depth T.
        norm: Normalisation of :math:`E^u` by its row sums.

    Shapes:
        item (num_items, dim); returns (num_items, dim).

    Example:
        >>> layers = FusedItemLayers(None, num_items=2)
        >>> graph = layers.join([(torch.tensor([[1], [0]]), torch.tensor([0.5]))])
        >>> layers(torch.tensor([[1.0, 0.0], [0.0, 3.0]]), graph).tolist()
        [[0.0, 1.0], [0.0, 0.0]]
    """

    def __init__(
        self,
        cointeraction: WeightedEdges | None,
        *,
        num_items: int,
        attention: Attention = "edge",
        num_layers: int = 1,
        norm: Literal["none", "row", "sym"] = "none",
    ) -> None:
        super().__init__()
        if cointeraction is None:
            cointeraction = torch.empty(2, 0, dtype=torch.long), torch.empty(0)
        count = cointeraction[1].numel()
        if count > max(_MANY_EDGES, 50 * num_items):
            _LOG.warning(
                "the co-interaction graph has %d edges, over 50 an item, and every step visits them; "
                "graph.co_item_top_k keeps the strongest of each item",
                count,
            )
        self.num_items, self.norm = num_items, norm
        self.cointeraction = BufferList(cointeraction)
        self.attention = EdgeFusion(attention)
        self.layers = LayerStack(LightGCNConv(), num_layers=num_layers, combine="last")

    def join(self, content: Sequence[WeightedEdges]) -> FusedItemGraph:
        """Return the union of the sum of some content graphs with co-interaction; gradients reach their weights."""
        edges, weight = self.cointeraction
        total = sum_graphs(content, num_nodes=self.num_items)
        return fuse_item_graphs(total, (edges, weight), num_items=self.num_items)

    def forward(self, item: Tensor, graph: FusedItemGraph) -> Tensor:
        """Return the messages at unit length; zero where an item has no edges."""
        weight = self.attention(graph.content, graph.cointeraction, graph.adjacency.rowptr)
        weight = normalize_by_row(
            graph.edge_index, weight, num_nodes=self.num_items, norm=self.norm
        )
        return normalize_rows(self.layers(item, graph.adjacency, weight))
