"""LGMRec: local user-item vectors with modality-smoothed ones, and global ones over learned hypergraphs."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from mmgraph.models.base import Paper
from mmgraph.models.batch import Batch, Embeddings, Rows, rows_of
from mmgraph.models.contrastive import Contrastive, ContrastiveConfig
from mmgraph.models.inputs import items_of_users, required_features, user_item_adjacency
from mmgraph.models.terms import RowsAndTerms
from mmgraph.nn import (
    BufferList,
    ModalityEncoder,
    ModalityEncoders,
    ModalityHypergraphs,
    UserItemPropagation,
    normalize_rows,
    pairwise_info_nce,
)
from mmgraph.nn.encoders import Init
from mmgraph.nn.regularizers import Penalty
from mmgraph.sparse import matmul


class LGMRecConfig(ContrastiveConfig):
    """Options of LGMRec.

    Attributes:
        num_layers: Depth on the user-item graph for the ids.
        num_modality_layers: Depth on it for the content.
        num_hyper_layers: How often vectors pass through the hyperedges.
        num_hyperedges: Hyperedges of each modality.
        dropout: Share of the memberships in hyperedges left out in training.
        alpha: Weight of the global vectors.
        contrast_weight: Weight of the contrast between the modalities' global vectors; 0 leaves it out.
        contrast_reduction: ``sum`` over the batch, as published, or ``mean``, whose weight does not depend on its size.
        temperature: Of the memberships and of the contrast.
        unit_features: Whether each modality is L2-normalised first; long raw features make memberships all or nothing
            from the start.
    """

    name: Literal["lgmrec"] = "lgmrec"
    num_layers: int = Field(default=2, ge=0)
    num_modality_layers: int = Field(default=2, ge=0)
    num_hyper_layers: int = Field(default=1, ge=1)
    num_hyperedges: int = Field(default=4, ge=1)
    dropout: float = Field(default=0.5, ge=0, lt=1)
    alpha: float = Field(default=0.3, ge=0)
    contrast_weight: float = Field(default=1e-4, ge=0)
    contrast_reduction: Literal["sum", "mean"] = "sum"
    unit_features: bool = True
    reg_weight: float = Field(default=1e-6, ge=0)
    reg_kind: Penalty = "norm"
    reg_rows: Literal["ego", "final"] = "final"
    init: Init = "xavier_uniform"


class LGMRec(Contrastive):
    r"""LightGCN plus the unit content of each modality, smoothed, plus what passes through its soft hyperedges.

    .. math::
        G_m = \hat A^{L_m} [D_U^{-1} R X_m W_m; X_m W_m], \quad
        (u_m, i_m) = \mathrm{HGNN}(H_I^m, H_U^m, \bar V), \quad
        Z = [\bar U; \bar V] + \sum_m \mathrm{norm}(G_m) + \alpha\, \mathrm{norm}\big(\sum_m [u_m; i_m]\big)

    The memberships :math:`H_I^m` and :math:`H_U^m` are softmaxes of :math:`X_m V_m` and :math:`R X_m V_m`, see
    :class:`mmgraph.nn.SoftHypergraph`. The contrast is that of :func:`mmgraph.nn.info_nce` between the global vectors
    of two modalities, for the users and for the positive items of the batch among all users and items.

    Source: Guo et al., 2024 (LGMRec), and its code for the noise of the memberships and the sum over the batch. That
    code adds the noise in evaluation, too; here two encodings agree. The paper takes features raw
    (``unit_features=False``). It knows two modalities: more are contrasted pair by pair, the earlier one looking for
    the later one, and a single one not at all. An item that lacks a modality starts from zero in it, is left out of its
    users' mean, and belongs to none of its hyperedges, like a user without any item that has it.

    Example:
        >>> from mmgraph.testing import checkerboard_graph
        >>> model = LGMRec(checkerboard_graph(), LGMRecConfig(embedding_dim=4)).eval()
        >>> model.encode().item.shape
        torch.Size([12, 4])
    """

    Config = LGMRecConfig
    paper = Paper(
        "Guo et al.", 2024, "LGMRec: Local and Global Graph Learning for Multimodal Recommendation"
    )
    modality_fusion = "joint"
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "w/o GHE": {"model.alpha": 0.0, "model.contrast_weight": 0.0},
        "w/o HCL": {"model.contrast_weight": 0.0},
    }
    config: LGMRecConfig

    def __init__(self, graph: HeteroData, config: LGMRecConfig) -> None:
        super().__init__(graph, config, init=config.init)
        features, adjacency = required_features(graph, config), user_item_adjacency(graph)
        self.propagation = UserItemPropagation(adjacency, num_layers=config.num_layers)
        self.smoothing = UserItemPropagation(
            adjacency, num_layers=config.num_modality_layers, combine="last"
        )
        self.histories = items_of_users(graph, weighted=False)
        # The contrast needs two modalities; without it and without a weight nothing reads the hyperedges.
        self.contrasted = config.contrast_weight > 0 and len(features) > 1
        self.widths = [config.embedding_dim]
        if self.contrasted or config.alpha:
            self.widths.append(config.num_hyperedges)
        self.content = ModalityEncoders(features, self._projection, unit=config.unit_features)
        self.hypergraphs = ModalityHypergraphs(
            temperature=config.temperature,
            dropout=config.dropout,
            num_layers=config.num_hyper_layers,
        )
        has = torch.stack([has for _, has in features.values()], dim=1)
        counts = matmul(self.histories, has.float())
        self.counts, self.has = BufferList([counts]), BufferList([counts > 0, has])

    def encode(self) -> Embeddings:
        """Return the sum of local and global vectors."""
        return self._encode()[0]

    def batch_rows(self, batch: Batch) -> Rows:
        """Return its rows, and the contrast between the modalities."""
        (final, hyper), terms = self._encode(), {}
        if self.contrasted:
            sides = zip(hyper, self.has, (batch.user, batch.positive), strict=True)
            contrasts = [
                pairwise_info_nce(
                    vectors,
                    rows,
                    present=has.unbind(dim=1),
                    temperature=self.config.temperature,
                    reduction=self.config.contrast_reduction,
                )
                for vectors, has, rows in sides
            ]
            terms["contrast"] = torch.stack(contrasts).sum()
        return RowsAndTerms.of(rows_of(final, batch), terms)

    def _encode(self) -> tuple[Embeddings, Sequence[list[Tensor]]]:
        """Return the final vectors, and the global ones of each modality, for users and for items."""
        behaviour, item = self.propagation(*self.ego), [*self.content().values()]
        user = matmul(self.histories, torch.cat(item, dim=1)).split(sum(self.widths), dim=1)
        dim, counts = self.widths[0], self.counts[0].clamp(min=1).split(1, dim=1)
        means = [x[:, :dim] / count for x, count in zip(user, counts, strict=True)]
        content = [x[:, :dim] for x in item]
        smooth = self.smoothing(torch.cat(means, dim=1), torch.cat(content, dim=1))
        final = [
            torch.stack([own, *map(normalize_rows, parts.split(dim, dim=1))]).sum(dim=0)
            for own, parts in zip(behaviour, smooth, strict=True)
        ]
        if len(self.widths) == 1:
            return Embeddings(*final), ()
        logits = [[x[:, dim:] for x in side] for side in (user, item)]
        hyper = self.hypergraphs(behaviour[1], *logits, [has.unbind(dim=1) for has in self.has])
        if self.config.alpha:
            for side, parts in enumerate(hyper):
                unit = normalize_rows(torch.stack(parts).sum(dim=0))
                final[side] = final[side] + self.config.alpha * unit
        return Embeddings(*final), hyper

    def _projection(self, width: int) -> nn.Module:
        """Return one matrix for content and memberships, each part drawn as if it stood alone."""
        encoder = ModalityEncoder(width, sum(self.widths), bias=False)
        for block in encoder.linear.weight.detach().split(self.widths):
            nn.init.xavier_uniform_(block)
        return encoder
