"""MARIO: a recommender whose items are, for each user, another mix of interactions and modalities."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch_geometric.data import HeteroData

from mmgraph.graph.schema import USER_ITEM
from mmgraph.models.backbone import Wrapper, WrapperConfig
from mmgraph.models.base import Paper, Stage
from mmgraph.models.batch import Batch, Embeddings, Rows, distinct_items
from mmgraph.models.inputs import required_features
from mmgraph.nn import (
    BufferList,
    ModalityDecoders,
    ModalityEncoder,
    ModalityEncoders,
    ModalityPooling,
)
from mmgraph.nn.decoders import Reduction
from mmgraph.nn.heads import AttentionKind, PartFusion, part_head


class MARIOConfig(WrapperConfig):
    """Options of MARIO; ``backbone`` is the model that learns from the interactions.

    Attributes:
        mu: Weight of the modality preservation; without it there are no decoders.
        mp_reduction: ``mean`` over items and columns, or ``sum``; ``mu`` means nothing without it.
        fusion: ``attention`` by user; ``max_hard`` leaves each pair the part with the largest inner product; ``mean``,
            ``max`` and ``fc`` are the same for all users.
        attention: Form of the logits; see ``mmgraph.nn.ModalityAttention``.
        unit_features: Whether each modality is L2-normalised first; raw features can outweigh the interactions.
        enc_layers: Layers of an encoder; two have four times the width between them.
        enc_norm: Whether encoded rows have length 1.
        dropout: Share of the encoded numbers left out in training.
        decoder_relu: Whether decoded features are never below zero.
    """

    name: Literal["mario"] = "mario"
    mu: float = Field(default=0.1, ge=0)
    mp_reduction: Reduction = "mean"
    fusion: PartFusion = "attention"
    attention: AttentionKind = "scaled_dot"
    unit_features: bool = True
    enc_layers: Literal[1, 2] = 1
    enc_norm: bool = False
    dropout: float = Field(default=0.0, ge=0, lt=1)
    decoder_relu: bool = False


class MARIO(Wrapper):
    r"""Give every user an item vector of their own: its parts, weighed by attention with the user as the query.

    .. math::
        v_{ij} = \sum_{m \in \{IN, \dots\}} a_{ij}^m \bar v_j^m, \quad \hat y_{ij} = \langle u_i, v_{ij}\rangle,
        \quad \mathcal L = \mathcal L_{BPR} + \mu \mathcal L_{MP} + \text{the backbone's penalties}

    The part :math:`IN` and the user are the backbone's, the others are encoded features, as wide. A modality that an
    item lacks is no part of it. Training encodes the items of the batch only.

    Source: Kim et al., 2022 (MARIO): follows the authors' slides; the forms of attention, encoders and decoders are
    our readings, see :class:`mmgraph.nn.ModalityAttention` and :class:`mmgraph.nn.ModalityDecoders`.

    Example:
        >>> from mmgraph.testing import checkerboard_graph
        >>> model = MARIO(checkerboard_graph(), MARIOConfig(backbone={"embedding_dim": 4})).eval()
        >>> model.encode().item.shape, model.retrieval_embeddings() is None
        (torch.Size([12, 12]), True)
    """

    Config = MARIOConfig
    paper = Paper(
        "Kim et al.",
        2022,
        "MARIO: Modality-Aware Attention and Modality-Preserving Decoders for Multimedia Recommendation",
    )
    modality_fusion = "joint"
    scorer = "pairwise"
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "mean": {"model.fusion": "mean"},
        "max": {"model.fusion": "max"},
        "fc": {"model.fusion": "fc"},
        "mu = 0": {"model.mu": 0.0},
    }
    config: MARIOConfig

    def __init__(self, graph: HeteroData, config: MARIOConfig) -> None:
        super().__init__(graph, config)
        features = required_features(graph, config)
        with torch.no_grad():
            self.dim = self.backbone.eval().encode().item.size(1)
        self.train()
        encoder = partial(
            ModalityEncoder,
            out_dim=self.dim,
            hidden_dim=None if config.enc_layers == 1 else 4 * self.dim,
            unit=config.enc_norm,
            dropout=config.dropout,
        )
        self.encoders = ModalityEncoders(features, encoder, unit=config.unit_features)
        self.head = part_head(
            config.fusion, self.dim, 1 + len(features), attention=config.attention
        )
        self.decoders = None
        if config.mu:
            self.decoders = ModalityDecoders(
                self.encoders, self.dim, relu=config.decoder_relu, reduction=config.mp_reduction
            )
        # Whose users stand for an item where none is known.
        self.interactions = BufferList([graph[USER_ITEM].edge_index])

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The backbone's stage, with the weight of the preservation."""
        weights = {"preservation": self.config.mu} if self.config.mu else {}
        return (self.stage_with(**weights),)

    def encode(self) -> Embeddings:
        """Return users, and all parts of the items side by side, or the one vector that pooling makes of them."""
        user, item = self.backbone.encode()
        parts = [item, *self.encoders().values()]
        return Embeddings(user, self.head.stored(parts, self._present()))

    def score(self, users: Tensor, embeddings: Embeddings | None = None) -> Tensor:
        """Return the scores of all items; by attention without a vector for each pair."""
        vectors = self.encode() if embeddings is None else embeddings
        return self.head.scores(vectors.user[users], vectors.item, self._present())

    def retrieval_embeddings(self) -> Embeddings | None:
        """Return pooled vectors; none by attention, where an item is another vector for each user."""
        return self.encode() if isinstance(self.head, ModalityPooling) else None

    def batch_rows(self, batch: Batch) -> Rows:
        """Return the users and what the items are to them; its distinct items alone are encoded."""
        return self._scored(batch)[0]

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return ``bpr``, the penalties of the backbone on its own rows, and ``preservation`` if it has a weight."""
        rows, inside, items, encoded = self._scored(batch)
        terms = {
            "bpr": self.backbone.criterion(*rows.scores()),
            **self.backbone.penalties(batch, inside),
        }
        if self.decoders is not None:
            terms["preservation"] = self.decoders(encoded, items, self.encoders)
        return terms

    def modality_influence(self, users: Tensor, items: Tensor) -> dict[str, Tensor]:
        """Return the attention of each pair; nothing where pooling takes its place."""
        if isinstance(self.head, ModalityPooling):
            return {}
        user, item = self.encode()
        parts = item.index_select(0, items).split(self.dim, dim=1)
        weights = self.head.weights(user.index_select(0, users), parts, self._present(items))
        return dict(zip(["interactions", *self.encoders.names], weights.T, strict=True))

    def item_vectors(self) -> Tensor:
        """Return the parts weighed by the mean attention of the item's training users, or the pooled vectors."""
        user, item = self.encode()
        return self.head.mean_vectors(self.interactions[0], user, item, self._present())

    def modality_vectors(self) -> dict[str, Tensor]:
        """Return the encoded modalities."""
        return dict(self.encoders())

    def _present(self, items: Tensor | None = None) -> list[Tensor]:
        """Return which parts some items have, or all; the interactions are always there."""
        masks = [*self.encoders.has(items).values()]
        return [torch.ones_like(masks[0]), *masks]

    def _scored(self, batch: Batch) -> tuple[Rows, Rows, Tensor, dict[str, Tensor]]:
        """Return the rows of a batch, those of the backbone, and its distinct items with their modalities."""
        inside = self.backbone.batch_rows(batch)
        items, places = distinct_items(batch)
        encoded, present = self.encoders(items), self._present(items)
        rows = [inside.user]
        for own, place in (
            (inside.positive, places.positive),
            (inside.negative, places.negative),
        ):
            parts = [own, *(x.index_select(0, place) for x in encoded.values())]
            masks = [has.index_select(0, place) for has in present]
            rows.append(self.head(inside.user, parts, masks))
        return Rows(*rows), inside, items, encoded
