"""The graph builders as PyTorch Geometric transforms.

They are for graphs that were made elsewhere or need one more view. The input is left untouched: as
with every transform, a shallow copy carries the new edges.
"""

from typing import Literal

from torch_geometric.data import HeteroData
from torch_geometric.transforms import BaseTransform

from mmgraph.errors import GraphError, nearest
from mmgraph.graph.cointeraction import cointeraction_graph
from mmgraph.graph.knn import knn_graph
from mmgraph.graph.knn.join import Method
from mmgraph.graph.knn.rows import Metric
from mmgraph.graph.normalize import CountNorm, EdgeNorm, normalize_edges
from mmgraph.graph.schema import (
    CO_ITEM,
    CO_USER,
    ITEM,
    USER,
    USER_ITEM,
    edge_name,
    feature_key,
    knn_edge_type,
    modalities_of,
    presence_key,
)


class AddKNNGraph(BaseTransform):  # type: ignore[misc]
    """Add the nearest-neighbour graph of one modality, from ``data["item"].x_<modality>``.

    Args:
        modality: Name of the modality.
        k: Edges of each item.
        metric: See :func:`mmgraph.graph.knn_graph`.
        method: See :func:`mmgraph.graph.knn_graph`.
        include_self: Whether an item is one of its own ``k`` neighbours.
        norm: Normalisation of the weights, see :func:`mmgraph.graph.normalize.normalize_edges`.
    """

    def __init__(
        self,
        modality: str,
        k: int,
        *,
        metric: Metric = "cosine",
        method: Method = "auto",
        include_self: bool = False,
        norm: EdgeNorm = "none",
    ) -> None:
        self.modality = modality
        self.k = k
        self.metric = metric
        self.method = method
        self.include_self = include_self
        self.norm = norm

    def forward(self, data: HeteroData) -> HeteroData:
        """Add the edges to the given graph.

        Raises:
            GraphError: The graph lacks the modality, or ``k`` does not fit.
        """
        known = modalities_of(data)
        if self.modality not in known:
            raise GraphError(
                f"the graph has no modality {self.modality!r}{nearest(self.modality, known)}"
            )
        items = data[ITEM]
        edge_index, edge_weight = knn_graph(
            items[feature_key(self.modality)],
            self.k,
            metric=self.metric,
            method=self.method,
            include_self=self.include_self,
            mask=items.get(presence_key(self.modality)),
        )
        store = data[knn_edge_type(self.modality)]
        store.edge_index = edge_index
        store.edge_weight = normalize_edges(edge_index, edge_weight, items.num_nodes, self.norm)
        return data

    def __repr__(self) -> str:
        """Show the modality and k."""
        return f"{type(self).__name__}({self.modality!r}, k={self.k})"


class AddCointeraction(BaseTransform):  # type: ignore[misc]
    """Add the co-interaction graph of one side, from the user-item edges of the graph.

    Args:
        side: ``item`` or ``user``.
        top_k: Edges kept for each node; all of them when None.
        normalize: See :func:`mmgraph.graph.cointeraction_graph`.
    """

    def __init__(
        self,
        side: Literal["item", "user"] = "item",
        *,
        top_k: int | None = None,
        normalize: CountNorm = "max",
    ) -> None:
        self.side = side
        self.top_k = top_k
        self.normalize = normalize

    def forward(self, data: HeteroData) -> HeteroData:
        """Add the edges to the given graph.

        Raises:
            GraphError: The graph has no user-item edges, or an argument is none of its choices.
        """
        if USER_ITEM not in data.edge_types:
            raise GraphError(
                f"the graph has no {edge_name(USER_ITEM)} edges; co-interaction is counted from "
                "them"
            )
        pairs = data[USER_ITEM].edge_index
        edge_index, edge_weight = cointeraction_graph(
            pairs[0],
            pairs[1],
            num_users=data[USER].num_nodes,
            num_items=data[ITEM].num_nodes,
            side=self.side,
            top_k=self.top_k,
            normalize=self.normalize,
        )
        store = data[CO_ITEM if self.side == "item" else CO_USER]
        store.edge_index = edge_index.to(pairs.device)
        store.edge_weight = edge_weight.to(pairs.device)
        return data

    def __repr__(self) -> str:
        """Show the side and top_k."""
        return f"{type(self).__name__}({self.side!r}, top_k={self.top_k})"
