"""MICRO: an item graph for each modality, fused after the messages, with a contrastive term between both."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch_geometric.data import HeteroData

from mmgraph.models.base import Paper
from mmgraph.models.batch import Batch, Embeddings, Rows, distinct_items, rows_of
from mmgraph.models.contrastive import Contrastive, ContrastiveConfig
from mmgraph.models.latent_structure import LatentStructure, LatentStructureConfig
from mmgraph.models.terms import RowsAndTerms
from mmgraph.nn import QueryAttention, info_nce, normalize_rows
from mmgraph.nn.learned_graphs import ItemGraph


class MICROConfig(LatentStructureConfig, ContrastiveConfig):
    """Options of MICRO; see also ``LatentStructureConfig``.

    Attributes:
        contrast_weight: Weight of the contrast between each modality and the fused items; 0 leaves it out.
        temperature: Of the contrast.
        contrast_items: Contrasted are ``all`` items in each step, or the distinct ones of the ``batch``, which is no
            longer of quadratic cost in the size of the catalogue.
    """

    name: Literal["micro"] = "micro"
    contrast_weight: float = Field(default=0.03, ge=0)
    temperature: float = Field(default=0.5, gt=0)
    contrast_items: Literal["all", "batch"] = "all"
    reg_weight: float = Field(default=1e-5, ge=0)


class MICRO(Contrastive, LatentStructure):
    r"""LightGCN whose items also receive one message for each modality, fused by attention.

    .. math::
        h_m = (\lambda S_m^0 + (1-\lambda) S_m)^{L_i} Q, \quad h = \sum_m \alpha_m h_m, \quad
        Z_I = \bar V + h / \lVert h \rVert_2, \quad
        \mathcal{L} = \mathcal{L}_{BPR} + \beta \sum_m \mathcal{C}(h_m, h)

    with the graphs of LATTICE, kept apart, the weights :math:`\alpha` of :class:`mmgraph.nn.QueryAttention`, and
    :math:`\mathcal{C}` the mean of :func:`mmgraph.nn.info_nce` in which the other items' fused and own vectors are
    negatives. Graphs are chosen anew at the first batch of an epoch, which alone reaches the projections.

    Source: Zhang et al., 2022 (MICRO). The released code propagates with ``rw_self``: ``preset="as_released"``. Here a
    modality that an item lacks gets no attention, and the item is no part of its contrast; features stay as they are,
    where that code trains them.

    Example:
        >>> from mmgraph.testing import checkerboard_graph
        >>> model = MICRO(checkerboard_graph(), MICROConfig(embedding_dim=4, k=3)).eval()
        >>> model.encode().item.shape
        torch.Size([12, 4])
    """

    Config = MICROConfig
    paper = Paper(
        "Zhang et al.",
        2022,
        "Latent Structure Mining with Contrastive Modality Fusion for Multimedia Recommendation",
    )
    modality_fusion = "joint"
    config: MICROConfig

    def __init__(self, graph: HeteroData, config: MICROConfig) -> None:
        super().__init__(graph, config)
        self.attention = QueryAttention(config.embedding_dim, len(self.content.names))

    def item_graphs(self) -> list[ItemGraph]:
        """Return the mixed graph of each modality; gradients reach the projections."""
        content, skip = self.content, self.config.skip
        raw = [[(edges, skip * weight)] for edges, weight in content.raw()]
        if self.config.learns:
            learned = map(content.normalized, content.chosen())
            raw = [
                [*one, (edges, (1 - skip) * weight)]
                for one, (edges, weight) in zip(raw, learned, strict=True)
            ]
        return [content.mixed(graphs) for graphs in raw]

    def encode(self) -> Embeddings:
        """Return LightGCN's users, and its items plus the unit fused message."""
        return self._encode(self.item_graphs())[0]

    def batch_rows(self, batch: Batch) -> Rows:
        """Return rows over the item graphs of the epoch, and the contrast of their messages."""
        final, messages, fused = self._encode(self.epoch_graphs())
        terms = {}
        if self.config.contrast_weight:
            items = distinct_items(batch)[0] if self.config.contrast_items == "batch" else None
            terms["contrast"] = self._contrast(messages, fused, items)
        return RowsAndTerms.of(rows_of(final, batch), terms)

    def _contrast(self, messages: list[Tensor], fused: Tensor, items: Tensor | None) -> Tensor:
        if items is not None:
            messages = [message.index_select(0, items) for message in messages]
            fused = fused.index_select(0, items)
        terms = [
            info_nce(own, fused, temperature=self.config.temperature, present=has, intra=True)
            for own, has in zip(messages, self.content.has(items).values(), strict=True)
        ]
        return torch.stack(terms).sum()

    def _encode(self, graphs: list[ItemGraph]) -> tuple[Embeddings, list[Tensor], Tensor]:
        user, item = self.propagation(*self.ego)
        messages = [self.item_layers(self.item_embedding, *graph) for graph in graphs]
        fused = self.attention(messages, [*self.content.present])
        return Embeddings(user, item + normalize_rows(fused)), messages, fused
