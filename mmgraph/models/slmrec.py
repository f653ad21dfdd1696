"""SLMRec: ids and modalities smoothed side by side and joined, with self-supervised tasks between the views."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from mmgraph.models.base import Paper
from mmgraph.models.batch import Batch, Embeddings, Rows, renumbered, rows_of
from mmgraph.models.contrastive import Contrastive, ContrastiveConfig
from mmgraph.models.inputs import required_features, user_item_adjacency
from mmgraph.models.terms import RowsAndTerms
from mmgraph.nn import ModalityEncoder, ModalityEncoders, UserItemPropagation, info_nce
from mmgraph.nn.encoders import Init, affine


class SLMRecConfig(ContrastiveConfig):
    """Options of SLMRec.

    Attributes:
        num_layers: Depth on the user-item graph.
        temperature: Of the main criterion.
        ssl_task: ``fac`` aligns the ids with the modalities, one after the other; ``fd`` compares two encodings with
            gaps in the layers, ``fm`` two that each lack another view of the items, ``fd_fm`` two with both; ``none``.
        ssl_temperature: Of the task.
        contrast_weight: Weight of the task; 0 leaves it out.
        dropout: Share of each layer's output that ``fd`` leaves out.
        preset: ``paper``: each user and item of a batch once; ``as_released``: as often as the batch has them, as
            negatives of themselves.
    """

    name: Literal["slmrec"] = "slmrec"
    num_layers: int = Field(default=3, ge=0)
    ssl_task: Literal["none", "fac", "fd", "fm", "fd_fm"] = "fac"
    ssl_temperature: float = Field(default=0.2, gt=0)
    contrast_weight: float = Field(default=0.1, ge=0)
    dropout: float = Field(default=0.3, ge=0, lt=1)
    preset: Literal["paper", "as_released"] = "paper"
    reg_weight: float = Field(default=0.0, ge=0)
    init: Init = "xavier_uniform"


class SLMRec(Contrastive):
    r"""Smooth ids and each modality with the same users, join the views, and find the positive item among the batch's.

    .. math::
        G_v = \frac{1}{L+1} \sum_{l=0}^{L} \hat A^l [P; X_v], \quad
        Z_U = W_U [G_v]_v + b_U, \quad Z_I = W_I [G_v]_v + b_I, \quad
        \mathcal{L} = \mathcal{C}(Z_U, Z_I) + \alpha\, \mathcal{L}_{SSL}

    over the views :math:`v`: the ids, :math:`X_{id} = Q`, and the projected unit features of each modality. Both
    losses are :func:`mmgraph.nn.info_nce` within the batch, whose sampled negatives are not used; the main one goes by
    cosines, the ranking by inner products. ``fac``: with :math:`a_0 = G_{id}` and, for the modalities in their order,
    :math:`a_m = A_m a_{m-1} + \alpha_m`, it is the sum of the contrasts of :math:`a_m` with
    :math:`B_m G_m + \beta_m` by inner products, for the positive items. The others contrast joined users and items of
    two disturbed encodings.

    Source: Tao et al., 2022 (SLMRec), and its code. Its chain of tasks for image, sound and text is one of any number
    of modalities here, all of width d but the last of several, which has d/2. Its L2 term is that of the optimiser,
    ``training.weight_decay``. The view that ``fm`` leaves out may be the ids. A modality that an item lacks is a zero
    row that receives from the item's users; the item is no part of that modality's task.

    Example:
        >>> from mmgraph.testing import checkerboard_graph
        >>> model = SLMRec(checkerboard_graph(), SLMRecConfig(embedding_dim=4)).eval()
        >>> model.encode().item.shape
        torch.Size([12, 4])
    """

    Config = SLMRecConfig
    paper = Paper("Tao et al.", 2022, "Self-Supervised Learning for Multimedia Recommendation")
    modality_fusion = "joint"
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "w/o SSL": {"model.ssl_task": "none"},
        "FD": {"model.ssl_task": "fd"},
        "FM": {"model.ssl_task": "fm"},
        "FD+FM": {"model.ssl_task": "fd_fm"},
    }
    config: SLMRecConfig

    def __init__(self, graph: HeteroData, config: SLMRecConfig) -> None:
        super().__init__(graph, config, init=config.init)
        features, adjacency = required_features(graph, config), user_item_adjacency(graph)
        dim, self.num_views = config.embedding_dim, 1 + len(features)
        self.propagation = UserItemPropagation(adjacency, num_layers=config.num_layers)
        self.task = config.ssl_task if config.contrast_weight else "none"
        self.contrast = partial(info_nce, temperature=config.ssl_temperature)
        if self.task not in ("none", "fac"):
            gaps = config.dropout if "fd" in self.task else 0.0
            self.disturbed = UserItemPropagation(
                adjacency, num_layers=config.num_layers, dropout=gaps
            )
        self.content = ModalityEncoders(
            features, lambda width: ModalityEncoder(width, dim), unit=True
        )
        self.joined = nn.ModuleList(affine(self.num_views * dim, dim) for _ in range(2))
        widths = [dim] * len(features)
        if len(features) > 1:
            widths[-1] = max(1, dim // 2)
        if self.task != "fac":
            widths = []
        starts = [dim, *widths[:-1]]
        self.chain = nn.ModuleList(map(affine, starts, widths))
        self.aligned = nn.ModuleList(affine(dim, width) for width in widths)

    def encode(self) -> Embeddings:
        """Return the joined views."""
        return self._join(self.propagation(*self._views()))

    def batch_rows(self, batch: Batch) -> Rows:
        """Return the same of a batch, and the self-supervised term."""
        final, places, terms = self._batch(batch)
        return RowsAndTerms.of(rows_of(final, places), terms)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return ``main``, the contrast of users with their positive items, and the penalties."""
        final, places, terms = self._batch(batch)
        anchors, items, positive = final.user.index_select(0, places.user), places.positive, None
        if self.config.preset == "paper":
            items, positive = torch.unique(items, return_inverse=True)
        candidates = final.item.index_select(0, items)
        main = info_nce(anchors, candidates, positive, temperature=self.config.temperature)
        rows = RowsAndTerms.of(rows_of(final, places), terms)
        return {"main": main, **self.penalties(batch, rows)}

    def _batch(self, batch: Batch) -> tuple[Embeddings, Batch, dict[str, Tensor]]:
        """Return the vectors of the users and items of a batch, the batch by their places, and the term of the task."""
        users, items, places = renumbered(batch)
        user, item = self._views()
        smooth = _rows(self.propagation(user, item), users, items)
        chosen = places.user, places.positive
        if self.config.preset == "paper":
            chosen = torch.unique(places.user), torch.unique(places.positive)
        terms = {}
        if self.task == "fac":
            has = self.content.has(items.index_select(0, chosen[1])).values()
            terms["contrast"] = self._alignment(smooth.item.index_select(0, chosen[1]), has)
        elif self.task != "none":
            nodes = users.index_select(0, chosen[0]), items.index_select(0, chosen[1])
            terms["contrast"] = self._agreement(user, item, nodes)
        return self._join(smooth), places, terms

    def _views(self) -> tuple[Tensor, Tensor]:
        """Return the views of all users and items before they are smoothed, side by side."""
        items = [self.item_embedding, *self.content().values()]
        return self.user_embedding.repeat(1, len(items)), torch.cat(items, dim=1)

    def _join(self, smooth: Iterable[Tensor]) -> Embeddings:
        return Embeddings(*(linear(x) for linear, x in zip(self.joined, smooth, strict=True)))

    def _alignment(self, views: Tensor, present: Iterable[Tensor]) -> Tensor:
        """Return how well the ids of some items, changed step by step, agree with each of their modalities."""
        own, *others = views.split(self.config.embedding_dim, dim=1)
        terms = []
        for step, align, other, has in zip(self.chain, self.aligned, others, present, strict=True):
            own = step(own)
            terms.append(self.contrast(own, align(other), present=has, unit=False))
        return torch.stack(terms).sum()

    def _agreement(self, user: Tensor, item: Tensor, nodes: tuple[Tensor, Tensor]) -> Tensor:
        """Return how well two disturbed encodings of some users and items agree."""
        kept = torch.ones(2, self.num_views)
        if "fm" in self.task:
            kept[torch.arange(2), torch.randperm(self.num_views)[:2]] = 0.0
        columns = kept.to(item).repeat_interleave(self.config.embedding_dim, dim=1)
        both = torch.cat([item * column for column in columns], dim=1)
        smooth = _rows(self.disturbed(user.repeat(1, 2), both), *nodes)
        halves = zip(*(x.chunk(2, dim=1) for x in smooth), strict=True)
        pairs = zip(*(self._join(half) for half in halves), strict=True)
        return torch.stack([self.contrast(one, other) for one, other in pairs]).sum()


def _rows(vectors: Sequence[Tensor], users: Tensor, items: Tensor) -> Embeddings:
    """Return the vectors of some users and items."""
    user, item = vectors
    return Embeddings(user.index_select(0, users), item.index_select(0, items))
