"""NGCF: layers with weights and products of neighbours, side by side."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from mmgraph.errors import GraphError
from mmgraph.models.base import EmbeddingConfig, IdRecommender, Paper
from mmgraph.models.batch import Batch, Embeddings, Rows, rows_of
from mmgraph.models.inputs import user_item_adjacency
from mmgraph.nn import NGCFConv, normalize_rows
from mmgraph.nn.conv.ngcf_conv import Preset
from mmgraph.nn.encoders import Init


class NGCFConfig(EmbeddingConfig):
    """Options of NGCF.

    Attributes:
        num_layers: Depth; all layers are as wide as the ids.
        preset: ``paper``, or ``as_released``: the form of the layer and the operator of the authors' code.
        message_dropout: Share of a layer's output left out in training.
        node_dropout: Share of the edges left out of a training step, the others scaled up.
    """

    name: Literal["ngcf"] = "ngcf"
    num_layers: int = Field(default=3, ge=0)
    preset: Preset = "paper"
    message_dropout: float = Field(default=0.1, ge=0, lt=1)
    node_dropout: float = Field(default=0.0, ge=0, lt=1)
    reg_weight: float = Field(default=1e-5, ge=0)
    reg_rows: Literal["ego", "final"] = "final"
    init: Init = "xavier_uniform"


class NGCF(IdRecommender):
    r"""Propagate ids through weighted layers; score with the unit rows of all layers behind the ids.

    .. math:: Z = [E^{(0)} , \mathrm{norm}(E^{(1)}), \dots, \mathrm{norm}(E^{(L)})]

    The next layer receives :math:`E^{(l)}` as it is, not its unit rows.

    Source: Wang et al., 2019 (NGCF), eqs. (7)-(10). The unit rows and the slope are of the released code; its layer has
    two rectifiers and biases, and its default operator is ``rw_self``: ``preset="as_released"``.

    Example:
        >>> from mmgraph.testing import checkerboard_graph
        >>> model = NGCF(checkerboard_graph(), NGCFConfig(embedding_dim=4, num_layers=2)).eval()
        >>> model.encode().item.shape
        torch.Size([12, 12])
    """

    Config = NGCFConfig
    paper = Paper("Wang et al.", 2019, "Neural Graph Collaborative Filtering")
    config: NGCFConfig

    def __init__(self, graph: HeteroData, config: NGCFConfig) -> None:
        super().__init__(graph, config, init=config.init)
        dim = config.embedding_dim
        if config.preset == "paper" and "self_weight" in graph["user"]:
            raise GraphError(
                "preset 'paper' of ngcf adds each node's own row itself (got a graph with self loops); "
                "remove graph.ui_norm, or set model.preset to 'as_released'"
            )
        self.adjacency = user_item_adjacency(graph)
        self.layers = nn.ModuleList(
            NGCFConv(dim, dim, preset=config.preset) for _ in range(config.num_layers)
        )

    @classmethod
    def graph_defaults(cls, config: NGCFConfig) -> dict[str, Any]:
        """Return the operator of the released code where its preset is chosen."""
        return {"ui_norm": "rw_self"} if config.preset == "as_released" else {}

    def encode(self) -> Embeddings:
        """Return ids and unit rows of all layers side by side."""
        return self._encode(None)

    def batch_rows(self, batch: Batch) -> Rows:
        """Return rows over a graph that has lost some edges, where the config says so."""
        weight = None
        if self.config.node_dropout:
            weight = F.dropout(self.adjacency.value, self.config.node_dropout, self.training)
        return rows_of(self._encode(weight), batch)

    def _encode(self, edge_weight: Tensor | None) -> Embeddings:
        x = torch.cat(self.ego)
        depths = [x]
        for layer in self.layers:
            x = layer(x, self.adjacency, edge_weight)
            x = F.dropout(x, self.config.message_dropout, self.training)
            depths.append(normalize_rows(x))
        return Embeddings(*torch.cat(depths, dim=1).split([self.num_users, self.num_items]))
