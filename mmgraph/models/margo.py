"""MARGO: each item learns which of its modalities to trust, by which of them ranks well alone."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch_geometric.data import HeteroData

from mmgraph.errors import ConfigError
from mmgraph.graph.schema import item_features
from mmgraph.models import get_model
from mmgraph.models.backbone import Wrapper, WrapperConfig
from mmgraph.models.base import Paper, Recommender, Stage
from mmgraph.models.batch import Batch, Embeddings, Rows
from mmgraph.models.per_modality import OnePerModality
from mmgraph.nn import ItemWeights, ScoredItems, calibration_loss, modality_scores
from mmgraph.nn.calibration import KLTarget


class MARGOConfig(WrapperConfig):
    """Options of MARGO. The paper's weight beta of the penalty is the backbone's own ``reg_weight``.

    Attributes:
        backbone: A late-fusion model, such as DRAGON; or one that mixes modalities, of which each modality gets a copy.
        alpha: Weight of the calibration.
        tau: Difference of the scores at which a ranking counts as sure; see ``mmgraph.nn.confidence``.
        weighting: False leaves the weights out: the plain sum of the modalities in one stage.
        learn_weights: False keeps all weights equal: a control that has two stages and nothing else of the method.
        two_stage: False learns everything from the start, without a first stage of the plain sum.
        detach: False lets the calibration also change the scores it is made from.
        kl_target: Whether reliability is compared with the mean of both items' weights, or with their sum.
        weight_scale: Multiply weights by the number of modalities, so that scores keep the scale of the plain sum.
        absent: What becomes of the score in a modality that an item lacks, which backbones make of its interactions and
            the first stage counts: it is ``weighed`` like the others, or ``left_out``, weight 0.
        weight_std: The numbers that weights are the softmax of start as Normal(0, ``weight_std``).
        first_epochs: Limit of the first stage; by default ``training.max_epochs``.
        second_rate: Share of ``training.learning_rate`` in the second stage. Its fresh optimiser moves every weight by
            about the learning rate in the first steps, which undoes a part of the first stage where that is large.
        second_epochs: Limit of the second one, likewise. Where there is one stage only, its limit is the sum of both.
    """

    default_backbone: ClassVar[Mapping[str, Any]] = {"name": "dragon", "reg_weight": 0.1}

    name: Literal["margo"] = "margo"
    alpha: float = Field(default=0.1, ge=0)
    tau: float = Field(default=5.0, gt=0)
    weighting: bool = True
    learn_weights: bool = True
    two_stage: bool = True
    detach: bool = True
    kl_target: KLTarget = "mean"
    weight_scale: bool = False
    absent: Literal["weighed", "left_out"] = "weighed"
    weight_std: float = Field(default=0.01, ge=0)
    second_rate: float = Field(default=1.0, gt=0)
    first_epochs: int | None = None
    second_epochs: int | None = None

    @model_validator(mode="after")
    def _check_epochs(self) -> Self:
        for key, switch in (("first_epochs", "two_stage"), ("second_epochs", "weighting")):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ValueError(f"{key} must be at least 1 (got {value}); or set {switch} = false")
        return self

    @classmethod
    def check_backbone(cls, model: type[Recommender]) -> None:
        """Refuse other wrappers, and models that read no features.

        Raises:
            ConfigError: it is one.
        """
        super().check_backbone(model)
        if model.modality_fusion == "none":
            raise ConfigError(
                "model.backbone must be a model that reads item features (got "
                f"{model.Config.model_fields['name'].default!r}); use one that does, such as 'dragon' or 'vbpr'"
            )

    @classmethod
    def backbone_defaults(cls, model: type[Recommender]) -> Mapping[str, Any]:
        """Return those of the class for late fusion."""
        return model.late_fusion_defaults


class MARGO(Wrapper):
    r"""Weigh the modalities of each item, and calibrate the weights by how well each modality ranks alone.

    .. math::
        \hat y_{ui} = \sum_m w_i^m \langle Z_u^m, Z_i^m\rangle, \quad w_i = \mathrm{softmax}(\omega_i), \quad
        \mathcal{L} = \mathrm{BPR} + \alpha\, \gamma\, \mathrm{KL}\big(z \,\Vert\, (w_i + w_k)/2\big) + \beta\,\Omega

    Reliability :math:`z` and confidence :math:`\gamma` are those of :func:`mmgraph.nn.calibration_loss`. In the first
    stage the backbone learns by the plain sum of the modalities' scores; in the second, from its best weights and with
    a fresh optimiser, everything does. The weights are multiplied into the items, so ranking stays one product. Whether
    they are is saved with the parameters: a model scores as it was validated.

    Source: Dong et al. (MARGO), eqs. (2)-(10). The paper's :math:`\lVert\Theta\rVert` is the backbone's own penalty,
    without :math:`\omega`. It knows no missing modality: here an item has a weight for each that the data set has, as
    it has a score there; ``absent="left_out"`` makes it 0, and the others sum to 1 (an item without any keeps all).
    With one modality nothing is weighed and nothing calibrated; what is left of the method is its two stages.

    Example:
        >>> from mmgraph.testing import checkerboard_graph
        >>> config = MARGOConfig(backbone={"name": "dragon", "embedding_dim": 4, "hidden_dim": 8})
        >>> model = MARGO(checkerboard_graph(), config).eval()
        >>> [stage.name for stage in model.stages], sum(model.modality_weights().values())[0].item()
        (['first', 'second'], 1.0)
    """

    Config = MARGOConfig
    paper = Paper("Dong et al.", 2025, "Modality Reliability Guided Multimodal Recommendation")
    modality_fusion = "late"
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "w/o weight": {"model.weighting": False},
        "w/o L_cal": {"model.alpha": 0.0},
        "w/o two-stage": {"model.two_stage": False},
        "w/o nograd": {"model.detach": False},
    }
    ablations_need = 2
    config: MARGOConfig

    def __init__(self, graph: HeteroData, config: MARGOConfig) -> None:
        super().__init__(graph, config)
        self.weighted = config.weighting and not config.two_stage
        self.trust: ItemWeights | None = None
        presence = [has for _, has in item_features(graph).values()]
        # The weight of a single one is 1.
        if config.weighting and config.learn_weights and len(presence) > 1:
            has = torch.stack(presence, dim=1)
            counted = has if config.absent == "left_out" else torch.ones_like(has)
            scale = has.size(1) if config.weight_scale else 1
            self.trust = ItemWeights(counted, std=config.weight_std, scale=scale)

    def make_backbone(self, graph: HeteroData, config: WrapperConfig) -> Recommender:
        """Return the late-fusion model, or one that holds a copy of the model for each modality."""
        model = get_model(config.backbone.name)
        if model.modality_fusion == "late":
            return model(graph, config.backbone)
        return OnePerModality(graph, config.backbone, model)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The backbone alone, then everything with the calibration; or one of them, with the epochs of both.

        Where no weight is learned the second stage goes on with the backbone alone.
        """
        config, weights = self.config, dict(self.backbone.stages[0].loss_weights)
        first, last = config.first_epochs, config.second_epochs
        second = {**weights, "calibration": config.alpha} if self.trust is not None else weights
        if config.weighting and config.two_stage:
            alone = Stage("first", weights, ("backbone.",), limits=(first,))
            return (alone, Stage("second", second, limits=(last,), rate=config.second_rate))
        name, terms = ("second", second) if config.weighting else ("first", weights)
        return (Stage(name, terms, limits=(first, last)),)

    @property
    def modality_widths(self) -> dict[str, int]:
        """Those of the backbone."""
        return self.backbone.modality_widths

    def on_stage(self, stage: Stage) -> None:
        """Weigh from the second stage on."""
        super().on_stage(stage)
        self.weighted = stage.name == "second"

    def get_extra_state(self) -> Tensor:
        """Return whether the modalities are weighed, to be saved with the weights."""
        return torch.tensor(self.weighted)

    def set_extra_state(self, state: Tensor) -> None:
        """Take that back."""
        self.weighted = bool(state)

    def encode(self) -> Embeddings:
        """Return the modalities side by side, those of items times their weights."""
        user, item = self.backbone.encode()
        return Embeddings(user, self._weigh(item))

    def batch_rows(self, batch: Batch) -> Rows:
        """Return the same of a batch."""
        user, *items = self.backbone.batch_rows(batch)
        return Rows(user, *map(self._weigh, items, (batch.positive, batch.negative)))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return ``bpr``, the backbone's penalties and, where modalities are weighed, ``calibration`` if it counts."""
        rows, config = self.backbone.batch_rows(batch), self.config
        terms = self.backbone.penalties(batch, rows)
        widths = self.modality_widths.values()
        # Positive items first, then the negative ones of the same triples.
        parts = torch.cat([modality_scores(rows.user, item, widths) for item in rows[1:]])
        if self.trust is None or not self.weighted:
            return {"bpr": self.backbone.criterion(*parts.sum(dim=1).chunk(2)), **terms}
        items = torch.cat([batch.positive, batch.negative])
        scores = self.trust.scores(parts, items)
        if config.alpha:
            halves = (x.chunk(2) for x in (parts, scores, *self.trust.rows(items)))
            positive, negative = map(ScoredItems, *halves)
            terms["calibration"] = calibration_loss(
                positive,
                negative,
                tau=config.tau,
                detach=config.detach,
                kl_target=config.kl_target,
            )
        return {"bpr": self.backbone.criterion(*scores.chunk(2)), **terms}

    def modality_weights(self) -> dict[str, Tensor]:
        """Return the softmax of each item's numbers, by modality; empty where none are learned."""
        if self.trust is None:
            return {}
        return dict(zip(self.modality_widths, self.trust().unbind(dim=1), strict=True))

    def _weigh(self, vectors: Tensor, items: Tensor | None = None) -> Tensor:
        if self.trust is None or not self.weighted:
            return vectors
        return self.trust.weigh(vectors, self.modality_widths.values(), items)
