"""MGCN: ids purified by content, smoothed over item graphs, and fused as the behaviour prefers."""

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from mmgraph.models.base import Paper
from mmgraph.models.batch import Batch, Embeddings, Rows, renumbered, rows_of
from mmgraph.models.contrastive import Contrastive, ContrastiveConfig
from mmgraph.models.inputs import (
    item_content_graph,
    items_of_users,
    required_features,
    user_item_adjacency,
)
from mmgraph.models.terms import RowsAndTerms
from mmgraph.nn import (
    BufferList,
    LayerStack,
    LightGCNConv,
    ModalityEncoder,
    ModalityEncoders,
    QueryAttention,
    SigmoidGate,
    UserItemPropagation,
    info_nce,
)
from mmgraph.nn.encoders import Init
from mmgraph.nn.fusion import keep_present
from mmgraph.sparse import matmul


class MGCNConfig(ContrastiveConfig):
    """Options of MGCN.

    Attributes:
        num_layers: Depth on the user-item graph.
        num_item_layers: Depth on the item graph of each modality.
        contrast_weight: Weight of the contrast between side and behaviour; 0 leaves it out.
        preset: ``paper``: what is common plus the mean of what is specific, and each node of a batch once in the
            contrast; ``as_released``: the sum of all divided by their number, and nodes as often as the batch has them,
            as negatives of themselves.
    """

    name: Literal["mgcn"] = "mgcn"
    num_layers: int = Field(default=2, ge=0)
    num_item_layers: int = Field(default=1, ge=0)
    contrast_weight: float = Field(default=0.01, ge=0)
    preset: Literal["paper", "as_released"] = "paper"
    reg_weight: float = Field(default=1e-4, ge=0)
    reg_rows: Literal["ego", "final"] = "final"
    init: Init = "xavier_uniform"


class MGCN(Contrastive):
    r"""LightGCN plus what the content views of a node have in common, and what of the rest its behaviour lets through.

    .. math::
        B_m = S_m^{L_i} (Q \odot \sigma(W_m E_m(X_m) + c_m)), \quad V_m = [\hat R B_m; B_m], \quad
        K = \sum_m \alpha_m V_m,

        T = K + \frac{1}{M} \sum_m \sigma(W'_m C + c'_m) \odot (V_m - K), \quad Z = C + T, \quad
        \mathcal{L} = \mathcal{L}_{BPR} + \gamma\, (\mathcal{C}(T_U, C_U) + \mathcal{C}(T_I, C_I))

    :math:`C` are LightGCN's mean layers, :math:`\hat R` the users' rows of its matrix, :math:`S_m` the normalised
    cosines of the nearest neighbours, :math:`\alpha` those of :class:`mmgraph.nn.QueryAttention`. The contrast
    :math:`\mathcal{C}`, the mean of :func:`mmgraph.nn.info_nce`, is among the users and among the positive items of a
    batch, where the paper sums over all nodes. Training fuses the nodes of the batch only.

    Source: Yu et al., 2023 (MGCN). The released code divides common and specific parts by their number:
    ``preset="as_released"``; it also trains the features, which stay as they are here. A modality that an item lacks,
    and a user all of whose items lack it, has no view of the node: no attention and no part of the mean.

    Example:
        >>> from mmgraph.testing import checkerboard_graph
        >>> model = MGCN(checkerboard_graph(), MGCNConfig(embedding_dim=4)).eval()
        >>> model.encode().item.shape
        torch.Size([12, 4])
    """

    Config = MGCNConfig
    paper = Paper(
        "Yu et al.", 2023, "Multi-View Graph Convolutional Network for Multimedia Recommendation"
    )
    modality_fusion = "joint"
    config: MGCNConfig

    def __init__(self, graph: HeteroData, config: MGCNConfig) -> None:
        super().__init__(graph, config, init=config.init)
        features, dim = required_features(graph, config), config.embedding_dim
        self.propagation = UserItemPropagation(
            user_item_adjacency(graph), num_layers=config.num_layers
        )
        self.item_layers = LayerStack(
            LightGCNConv(), num_layers=config.num_item_layers, combine="last"
        )
        self.item_graphs = nn.ModuleList(item_content_graph(graph, name) for name in features)
        self.histories = items_of_users(graph)
        self.content = ModalityEncoders(features, lambda width: ModalityEncoder(width, dim))
        self.purifiers = nn.ModuleList(SigmoidGate(dim, dim) for _ in features)
        self.attention = QueryAttention(dim, len(features))
        # With one modality everything is common, and nothing specific is left to a gate.
        self.num_gates = len(features) if len(features) > 1 else 0
        self.preferences = nn.ModuleList(SigmoidGate(dim, dim) for _ in range(self.num_gates))
        has = torch.stack([has for _, has in features.values()], dim=1)
        self.has = BufferList([matmul(self.histories, has.float()) > 0, has])

    @classmethod
    def edges_for(cls, config: MGCNConfig) -> tuple[str, ...]:
        """Return ``knn``."""
        return ("knn",)

    @classmethod
    def graph_defaults(cls, config: MGCNConfig) -> dict[str, Any]:
        """Return items among their own neighbours, and normalised cosines."""
        return {"include_self": True, "knn_norm": "sym"}

    def encode(self) -> Embeddings:
        """Return the behaviour plus the side of all nodes."""
        pairs = zip(*self._views(), self.has, strict=True)
        return Embeddings(*(own + self._side(own, views, has) for own, views, has in pairs))

    def batch_rows(self, batch: Batch) -> Rows:
        """Return the same of a batch, and the contrast of side and behaviour."""
        users, items, places = renumbered(batch)
        # Which rows of the nodes are contrasted: each once, or as often as the batch has them.
        chosen = [places.user, places.positive]
        if self.config.preset == "paper":
            chosen = [torch.unique(rows) for rows in chosen]
        final, terms = [], []
        for behaviour, views, has, nodes, rows in zip(
            *self._views(), self.has, (users, items), chosen, strict=True
        ):
            own, there = behaviour.index_select(0, nodes), has.index_select(0, nodes)
            side = self._side(own, views.index_select(0, nodes), there)
            final.append(own + side)
            if self.config.contrast_weight:
                anchors, others = side.index_select(0, rows), own.index_select(0, rows)
                known = there.any(dim=1).index_select(0, rows)
                terms.append(
                    info_nce(anchors, others, temperature=self.config.temperature, present=known)
                )
        contrast = {"contrast": torch.stack(terms).sum()} if terms else {}
        return RowsAndTerms.of(rows_of(Embeddings(*final), places), contrast)

    def _views(self) -> tuple[Embeddings, Embeddings]:
        """Return the behaviour of all nodes, and their content views side by side."""
        views = []
        for x, gate, graph in zip(
            self.content().values(), self.purifiers, self.item_graphs, strict=True
        ):
            views.append(self.item_layers(gate(self.item_embedding, x), graph))
        kept = zip(views, self.has[1].unbind(dim=1), strict=True)
        item = torch.cat([keep_present(view, has) for view, has in kept], dim=1)
        behaviour = Embeddings(*self.propagation(*self.ego))
        return behaviour, Embeddings(matmul(self.histories, item), item)

    def _side(self, behaviour: Tensor, views: Tensor, has: Tensor) -> Tensor:
        """Return what some nodes' views have in common, and what of the rest the behaviour lets through."""
        parts, masks = views.split(self.config.embedding_dim, dim=1), has.unbind(dim=1)
        common: Tensor = self.attention(parts, masks)
        side = torch.zeros_like(common)
        specific = parts[: self.num_gates], masks[: self.num_gates]
        for gate, view, mask in zip(self.preferences, *specific, strict=True):
            side = side + keep_present(gate(view - common, behaviour), mask)
        count = has.sum(dim=1, keepdim=True)
        if self.config.preset == "as_released":
            return (common + side) / (count + 1)
        return common + side / count.clamp(min=1)
