"""BM3: two views of every vector, one of them with numbers left out; no negative items."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor
from torch_geometric.data import HeteroData

from mmgraph.models.base import EmbeddingConfig, IdRecommender, Paper, Stage
from mmgraph.models.batch import Batch, Embeddings
from mmgraph.models.inputs import required_features, user_item_adjacency
from mmgraph.models.terms import OwnCriterion
from mmgraph.nn import (
    ModalityEncoder,
    ModalityEncoders,
    UserItemPropagation,
    cosine_loss,
    l2_penalty,
)
from mmgraph.nn.encoders import Init, affine
from mmgraph.nn.regularizers import Penalty


class BM3Config(EmbeddingConfig):
    """Options of BM3.

    Attributes:
        num_layers: Depth on the user-item graph.
        dropout: Share of the numbers left out of the view that is the target.
        cl_weight: Weight of the two terms on content; 0 leaves the projections out.
        train_features: Whether the features are trained. They have far more numbers than the rest of the model, all of
            which Adam moves in every step, and no publication claims that they should.
        preset: ``paper``, or ``as_released``, which trains the features.
        reg_kind: Of the penalty, which is on the smoothed rows of all users and items.
    """

    name: Literal["bm3"] = "bm3"
    num_layers: int = Field(default=1, ge=0)
    dropout: float = Field(default=0.5, ge=0, lt=1)
    cl_weight: float = Field(default=2.0, ge=0)
    train_features: bool = False
    preset: Literal["paper", "as_released"] = "paper"
    reg_weight: float = Field(default=0.1, ge=0)
    reg_kind: Penalty = "norm"
    reg_rows: Literal["final"] = "final"
    init: Init = "xavier_uniform"


class BM3(OwnCriterion, IdRecommender):
    r"""Predict, from each vector of a user and an item that met, the other's; and an item's own from its content.

    .. math::
        H_U = \bar U, \quad H_I = \bar V + V, \quad H_m = X_m W_m + b_m, \quad
        \hat y_{ui} = \langle f(H_u), f(H_i)\rangle

    .. math::
        \mathcal L = C(f(H_u), H_i') + C(f(H_i), H_u')
        + \lambda \sum_m \big[C(f(H_i^m), H_i') + C(f(H_i^m), {H_i^m}')\big] + \beta\,
        (\lVert H_U\rVert_F + \lVert H_I\rVert_F) / I

    :math:`\bar U, \bar V` are LightGCN's mean layers, :math:`f` one affine layer for all, :math:`C` one less the mean
    cosine over the batch's pairs. A primed vector is a target: a part of its numbers left out in training, and no
    gradient. Negative items play no part. Only the batch's users and items are projected and predicted from, each once.

    Source: Zhou et al., 2023 (BM3), the three objectives, and its code for the penalty and for the features, which it
    trains: ``preset="as_released"``. Affine layers start Xavier-uniform with zero bias. The paper knows no missing
    modality: here the pairs of an item that lacks one are left out of that modality's terms.

    Example:
        >>> from mmgraph.testing import checkerboard_graph
        >>> model = BM3(checkerboard_graph(), BM3Config(embedding_dim=4)).eval()
        >>> model.encode().item.shape
        torch.Size([12, 4])
    """

    Config = BM3Config
    paper = Paper(
        "Zhou et al.", 2023, "Bootstrap Latent Representations for Multi-modal Recommendation"
    )
    modality_fusion = "joint"
    ranking_term = "rec"
    config: BM3Config

    def __init__(self, graph: HeteroData, config: BM3Config) -> None:
        super().__init__(graph, config, init=config.init)
        features = required_features(graph, config)
        self.propagation = UserItemPropagation(
            user_item_adjacency(graph), num_layers=config.num_layers
        )
        self.predictor = affine(config.embedding_dim, config.embedding_dim)
        self.content: ModalityEncoders | None = None
        if config.cl_weight:
            self.content = ModalityEncoders(
                features,
                lambda width: ModalityEncoder(width, config.embedding_dim),
                trainable=config.train_features or config.preset == "as_released",
            )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One stage, with the configured weights of content and penalty."""
        config = self.config
        weights = {"align": config.cl_weight, "mask": config.cl_weight, "reg": config.reg_weight}
        return (Stage(loss_weights=weights),)

    def _terms(self, batch: Batch, state: Embeddings) -> dict[str, Tensor]:
        """Return ``rec``, of users and items; ``align`` and ``mask``, of content; ``reg``; each if it has a weight."""
        user, item = state
        users, of_user = batch.user.unique(return_inverse=True)
        items, of_item = batch.positive.unique(return_inverse=True)
        user_online, user_target = self._views(user.index_select(0, users), of_user)
        item_online, item_target = self._views(item.index_select(0, items), of_item)
        there, back = cosine_loss(user_online, item_target), cosine_loss(item_online, user_target)
        terms = {"rec": there + back}
        if self.content is not None:
            aligned, masked = [], []
            has = self.content.has(batch.positive)
            for name, rows in self.content(items).items():
                online, target = self._views(rows, of_item)
                aligned.append(cosine_loss(online, item_target, has[name]))
                masked.append(cosine_loss(online, target, has[name]))
            terms |= {"align": torch.stack(aligned).sum(), "mask": torch.stack(masked).sum()}
        if self.config.reg_weight:
            # Of two tables, the rows of the first one are counted.
            terms["reg"] = l2_penalty([item, user], kind=self.config.reg_kind)
        return terms

    def _vectors(self, state: Embeddings) -> Embeddings:
        """Return what the predictor makes of the smoothed rows."""
        return Embeddings(*map(self.predictor, state))

    def _state(self) -> Embeddings:
        """Return the smoothed rows."""
        user, item = self.propagation(*self.ego)
        return Embeddings(user, item + self.item_embedding)

    def _views(self, rows: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Return, at each place, what the predictor makes of a row, and the row with numbers left out."""
        target = F.dropout(rows.detach(), self.config.dropout, self.training)
        online = self.predictor(rows)
        return online.index_select(0, places), target.index_select(0, places)
