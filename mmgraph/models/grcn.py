"""GRCN: what an interaction is worth is learned from the content, and the ids are propagated by that."""

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from mmgraph.graph.schema import ITEM_USER
from mmgraph.models.base import Paper
from mmgraph.models.batch import Embeddings
from mmgraph.models.preferences import PreferenceConfig, PreferenceRecommender
from mmgraph.nn import (
    LayerStack,
    LightGCNConv,
    NeighborRouting,
    id_embedding,
    joint_adjacency,
    normalize_rows,
)
from mmgraph.nn.encoders import affine
from mmgraph.sparse import SparseAdjacency


class GRCNConfig(PreferenceConfig):
    """Options of GRCN.

    Attributes:
        content_dim: Width of a modality's vectors.
        num_layers: Depth on the refined graph.
        num_routing: Steps in which users' preferences move towards their items; of no effect in ``as_released``.
        weighting: How the modalities' attention becomes one weight of an edge: the largest after each is multiplied
            with the trust of the node that sends (``confidence``), the largest (``max``), or the mean (``mean``).
        pruning: Whether an edge of negative weight is left out.
        fusion: Vectors that score: ids and modalities side by side (``concat``), their ``mean``, or the ids alone
            (``id``).
        preset: ``paper``; ``as_released``: preferences are not routed, and trust starts as small random numbers of both
            signs, not at one.
    """

    name: Literal["grcn"] = "grcn"
    content_dim: int = Field(default=64, ge=1)
    num_layers: int = Field(default=2, ge=1)
    num_routing: int = Field(default=3, ge=0)
    weighting: Literal["confidence", "max", "mean"] = "confidence"
    pruning: bool = True
    fusion: Literal["concat", "mean", "id"] = "concat"
    preset: Literal["paper", "as_released"] = "paper"
    reg_weight: float = Field(default=1e-3, ge=0)

    @model_validator(mode="after")
    def _check_widths(self) -> Self:
        if self.fusion == "mean" and self.content_dim != self.embedding_dim:
            raise ValueError(
                f"fusion 'mean' needs content_dim equal to embedding_dim (got {self.content_dim} and "
                f"{self.embedding_dim}); set both or use 'concat'"
            )
        return self


class GRCN(PreferenceRecommender):
    r"""Route preferences along the interactions, weigh both directions of each, and propagate ids by the weights.

    .. math::
        f_i = \mathrm{norm}(\mathrm{LReLU}(W_m x_i + b_m)), \quad
        t_u \leftarrow \mathrm{norm}\Big(t_u + \sum_{i \in \mathcal{N}(u)} \alpha_{ui} f_i\Big), \quad
        w_{st} = \mathrm{ReLU}\big(\max_m \alpha_{st}^m\, c_s^m\big)

    In every modality, :math:`\alpha` is the softmax of inner products over the neighbours of the node that receives:
    first of users, R times, then once of users and items alike. That last time each also adds what it receives to its
    vector. With :math:`c` the trust in a node's modality and :math:`A_w` the matrix of the weights, the ids become
    :math:`(I + A_w + A_w^2)\,\mathrm{norm}(H)` for two layers. The graph's own weights do not count. A modality that an
    item lacks is a zero vector: like to everybody by 0, so that its edges are neither pruned nor preferred, and it
    receives from its users in equal shares.

    Source: Wei et al., 2020 (GRCN), and its code for what the paper leaves open. There messages flow to items alone, so
    that preferences are never routed, and half of the trust starts below zero, where pruning ends its learning:
    ``preset="as_released"``. Here trust starts at one.

    Example:
        >>> from mmgraph.testing import checkerboard_graph
        >>> model = GRCN(checkerboard_graph(), GRCNConfig(embedding_dim=4, content_dim=3)).eval()
        >>> model.encode().item.shape
        torch.Size([12, 10])
    """

    Config = GRCNConfig
    paper = Paper(
        "Wei et al.",
        2020,
        "Graph-Refined Convolutional Network for Multimedia Recommendation with Implicit Feedback",
    )
    modality_fusion = "joint"
    config: GRCNConfig

    def __init__(self, graph: HeteroData, config: GRCNConfig) -> None:
        def encoder(raw: int) -> nn.Module:
            return nn.Sequential(affine(raw, config.content_dim), nn.LeakyReLU())

        super().__init__(graph, config, encoder=encoder, width=lambda raw: config.content_dim)
        released = config.preset == "as_released"
        if config.weighting == "confidence":
            nodes = self.num_users + self.num_items
            trust = id_embedding(nodes, len(self.widths), init=config.init).detach()
            user, item = (trust if released else torch.ones_like(trust)).split(
                [self.num_users, self.num_items]
            )
            self.user_confidence, self.item_confidence = map(
                nn.Parameter, (user.clone(), item.clone())
            )
        edges = graph[ITEM_USER].edge_index
        weight = torch.ones(edges.size(1), device=edges.device)
        self.adjacency = joint_adjacency(
            (edges.flip(0), weight),
            (edges, weight),
            num_users=self.num_users,
            num_items=self.num_items,
        )
        self.to_user = SparseAdjacency(edges, size=(self.num_users, self.num_items))
        self.routing = NeighborRouting(0 if released else config.num_routing)
        self.layers = LayerStack(LightGCNConv(), num_layers=config.num_layers, combine="sum")

    def encode(self) -> Embeddings:
        """Return ids, propagated over the refined graph, with the modalities as the config joins them."""
        content, weight = self.refine()
        ids = self.layers(normalize_rows(torch.cat(self.ego)), self.adjacency, weight)
        parts = [ids, *content]
        if self.config.fusion == "concat":
            final = torch.cat(parts, dim=1)
        else:
            final = ids if self.config.fusion == "id" else torch.stack(parts).mean(dim=0)
        return Embeddings(*final.split([self.num_users, self.num_items]))

    def refine(self) -> tuple[list[Tensor], Tensor]:
        """Return the vectors of all nodes in each modality, and the weight of every edge of the joint matrix.

        Shapes:
            returns (num_users + num_items, content_dim) each, and (2 * num_interactions,), in storage order.
        """
        content, attention = [], []
        for user, item in self.start():
            x = torch.cat([self.routing(user, item, self.to_user), item])
            message, weight = self.routing.attend(x, x, self.adjacency)
            content.append(x + message)
            attention.append(weight)
        return content, self._edge_weight(torch.stack(attention, dim=1))

    def _edge_weight(self, attention: Tensor) -> Tensor:
        if self.config.weighting == "confidence":
            trust = torch.cat([self.user_confidence, self.item_confidence])
            attention = attention * trust.index_select(0, self.adjacency.col)
        mean = self.config.weighting == "mean"
        weight = attention.mean(dim=1) if mean else attention.amax(dim=1)
        return weight.relu() if self.config.pruning else weight
