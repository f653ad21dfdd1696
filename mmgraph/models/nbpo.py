"""NBPO: a criterion for any factorised model that allows for items a user likes and has not voted for."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch_geometric.data import HeteroData

from mmgraph.errors import ConfigError
from mmgraph.models import get_model
from mmgraph.models.backbone import Wrapper, WrapperConfig
from mmgraph.models.base import Paper, Recommender, Stage
from mmgraph.models.batch import Batch, Embeddings, Rows, distinct_items, items_of
from mmgraph.models.inputs import required_features
from mmgraph.nn import FlipFactors, NoisyLabelCriterion, l2_penalty, noisy_label_loss

_RELEASED_CLIP = 10.0


class NBPOConfig(WrapperConfig):
    """Options of NBPO; ``backbone`` is the model whose scores it teaches.

    Attributes:
        preset: ``paper``, or ``as_released``: a positive counts once for each of its negatives, chances beyond a logit
            of 10 are certain, and the penalty is on all flip factors.
        criterion: Form of the likelihood; see ``mmgraph.nn.noisy_label_loss``.
        num_negatives: Unvoted items drawn for each positive one.
        flip_dim: Width of the factors of the flip rate.
        flip_from: Whether an item's factors are a row of its own, or made from its features.
        flip_reg_weight: Weight of the penalty on the flip factors, which pulls flip rates towards one half.
    """

    name: Literal["nbpo"] = "nbpo"
    preset: Literal["paper", "as_released"] = "paper"
    criterion: NoisyLabelCriterion = "nbpo"
    num_negatives: int = Field(default=4, ge=1)
    flip_dim: int = Field(default=50, ge=1)
    flip_from: Literal["ids", "features"] = "ids"
    flip_reg_weight: float = Field(default=0.1, ge=0)

    @classmethod
    def check_backbone(cls, model: type[Recommender]) -> None:
        """Refuse also models with losses of their own: their scores of positive and negative items are not compared.

        Raises:
            ConfigError: it cannot serve.
        """
        super().check_backbone(model)
        if model.losses is not Recommender.losses:
            name = model.Config.model_fields["name"].default
            raise ConfigError(
                f"model.backbone must learn from scores of positive and negative items (got {name!r}, which has losses "
                "of its own); use another, such as 'lightgcn'"
            )


class NBPO(Wrapper):
    r"""Teach another model's scores by the likelihood of what was and of what was not voted for.

    .. math::
        P(\text{voted}) = (1 - \gamma_{ui})\, \sigma(R_{ui}), \quad
        P(\text{unvoted}) = \gamma_{ui}\, \sigma(R_{ui}) + 1 - \sigma(R_{ui}), \quad
        \gamma_{ui} = \sigma(\langle P_u, Q_i\rangle)

    The scores R are the backbone's; it keeps its penalties, on each positive with the first of its negatives, and gives
    up its criterion. Items are ranked by R alone. The loss of a positive is its own term and the mean over its
    negatives.

    Source: Yu and Qin, 2020 (NBPO), around matrix factorisation; any model with inner products is our generalisation.
    ``as_released`` divides the sums of its code by the number of positives in the batch.

    Example:
        >>> from mmgraph.testing import checkerboard_graph
        >>> model = NBPO(checkerboard_graph(), NBPOConfig(backbone={"embedding_dim": 4})).eval()
        >>> model.encode().item.shape, model.num_negatives
        (torch.Size([12, 4]), 4)
    """

    Config = NBPOConfig
    paper = Paper(
        "Yu and Qin",
        2020,
        "Sampler Design for Implicit Feedback Data by Noisy-label Robust Learning",
    )
    modality_fusion = "joint"
    config: NBPOConfig

    def __init__(self, graph: HeteroData, config: NBPOConfig) -> None:
        super().__init__(graph, config)
        self.released = config.preset == "as_released"
        self.flips: FlipFactors | None = None
        if config.criterion != "bpo":
            features = required_features(graph, config) if config.flip_from == "features" else None
            self.flips = FlipFactors(
                self.num_users, self.num_items, config.flip_dim, features=features
            )

    @classmethod
    def reads_features(cls, config: NBPOConfig) -> bool:
        """Return whether the flip factors or the backbone are made from features."""
        if config.criterion != "bpo" and config.flip_from == "features":
            return True
        return get_model(config.backbone.name).reads_features(config.backbone)

    @property
    def num_negatives(self) -> int:
        """As configured."""
        return self.config.num_negatives

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The backbone's stage, with the flip factors and the weight of their penalty."""
        return (self.stage_with(flip_reg=self.config.flip_reg_weight),)

    @property
    def modality_widths(self) -> dict[str, int]:
        """Those of the backbone."""
        return self.backbone.modality_widths

    def encode(self) -> Embeddings:
        """Return the vectors of the backbone."""
        return self.backbone.encode()

    def batch_rows(self, batch: Batch) -> Rows:
        """Return those of the backbone."""
        return self.backbone.batch_rows(batch)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the criterion by its name, the penalties of the backbone, and ``flip_reg`` if it has a weight."""
        criterion, rows = self.config.criterion, self.batch_rows(batch)
        voted, unvoted = rows.scores()
        (voted_flips, unvoted_flips), penalty = self._flips(batch)
        loss = noisy_label_loss(
            (voted, voted_flips),
            (unvoted, unvoted_flips),
            criterion=criterion,
            clip=_RELEASED_CLIP if self.released else None,
        )
        if self.released:
            loss = unvoted.numel() / len(voted) * loss
        alone = batch
        if batch.negative.dim() > 1:
            alone = batch._replace(negative=batch.negative[:, 0])
        own = self.backbone.penalties(alone, rows.with_first_negative())
        return {criterion: loss, **own, **penalty}

    def _flips(self, batch: Batch) -> tuple[tuple[Tensor, Tensor], dict[str, Tensor]]:
        """Return the flip logits of positive and of negative items, and the penalty on the factors."""
        if self.flips is None:
            none = batch.negative.new_zeros((), dtype=torch.get_default_dtype())
            return (none, none), {}
        items, places = distinct_items(batch)
        user, factors = self.flips(batch.user, items)
        rows = Rows(user, *items_of(factors, places))
        logits = rows.scores()
        if not self.config.flip_reg_weight:
            return logits, {}
        if self.released:
            tables = self.flips.flip_user, self.flips.of_items()
            squares = torch.stack([table.square().sum() for table in tables]).sum()
            return logits, {"flip_reg": squares / (2 * len(batch.user))}
        return logits, {"flip_reg": l2_penalty(rows.with_first_negative(), kind="half_sq")}
