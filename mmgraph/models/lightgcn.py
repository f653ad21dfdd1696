"""LightGCN: the mean of smoothed id embeddings."""

from typing import Literal

from pydantic import Field
from torch_geometric.data import HeteroData

from mmgraph.models.base import EmbeddingConfig, IdRecommender, Paper
from mmgraph.models.batch import Batch, Embeddings, Rows, rows_of
from mmgraph.models.inputs import user_item_adjacency
from mmgraph.nn import UserItemPropagation
from mmgraph.nn.encoders import Init


class LightGCNConfig(EmbeddingConfig):
    """Options of LightGCN; ``num_layers`` is the depth K on the user-item graph."""

    name: Literal["lightgcn"] = "lightgcn"
    num_layers: int = Field(default=3, ge=0)
    reg_weight: float = Field(default=3e-3, ge=0)
    init: Init = "normal0.1"


class LightGCN(IdRecommender):
    r"""Propagate id embeddings over the normalised user-item graph and average the layers.

    .. math::
        E^{(k+1)} = \hat{A} E^{(k)}, \quad E = \frac{1}{K+1}\sum_{k=0}^{K} E^{(k)},
        \quad \hat y_{ui} = \langle E_u, E_i\rangle

    The penalty is on the layer-0 rows of the batch, as in the authors' code: on the propagated rows the published
    figures are not reached.

    Source: He et al., 2020, eqs. (3)-(8); uniform layer weights, no dropout.

    Example:
        >>> import torch
        >>> from mmgraph.testing import checkerboard_graph
        >>> model = LightGCN(checkerboard_graph(), LightGCNConfig(embedding_dim=4, num_layers=2))
        >>> model.score(torch.tensor([0, 1])).shape
        torch.Size([2, 12])
    """

    Config = LightGCNConfig
    paper = Paper(
        "He et al.",
        2020,
        "LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation",
    )

    def __init__(self, graph: HeteroData, config: LightGCNConfig) -> None:
        super().__init__(graph, config, init=config.init)
        self.propagation = UserItemPropagation(
            user_item_adjacency(graph), num_layers=config.num_layers
        )

    @property
    def num_hops(self) -> int:
        """Its depth."""
        return self.propagation.layers.num_layers

    def encode(self) -> Embeddings:
        """Return the averaged layers."""
        return Embeddings(*self.propagation(*self.ego))

    def batch_rows(self, batch: Batch) -> Rows:
        """Return rows of the averaged layers, of the batch's neighbourhood where it has one."""
        part = batch.neighborhood
        if part is None:
            return super().batch_rows(batch)
        layers = self.propagation(*part.rows_of(self.ego), part.adjacency)
        return rows_of(Embeddings(*layers), batch)
