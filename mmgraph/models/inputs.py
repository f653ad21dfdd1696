"""What models read from their graph: the joint matrix, the features, the content neighbours."""

import math
from collections.abc import Collection, Mapping
from typing import Annotated, Any

import torch
from pydantic import Field, field_validator
from torch import Tensor
from torch_geometric.data import HeteroData

from mmgraph.errors import GraphError
from mmgraph.graph.schema import ITEM_USER, USER_ITEM, item_features, knn_edge_type, modalities_of
from mmgraph.models.base import ModelConfig
from mmgraph.nn import joint_adjacency, mix_item_graphs, shares_of
from mmgraph.sparse import SparseAdjacency


class SharesConfig(ModelConfig):
    """What models have that mix the modalities by fixed shares.

    Attributes:
        shares: Share of a modality, by name; modalities without one divide what is left up to 1 equally.
    """

    shares: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)

    @field_validator("shares")
    @classmethod
    def _check_sum(cls, shares: dict[str, float]) -> dict[str, float]:
        total = math.fsum(shares.values())
        if round(total, 9) > 1:  # decimals sum to 1 no better than this
            raise ValueError(f"must not be above 1 together (got {total:g}); lower one of them")
        return shares

    def changes_for(self, modalities: Collection[str]) -> dict[str, Any]:
        """Return the shares of these modalities, if others have one; none if theirs are all zero."""
        kept = {name: share for name, share in self.shares.items() if name in modalities}
        if len(kept) == len(modalities) and not any(kept.values()):
            kept = {}
        return {
            **super().changes_for(modalities),
            **({} if kept == self.shares else {"shares": kept}),
        }


def content_graph(graph: HeteroData, shares: Mapping[str, float]) -> SparseAdjacency:
    """Return the mean over each item's content neighbours, see :func:`mmgraph.nn.mix_item_graphs`.

    Args:
        graph: With the nearest neighbours of every modality.
        shares: Share of some modalities, see :func:`mmgraph.nn.shares_of`.
    """
    share_of = shares_of(shares, modalities_of(graph))
    return mix_item_graphs(
        [graph[knn_edge_type(name)].edge_index for name in share_of],
        list(share_of.values()),
        num_items=int(graph["item"].num_nodes),
    )


def item_content_graph(graph: HeteroData, modality: str) -> SparseAdjacency:
    """Return the neighbours of one modality with the weights that the graph was built with."""
    edges, num_items = graph[knn_edge_type(modality)], int(graph["item"].num_nodes)
    return SparseAdjacency(edges.edge_index, edges.edge_weight, size=(num_items, num_items))


def items_of_users(graph: HeteroData, *, weighted: bool = True) -> SparseAdjacency:
    """Return the training items of each user, with the normalised weights or with ones; (num_users, num_items)."""
    edges = graph[ITEM_USER]
    size = (int(graph["user"].num_nodes), int(graph["item"].num_nodes))
    return SparseAdjacency(edges.edge_index, edges.edge_weight if weighted else None, size=size)


def required_features(graph: HeteroData, config: ModelConfig) -> dict[str, tuple[Tensor, Tensor]]:
    """Return features and presence of every modality, see :func:`mmgraph.graph.schema.item_features`.

    Raises:
        GraphError: there is no modality.
    """
    features = item_features(graph)
    if not features:
        raise GraphError(
            f"{config.name} needs item features (got none); add a [features.<name>] table to dataset.toml, or "
            "name one in data.modalities if that is empty"
        )
    return features


def user_item_adjacency(graph: HeteroData) -> SparseAdjacency:
    """Return the joint matrix over users, then items, with the weights and self loops the graph was built with."""
    to_user, to_item = graph[ITEM_USER], graph[USER_ITEM]
    loops = None
    if "self_weight" in graph["user"]:
        loops = torch.cat([graph["user"].self_weight, graph["item"].self_weight])
    return joint_adjacency(
        (to_item.edge_index, to_item.edge_weight),
        (to_user.edge_index, to_user.edge_weight),
        num_users=int(graph["user"].num_nodes),
        num_items=int(graph["item"].num_nodes),
        self_weight=loops,
    )
