"""The graph builders as PyTorch Geometric transforms.

They are for graphs that were made elsewhere or need one more view: composed, they give the bytes of
:func:`mmgraph.graph.build_graph`. The input is left untouched: as with every transform, a shallow
copy carries the new edges.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.transforms import BaseTransform

from mmgraph.errors import GraphError, nearest
from mmgraph.graph.bipartite import bipartite_edges
from mmgraph.graph.build import set_bipartite
from mmgraph.graph.cointeraction import cointeraction_graph
from mmgraph.graph.knn import Method, Metric, knn_graph
from mmgraph.graph.normalize import BipartiteNorm, CountNorm, EdgeNorm, normalize_edges
from mmgraph.graph.schema import (
    CO_ITEM,
    CO_USER,
    ITEM,
    ITEM_USER,
    USER,
    USER_ITEM,
    edge_name,
    feature_key,
    knn_edge_type,
    modalities_of,
    presence_key,
)


class AddBipartite(BaseTransform):  # type: ignore[misc]
    """Sort and weigh the user-item edges of a graph, and add the same edges reversed.

    The pairs are those of ``data["user", "interacts", "item"].edge_index``, in any order. Weights
    that were there are replaced; other attributes of the edges are sorted along.

    Args:
        norm: Normalisation, see :func:`mmgraph.graph.normalize.bipartite_weights`.

    Example:
        >>> data = HeteroData({"user": {"num_nodes": 2}, "item": {"num_nodes": 2}})
        >>> data["user", "interacts", "item"].edge_index = torch.tensor([[1, 0, 0], [0, 1, 0]])
        >>> data = AddBipartite(norm="rw")(data)
        >>> data["item", "rev_interacts", "user"].edge_index.tolist()
        [[0, 1, 0], [0, 0, 1]]
        >>> data["item", "rev_interacts", "user"].edge_weight.tolist()
        [0.5, 0.5, 1.0]
    """

    def __init__(self, *, norm: BipartiteNorm = "sym") -> None:
        self.norm = norm

    def forward(self, data: HeteroData) -> HeteroData:
        """Weigh the edges of the given graph.

        Raises:
            GraphError: The graph has no user-item edges, holds one twice, or the norm is unknown.
        """
        pairs = _pairs(data)
        edges = bipartite_edges(
            pairs[0],
            pairs[1],
            num_users=_size(data, USER),
            num_items=_size(data, ITEM),
            norm=self.norm,
        )
        order = torch.from_numpy(np.lexsort(pairs.cpu().numpy())).to(pairs.device)
        for name, value in list(data[USER_ITEM].items()):
            if name != "edge_index" and isinstance(value, Tensor) and len(value) == len(order):
                data[USER_ITEM][name] = value[order]
        for node_type in (USER, ITEM):
            data[node_type].pop("self_weight", None)
        set_bipartite(data, edges)
        for edge_type in (USER_ITEM, ITEM_USER):
            data[edge_type].to(pairs.device)
        return data

    def __repr__(self) -> str:
        """Show the normalisation."""
        return f"{type(self).__name__}(norm={self.norm!r})"


class AddKNNGraph(BaseTransform):  # type: ignore[misc]
    """Add the nearest-neighbour graph of one modality, from ``data["item"].x_<modality>``.

    Args:
        modality: Name of the modality.
        k: Edges of each item.
        metric: See :func:`mmgraph.graph.knn_graph`.
        method: See :func:`mmgraph.graph.knn_graph`.
        include_self: Whether an item is one of its own ``k`` neighbours.
        norm: Normalisation of the weights, see :func:`mmgraph.graph.normalize.normalize_edges`.
        min_recall: See :func:`mmgraph.graph.knn_graph`.
        max_memory: Bytes, see :func:`mmgraph.graph.knn_graph`.
        seed: Of an approximate search.
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
        min_recall: float = 1.0,
        max_memory: int | None = None,
        seed: int = 0,
    ) -> None:
        self.modality = modality
        self.k = k
        self.metric = metric
        self.method = method
        self.include_self = include_self
        self.norm = norm
        self.min_recall = min_recall
        self.max_memory = max_memory
        self.seed = seed

    def forward(self, data: HeteroData) -> HeteroData:
        """Add the edges to the given graph.

        Raises:
            GraphError: The graph lacks the modality, or see :func:`mmgraph.graph.knn_graph`.
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
            min_recall=self.min_recall,
            max_memory=self.max_memory,
            seed=self.seed,
        )
        store = data[knn_edge_type(self.modality)]
        store.edge_index = edge_index
        store.edge_weight = normalize_edges(edge_index, edge_weight, _size(data, ITEM), self.norm)
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
        max_interactions: See :func:`mmgraph.graph.cointeraction_graph`.
        seed: Of the interactions that ``max_interactions`` keeps.
    """

    def __init__(
        self,
        side: Literal["item", "user"] = "item",
        *,
        top_k: int | None = None,
        normalize: CountNorm = "max",
        max_interactions: int | None = None,
        seed: int = 0,
    ) -> None:
        self.side = side
        self.top_k = top_k
        self.normalize = normalize
        self.max_interactions = max_interactions
        self.seed = seed

    def forward(self, data: HeteroData) -> HeteroData:
        """Add the edges to the given graph.

        Raises:
            GraphError: The graph has no user-item edges, or an argument is none of its choices.
        """
        pairs = _pairs(data)
        edge_index, edge_weight = cointeraction_graph(
            pairs[0],
            pairs[1],
            num_users=_size(data, USER),
            num_items=_size(data, ITEM),
            side=self.side,
            top_k=self.top_k,
            normalize=self.normalize,
            max_interactions=self.max_interactions,
            seed=self.seed,
        )
        store = data[CO_ITEM if self.side == "item" else CO_USER]
        store.edge_index = edge_index.to(pairs.device)
        store.edge_weight = edge_weight.to(pairs.device)
        return data

    def __repr__(self) -> str:
        """Show the side and top_k."""
        return f"{type(self).__name__}({self.side!r}, top_k={self.top_k})"


def _pairs(data: HeteroData) -> Tensor:
    if USER_ITEM not in data.edge_types:
        raise GraphError(
            f"the graph has no {edge_name(USER_ITEM)} edges; set "
            f"data{list(USER_ITEM)}.edge_index".replace("'", '"')
        )
    pairs: Tensor = data[USER_ITEM].edge_index
    return pairs


def _size(data: HeteroData, node_type: str) -> int:
    if "num_nodes" in data[node_type]:
        return int(data[node_type].num_nodes)
    modalities = modalities_of(data) if node_type == ITEM else ()
    if modalities:
        return len(data[ITEM][feature_key(modalities[0])])
    raise GraphError(
        f'data["{node_type}"].num_nodes must be set (got nothing); a node without edges counts too'
    )
