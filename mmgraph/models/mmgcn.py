"""MMGCN: one user-item graph for each modality, whose nodes also carry ids that all modalities share."""

from typing import Any, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from mmgraph.models.base import Paper
from mmgraph.models.batch import Batch, Embeddings, Rows
from mmgraph.models.inputs import user_item_adjacency
from mmgraph.models.preferences import PreferenceConfig, PreferenceRecommender
from mmgraph.nn import MMGCNConv, ModalityEncoder, freeze_parameters
from mmgraph.nn.conv.mmgcn_conv import Joined


class MMGCNConfig(PreferenceConfig):
    """Options of MMGCN.

    Attributes:
        num_layers: Depth; by default 2, and 3 in the preset ``as_released``.
        combine: How neighbours and the own row are joined, see :class:`mmgraph.nn.MMGCNConv`; by default ``add``, and
            ``concat`` in the preset ``as_released``.
        latent_dim: Features wider than this are projected to it first; 0 leaves all at their width.
        trainable_ids: Whether ids and preferences learn; by default they do, and not in the preset ``as_released``.
        preset: ``paper``: the modalities are added up; ``as_released``: averaged, and three defaults are those of the
            authors' code, which ignores its keys for them: three layers, concatenated, on ids and preferences that
            stay at their random start.
    """

    name: Literal["mmgcn"] = "mmgcn"
    num_layers: int | None = Field(default=None, ge=1)
    combine: Joined | None = None
    latent_dim: int = Field(default=256, ge=0)
    trainable_ids: bool | None = None
    preset: Literal["paper", "as_released"] = "paper"

    @property
    def depth(self) -> int:
        """Number of layers."""
        return self.num_layers or (2 if self.preset == "paper" else 3)

    @property
    def joined(self) -> Joined:
        """Form of a layer."""
        return self.combine or ("add" if self.preset == "paper" else "concat")

    @property
    def learns_ids(self) -> bool:
        """Whether ids and preferences are trained."""
        return self.preset == "paper" if self.trainable_ids is None else self.trainable_ids


class MMGCN(PreferenceRecommender):
    r"""Propagate preferences and content modality by modality, tied together by the ids, and add the results up.

    .. math::
        x^{m,0} = \mathrm{norm}([T_m; X_m W_m]), \quad x^{m,l} = \mathrm{MMGCNConv}_{m,l}(x^{m,l-1}, H),
        \quad Z = \sum_m x^{m,L}

    :math:`T_m` are the users' preferences, as wide as the content beside them, and :math:`H` the ids of users and
    items, which every layer of every modality adds. The layer is :class:`mmgraph.nn.MMGCNConv`. An item that lacks a
    modality starts from zero there, receives from its users, and stays one of those their mean is over.

    Source: Wei et al., 2019 (MMGCN). Unit rows, biases and the projection of wide features are of the released code,
    which projects the image alone and keeps the other features at their width. There neither ids nor preferences are
    parameters: ``preset="as_released"``. The penalty is on the preferences in all modalities, where that code takes the
    first.

    Example:
        >>> from mmgraph.testing import checkerboard_graph
        >>> model = MMGCN(checkerboard_graph(), MMGCNConfig(embedding_dim=4)).eval()
        >>> model.encode().item.shape
        torch.Size([12, 4])
    """

    Config = MMGCNConfig
    paper = Paper(
        "Wei et al.",
        2019,
        "MMGCN: Multi-modal Graph Convolution Network for Personalized Recommendation of Micro-video",
    )
    modality_fusion = "joint"
    config: MMGCNConfig

    def __init__(self, graph: HeteroData, config: MMGCNConfig) -> None:
        def width(raw: int) -> int:
            return min(raw, config.latent_dim or raw)

        def encoder(raw: int) -> nn.Module:
            return ModalityEncoder(raw, width(raw)) if width(raw) < raw else nn.Identity()

        super().__init__(graph, config, encoder=encoder, width=width)
        self.adjacency = user_item_adjacency(graph)
        dim, joined = config.embedding_dim, config.joined
        self.layers = nn.ModuleList(
            nn.ModuleList(
                MMGCNConv(dim if depth else first, dim, combine=joined)
                for depth in range(config.depth)
            )
            for first in self.widths
        )
        if not config.learns_ids:
            freeze_parameters(self, "user_embedding", "item_embedding", "user_preference")

    @classmethod
    def graph_defaults(cls, config: MMGCNConfig) -> dict[str, Any]:
        """Return the mean over neighbours."""
        return {"ui_norm": "rw"}

    def encode(self) -> Embeddings:
        """Return the sum over the modalities, or their mean."""
        ids, total = torch.cat(self.ego), []
        for pair, layers in zip(self.start(), self.layers, strict=True):
            x = torch.cat(pair)
            for layer in cast(nn.ModuleList, layers):
                x = layer(x, ids, self.adjacency)
            total.append(x)
        stacked = torch.stack(total)
        final = stacked.sum(dim=0) if self.config.preset == "paper" else stacked.mean(dim=0)
        return Embeddings(*final.split([self.num_users, self.num_items]))

    def penalties(self, batch: Batch, rows: Rows) -> dict[str, Tensor]:
        """Return ``reg`` on ids and preferences, if they learn and it has a weight."""
        return super().penalties(batch, rows) if self.config.learns_ids else {}
