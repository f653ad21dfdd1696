"""FREEDOM: frozen item graphs from content, and training on a pruned user-item graph."""

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch_geometric.data import HeteroData

from mmgraph.graph.schema import USER_ITEM
from mmgraph.models.base import EmbeddingConfig, IdRecommender, Paper, Stage
from mmgraph.models.batch import Batch, Embeddings, Rows, distinct_items, items_of
from mmgraph.models.inputs import (
    SharesConfig,
    content_graph,
    required_features,
    user_item_adjacency,
)
from mmgraph.nn import (
    LayerStack,
    LightGCNConv,
    ModalityEncoder,
    ModalityEncoders,
    UserItemPropagation,
    bpr_loss,
    drop_edges,
    joint_adjacency,
)
from mmgraph.nn.encoders import Init
from mmgraph.sparse import SparseAdjacency


class FREEDOMConfig(SharesConfig, EmbeddingConfig):
    """Options of FREEDOM.

    Attributes:
        num_layers: Depth on the user-item graph.
        num_item_layers: Depth on the item graph.
        drop: Share of the user-item edges left out of training, others in each epoch.
        shares: Share of a modality's neighbours in the item graph. The paper gives the image 0.1.
        modality_weight: Weight of the criterion on projected content; 0 leaves the projections out.
    """

    name: Literal["freedom"] = "freedom"
    num_layers: int = Field(default=2, ge=0)
    num_item_layers: int = Field(default=1, ge=0)
    drop: float = Field(default=0.8, ge=0, lt=1)
    modality_weight: float = Field(default=1e-3, ge=0)
    reg_weight: float = Field(default=0.0, ge=0)
    init: Init = "xavier_uniform"


class FREEDOM(IdRecommender):
    r"""LightGCN whose items also receive a message over a frozen item graph.

    .. math::
        Z_U = \bar U, \quad Z_I = \bar V + S^{L_i} V, \quad S = \sum_m w_m S_m, \quad
        \mathcal{L} = \mathrm{BPR}(Z_U, Z_I) + \lambda \sum_m \mathrm{BPR}(Z_U, X_m W_m + b_m)

    The mean layers :math:`\bar U, \bar V` come in training from a user-item graph that keeps a part of the edges, drawn
    anew for each epoch with chances in proportion to :math:`1/\sqrt{d_u d_i}`; elsewhere from the full graph. Features
    stay as they are, and only the items of a batch are projected.

    Source: Zhou and Shen, 2023 (FREEDOM). An item is one of its own k neighbours, as there. The features are frozen, as
    the paper says; the authors' code trains them. The paper knows no missing modality: here an item divides its share
    among the modalities it has, and its triples are left out of the criterion of one it lacks.

    Example:
        >>> from mmgraph.testing import checkerboard_graph
        >>> model = FREEDOM(checkerboard_graph(), FREEDOMConfig(embedding_dim=4)).eval()
        >>> model.encode().item.shape
        torch.Size([12, 4])
    """

    Config = FREEDOMConfig
    paper = Paper(
        "Zhou and Shen",
        2023,
        "A Tale of Two Graphs: Freezing and Denoising Graph Structures for Multimodal Recommendation",
    )
    modality_fusion = "joint"
    config: FREEDOMConfig

    def __init__(self, graph: HeteroData, config: FREEDOMConfig) -> None:
        super().__init__(graph, config, init=config.init)
        features = required_features(graph, config)
        self.propagation = UserItemPropagation(
            user_item_adjacency(graph), num_layers=config.num_layers
        )
        self.item_graph = content_graph(graph, config.shares)
        self.item_layers = LayerStack(
            LightGCNConv(), num_layers=config.num_item_layers, combine="last"
        )
        self.content: ModalityEncoders | None = None
        if config.modality_weight:
            self.content = ModalityEncoders(
                features, lambda width: ModalityEncoder(width, config.embedding_dim)
            )
        self.user_item: Tensor
        self.register_buffer("user_item", graph[USER_ITEM].edge_index, persistent=False)
        self.seed = torch.initial_seed() % 2**63
        # Of the present epoch; before the first one, and without pruning, the full graph is used.
        self._pruned: SparseAdjacency | None = None

    @classmethod
    def edges_for(cls, config: FREEDOMConfig) -> tuple[str, ...]:
        """Return ``knn``."""
        return ("knn",)

    @classmethod
    def graph_defaults(cls, config: FREEDOMConfig) -> dict[str, Any]:
        """Return that an item is one of its own neighbours."""
        return {"include_self": True}

    @classmethod
    def graph_rules(cls, config: FREEDOMConfig) -> dict[str, Any]:
        """Return the normalisation that the thinned graph of an epoch has, so that the full one has it, too."""
        return {"ui_norm": "sym"} if config.drop else {}

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One stage, with the configured weights of penalty and content."""
        weights = {"reg": self.config.reg_weight, "modality": self.config.modality_weight}
        return (Stage(loss_weights=weights),)

    def on_epoch(self, epoch: int) -> None:
        """Draw the edges of the epoch."""
        if not self.config.drop:
            return
        num_users, num_items = self.num_users, self.num_items
        edges, weight, _ = drop_edges(
            self.user_item,
            num_users=num_users,
            num_items=num_items,
            drop=self.config.drop,
            policy="degree",
            seed=self.seed,
            epoch=epoch,
        )
        self._pruned = joint_adjacency(
            (edges, weight), (edges.flip(0), weight), num_users=num_users, num_items=num_items
        )

    def encode(self) -> Embeddings:
        """Return LightGCN's users, and its items plus their message over the item graph."""
        pruned = self._pruned if self.training else None
        user, item = self.propagation(*self.ego, pruned)
        return Embeddings(user, item + self.item_layers(self.item_embedding, self.item_graph))

    def penalties(self, batch: Batch, rows: Rows) -> dict[str, Tensor]:
        """Return ``modality``, BPR of the users on projected content, and ``reg``, each if it has a weight."""
        terms = super().penalties(batch, rows)
        if self.content is not None:
            terms["modality"] = self._modality_loss(self.content, rows.user, batch)
        return terms

    def _modality_loss(self, content: ModalityEncoders, user: Tensor, batch: Batch) -> Tensor:
        items, places = distinct_items(batch)
        has = content.has(items)
        losses = []
        for name, encoded in content(items).items():
            scores = Rows(user, *items_of(encoded, places)).scores()
            positive, negative = items_of(has[name], places)
            losses.append(bpr_loss(*scores, positive & negative))
        return torch.stack(losses).sum()
