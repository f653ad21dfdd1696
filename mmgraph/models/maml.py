"""MAML: a metric space in which every pair of a user and an item has its own scale of the dimensions."""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from mmgraph.models.base import ModelConfig, Paper, Recommender, Stage
from mmgraph.models.batch import Batch, Embeddings, distinct_items
from mmgraph.models.inputs import required_features
from mmgraph.nn import (
    ContentProjector,
    DimensionAttention,
    clip_rows,
    covariance_penalty,
    rank_weighted_hinge,
)


class MAMLConfig(ModelConfig):
    """Options of MAML.

    Attributes:
        preset: ``paper``, or ``as_released``: attention and projection stay as they were drawn, no dropout, the
            features of all items in every step, and covariances summed with their signs.
        embedding_dim: Width K of the space.
        hidden_dim: Width of the first layer of the projection; the others are half as wide.
        num_negatives: Sampled items for each positive one.
        margin: By how much they should be farther from the user.
        max_norm: Radius of the ball all points are kept in.
        dropout: Share of the projection's hidden numbers left out in training.
        attention_dropout: The same of the attention.
        unit_features: Whether each modality is L2-normalised first; raw features can outweigh each other.
        feature_weight: Weight of the distance between an item and its projected features.
        covariance_weight: Weight of the penalty on dimensions that vary together.
    """

    name: Literal["maml"] = "maml"
    preset: Literal["paper", "as_released"] = "paper"
    embedding_dim: int = Field(default=64, ge=1)
    hidden_dim: int = Field(default=256, ge=1)
    num_negatives: int = Field(default=4, ge=1)
    margin: float = Field(default=1.6, ge=0)
    max_norm: float = Field(default=1.0, gt=0)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    attention_dropout: float = Field(default=0.05, ge=0, lt=1)
    unit_features: bool = True
    feature_weight: float = Field(default=5.0, ge=0)
    covariance_weight: float = Field(default=5.0, ge=0)


class MAML(Recommender):
    r"""Score by the distance of the points of user and item, in the metric that attention gives the pair.

    .. math::
        \hat y_{ui} = -\lVert a_{ui} \odot (p_u - q_i)\rVert^2, \quad
        \mathcal L = \mathcal L_m + \lambda_f\, \mathrm{mean}_i \lVert q_i - z_i\rVert^2
        + \lambda_c \sum_{a \ne b} C_{ab}^2

    :math:`a_{ui}` is :class:`mmgraph.nn.DimensionAttention`, :math:`\mathcal L_m`
    :func:`mmgraph.nn.rank_weighted_hinge`, :math:`z_i` :class:`mmgraph.nn.ContentProjector`, and :math:`C` the
    covariance of all points. Points start at :math:`z_i` and are moved back into the ball after every step. An item
    without any modality starts anywhere, has :math:`z_i = 0` in the attention and no distance to its features.

    Source: Liu et al., 2019 (MAML), eqs. (1)-(16), and its code for the widths, the dropout and the start. The distance
    to the features is the mean over the items of the batch that have any; the sum over all, of the code, is
    ``as_released``, all of whose terms are divided by the size of the batch.

    Example:
        >>> from mmgraph.testing import checkerboard_graph
        >>> model = MAML(checkerboard_graph(), MAMLConfig(embedding_dim=4, hidden_dim=8)).eval()
        >>> model.encode().item.shape, model.retrieval_embeddings() is None
        (torch.Size([12, 8]), True)
    """

    Config = MAMLConfig
    paper = Paper(
        "Liu et al.",
        2019,
        "User Diverse Preference Modeling by Multimodal Attentive Metric Learning",
    )
    modality_fusion = "joint"
    scorer = "pairwise"
    config: MAMLConfig

    def __init__(self, graph: HeteroData, config: MAMLConfig) -> None:
        super().__init__(graph, config)
        self.released = config.preset == "as_released"
        dim, scale = config.embedding_dim, 1 / math.sqrt(config.embedding_dim)
        self.user_embedding = nn.Parameter(scale * torch.randn(self.num_users, dim))
        self.item_embedding = nn.Parameter(scale * torch.randn(self.num_items, dim))
        self.content = ContentProjector(
            required_features(graph, config),
            dim,
            hidden_dim=config.hidden_dim,
            dropout=0.0 if self.released else config.dropout,
            max_norm=config.max_norm,
            unit=config.unit_features,
        )
        self.attention = DimensionAttention(
            dim, dropout=0.0 if self.released else config.attention_dropout
        )
        with torch.no_grad():
            has = self.content.has()
            self.item_embedding[has] = self.content.eval()()[has]
        self.train()
        self.after_step()

    @property
    def num_negatives(self) -> int:
        """As configured."""
        return self.config.num_negatives

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One stage, in which, as released, the points alone learn."""
        config = self.config
        weights = {"feature": config.feature_weight, "covariance": config.covariance_weight}
        points = ("user_embedding", "item_embedding")
        return (Stage(loss_weights=weights, parameters=points if self.released else ("",)),)

    def encode(self) -> Embeddings:
        """Return the points of users; those of items and of their features, side by side."""
        return Embeddings(
            self.user_embedding, torch.cat([self.item_embedding, self.content()], dim=1)
        )

    def score(self, users: Tensor, embeddings: Embeddings | None = None) -> Tensor:
        """Return the negative distances of all items, in blocks of pairs."""
        user, item = self.encode() if embeddings is None else embeddings
        return self.attention.scores(user[users], *item.chunk(2, dim=1))

    def retrieval_embeddings(self) -> None:
        """Return that there are none: each pair has a metric of its own."""
        return None

    def item_vectors(self) -> Tensor:
        """Return the points of items."""
        return self.item_embedding

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return ``hinge``, and ``feature`` and ``covariance`` if they have a weight."""
        config, size = self.config, len(batch.user)
        items, places = distinct_items(batch)
        point, content = self.item_embedding.index_select(0, items), self.content(items)
        users = self.user_embedding.index_select(0, batch.user)
        asking, asked = self.attention.sides(users, point, content)
        place = torch.cat([places.positive[:, None], places.negative.view(size, -1)], dim=1)
        distance = self.attention.distances(asking.unsqueeze(1), asked.rows(place))
        positive, negative = distance[:, 0], distance[:, 1:]
        hinge = rank_weighted_hinge(
            positive, negative, margin=config.margin, num_items=self.num_items
        )
        terms = {"hinge": hinge}
        if config.feature_weight and self.released:
            apart = (self.item_embedding - self.content()).square().sum(dim=1)
            terms["feature"] = (apart * self.content.has()).sum() / size
        elif config.feature_weight:
            has = self.content.has(items)
            apart = (point - content).square().sum(dim=1)
            terms["feature"] = (apart * has).sum() / has.sum().clamp(min=1)
        if config.covariance_weight:
            points = torch.cat([self.item_embedding, self.user_embedding])
            spread = covariance_penalty(points, signed=self.released)
            terms["covariance"] = spread / size if self.released else spread
        return terms

    def after_step(self) -> None:
        """Move points outside of the ball back to it."""
        with torch.no_grad():
            for table in (self.user_embedding, self.item_embedding):
                table.copy_(clip_rows(table, self.config.max_norm))
