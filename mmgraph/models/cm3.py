"""CM3: users near their items, all spread over a sphere, items of like content less than others."""

from collections.abc import Collection
from typing import Any, Literal

from pydantic import Field, model_validator
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from mmgraph.errors import ConfigError, nearest
from mmgraph.models.base import Paper, Stage
from mmgraph.models.batch import Batch, Embeddings
from mmgraph.models.inputs import required_features
from mmgraph.models.modality_blocks import BlockConfig, BlockRecommender
from mmgraph.models.terms import OwnCriterion
from mmgraph.nn import (
    SphericalMix,
    alignment_loss,
    id_embedding,
    normalize_rows,
    uniformity_loss,
)
from mmgraph.nn.encoders import affine
from mmgraph.nn.fusion import keep_present
from mmgraph.sparse.autocast import exactly


class CM3Config(BlockConfig):
    """Options of CM3, which was published without a penalty.

    Attributes:
        num_layers: Depth on the user-item graph.
        gamma: Weight of the two uniformities together.
        min_sim: Similarities of content below count as this.
        max_sim: Similarities of content above count as this.
        alpha: Of the Beta distribution of the places where content is mixed in training.
        mix_order: Modalities that are mixed first, in this order; the others follow as the data set has them. It
            matters for more than two.
        uniform_items: Which items of the batch are spread: the sampled ``negative`` ones or the ``positive`` ones.
        detach_sim: Whether the similarities are constants; else the model lowers its loss by raising them, and all soon
            are nearly one. Which is better depends on the data.
        score_norm: Whether vectors of unit length score, as they do in the losses; lengths of items change rankings.
    """

    name: Literal["cm3"] = "cm3"
    num_layers: int = Field(default=3, ge=0)
    gamma: float = Field(default=0.5, ge=0)
    min_sim: float = Field(default=0.0, ge=-1, le=1)
    max_sim: float = Field(default=1.0, ge=-1, le=1)
    alpha: float = Field(default=0.5, gt=0)
    mix_order: tuple[str, ...] = ()
    uniform_items: Literal["negative", "positive"] = "negative"
    detach_sim: bool = False
    score_norm: bool = False

    def changes_for(self, modalities: Collection[str]) -> dict[str, Any]:
        """Return also the order of mixing without other modalities."""
        order = tuple(name for name in self.mix_order if name in modalities)
        changed = {} if order == self.mix_order else {"mix_order": order}
        return {**super().changes_for(modalities), **changed}

    @model_validator(mode="after")
    def _check_similarities(self) -> "CM3Config":
        if self.min_sim > self.max_sim:
            raise ValueError(
                f"min_sim must not be above max_sim (got {self.min_sim:g} and {self.max_sim:g}); lower it"
            )
        return self


class CM3(OwnCriterion, BlockRecommender):
    r"""Align users with their items on the unit sphere and repel items as far as their content differs.

    .. math::
        [R_m]_m, R_s = \sum_k \hat A^k\, \mathrm{norm}([P; X]), \quad
        Z_U = [\mathrm{softmax}(\Theta)_b R_b]_b, \quad Z_I = (I + S^{L_i})\, R

    .. math::
        \mathcal L = \mathrm{mean} \lVert \tilde z_u - \tilde z_i\rVert^2 + \tfrac\gamma2
        \Big[\ln \mathrm{mean}\, e^{-2\lVert \tilde z_u - \tilde z_v\rVert^2}
        + \ln \mathrm{mean}\, e^{-2(\lVert \tilde z_k - \tilde z_l\rVert^2 - 2 + 2 s_{kl})}\Big]

    A block of columns for each modality starts from its encoded features, one more from the unit vectors :math:`q` that
    mix projections of all, see :class:`mmgraph.nn.SphericalMix`; :math:`s_{kl}` is the cosine of :math:`q_k` and
    :math:`q_l`, clamped. The score is the inner product, of vectors as long as they are.

    Source: Zhou et al., 2025 (CM3): follows the authors' released code; the paper's text was not consulted. The code
    keeps the mixture of the last training batch for its scores; here it is half-way outside of training. The item graph
    counts modalities alike where theirs gives the image 0.1 (``shares``). Beyond two modalities the mixture is ours.
    Projections start Xavier-uniform with zero bias. A modality that an item lacks is left out of its mixture and starts
    from zero in its own block; an item without any has similarity 0 to all.

    Example:
        >>> import torch
        >>> from mmgraph.testing import checkerboard_graph
        >>> model = CM3(checkerboard_graph(), CM3Config(embedding_dim=4, hidden_dim=8)).eval()
        >>> model.encode().item.shape
        torch.Size([12, 12])
    """

    Config = CM3Config
    paper = Paper("Zhou et al.", 2025, "CM^3: Calibrating Multimodal Recommendation")
    modality_fusion = "joint"
    ranking_term = "align"
    config: CM3Config

    def __init__(self, graph: HeteroData, config: CM3Config) -> None:
        features = required_features(graph, config)
        super().__init__(graph, config, features, extra_blocks=1)
        self.projections = nn.ModuleList(
            affine(x.size(1), config.embedding_dim) for x, _ in features.values()
        )
        self.mixed = places_of(config.mix_order, tuple(features))
        masks = [has for _, has in features.values()]
        self.mix = SphericalMix([masks[place] for place in self.mixed], alpha=config.alpha)
        self.user_logits = id_embedding(self.num_users, len(features) + 1, init=config.init)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One stage, with half of gamma for each uniformity, and the configured weight of the penalty."""
        half, reg = self.config.gamma / 2, self.config.reg_weight
        return (Stage(loss_weights={"uniform_user": half, "uniform_item": half, "reg": reg}),)

    def _terms(self, batch: Batch, state: tuple[Embeddings, Tensor]) -> dict[str, Tensor]:
        """Return ``align``, ``uniform_user``, ``uniform_item`` and, if it has a weight, ``reg``."""
        final, content = state
        user, item = map(normalize_rows, final)
        negative = self.config.uniform_items == "negative"
        users, of_users = batch.user.unique(return_counts=True)
        items, of_items = (batch.negative if negative else batch.positive).unique(
            return_counts=True
        )
        near = user.index_select(0, batch.user), item.index_select(0, batch.positive)
        similarity = self._similarity(content, items)
        return {
            "align": alignment_loss(*near),
            "uniform_user": uniformity_loss(user.index_select(0, users), times=of_users),
            "uniform_item": uniformity_loss(
                item.index_select(0, items), similarity, times=of_items
            ),
            **self.penalty_of(final),
        }

    def _vectors(self, state: tuple[Embeddings, Tensor]) -> Embeddings:
        """Return all blocks side by side."""
        final, _ = state
        return Embeddings(*map(normalize_rows, final)) if self.config.score_norm else final

    def _state(self) -> tuple[Embeddings, Tensor]:
        """Return the final vectors, and the mixed content of all items."""
        content = self.gcn.content
        projected = [
            keep_present(project(x), has)
            for project, x, has in zip(
                self.projections, content.features, content.present, strict=True
            )
        ]
        mixed = self.mix([projected[place] for place in self.mixed])
        return self.smoothed(lambda _: self.user_logits.softmax(dim=1), mixed), mixed

    def _similarity(self, content: Tensor, items: Tensor) -> Tensor:
        rows = content.index_select(0, items)
        with exactly(rows):
            similarity = (rows @ rows.T).clamp(self.config.min_sim, self.config.max_sim)
        return similarity.detach() if self.config.detach_sim else similarity


def places_of(first: tuple[str, ...], names: tuple[str, ...]) -> list[int]:
    """Return where names stand, those that come first in their order, then the others.

    Raises:
        ConfigError: a name is unknown or given twice.

    Example:
        >>> places_of(("image",), ("text", "audio", "image"))
        [2, 0, 1]
    """
    for name in first:
        if name not in names or first.count(name) > 1:
            raise ConfigError(
                f"model.mix_order must name modalities of the data set, each once (got {name!r}){nearest(name, names)}"
            )
    return [names.index(name) for name in (*first, *(n for n in names if n not in first))]
