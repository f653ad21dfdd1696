"""What every recommender promises to the trainer, the evaluator and the exporter."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from mmgraph.errors import ConfigError
from mmgraph.models.batch import Batch, Embeddings, Rows, rows_of
from mmgraph.nn import (
    bpr_loss,
    id_embedding,
    l2_penalty,
)
from mmgraph.nn.encoders import Init
from mmgraph.nn.regularizers import Penalty

ModalityFusion = Literal["none", "joint", "late"]
"""A model may read no features, mix the modalities before it scores, or score by a sum over the modalities."""

Scorer = Literal["inner product", "pairwise"]
"""A score is the inner product of a user's and an item's vector, or made anew for each pair."""


class Paper(NamedTuple):
    """Where a model was published: by whom, in which year, under which title."""

    authors: str
    year: int
    title: str


@dataclass(frozen=True)
class Stage:
    """One phase of training: what learns, by which weighted terms, for how long.

    It begins with the best weights of the stage before and an optimiser of its own.

    Attributes:
        name: Shown in the log.
        loss_weights: Weight of each term of ``losses``; a term not named has weight 1.
        parameters: Prefixes of the names of the parameters that learn; ``("",)`` means all.
        limits: Epochs of each stage it stands for, None being the limit of the training configuration; they add up.
        rate: Its share of the learning rate of the training configuration.

    Example:
        >>> Stage(limits=(3, None)).max_epochs(100)
        103
    """

    name: str = "main"
    loss_weights: Mapping[str, float] = field(default_factory=dict)
    parameters: tuple[str, ...] = ("",)
    limits: tuple[int | None, ...] = (None,)
    rate: float = 1.0

    def max_epochs(self, default: int) -> int:
        """Return after how many epochs it ends, given the limit of the training configuration."""
        return sum(default if limit is None else limit for limit in self.limits)


class ModelConfig(BaseModel):
    """What all models have: a name."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str

    def changes_for(self, modalities: Collection[str]) -> dict[str, Any]:
        """Return the options that name modalities as they are where there are only some of these, by key with dots."""
        del modalities
        return {}

    def check_modalities(self, modalities: Collection[str], *, path: str = "model") -> None:
        """Refuse options that name other modalities than these.

        Args:
            modalities: Those of the data set.
            path: Tables that lead to the options, for the message.

        Raises:
            ConfigError: one does.
        """
        for key in self.changes_for(modalities):
            value = reduce(getattr, key.split("."), self)
            raise ConfigError(
                f"{path}.{key} must name modalities of the data set (got {value}); known: {', '.join(modalities)}"
            )


class EmbeddingConfig(ModelConfig):
    """What models with trainable rows have: a width, and a named penalty on the rows of the batch.

    Attributes:
        embedding_dim: Width of a vector.
        reg_weight: Weight of the penalty; it means nothing without the next two.
        reg_kind: See ``mmgraph.nn.l2_penalty``.
        reg_rows: ``ego`` penalises the rows of the trainable tables (LightGCN), ``final`` those that score (LATTICE).
    """

    embedding_dim: int = Field(default=64, ge=1)
    reg_weight: float = Field(default=1e-4, ge=0)
    reg_kind: Penalty = "half_sq"
    reg_rows: Literal["ego", "final"] = "ego"


class Recommender(nn.Module):
    """Base of all models: built from a graph and a config, it encodes, scores and names its losses.

    A model opens no file and builds no user-item graph. ``encode`` is a pure function of parameters and buffers,
    deterministic in eval mode; nothing is kept from training for scoring.

    Args:
        graph: A graph that satisfies ``mmgraph.graph.check_graph`` and has the edges ``edges_for(config)`` names.
        config: The model's own configuration.

    Attributes:
        paper: Where it was published.
        modality_fusion: What becomes of the items' features.
        scorer: How a user and an item make a score.
        ablations: The rows of the paper's ablation table: by label overrides of a recipe, such as ``{"model.k": 5}``.
        ablations_need: How many modalities there must be for these to differ from the whole.
        late_fusion_defaults: Keys of the config whose default is another one where this model serves another that
            weighs its modalities.
    """

    Config: ClassVar[type[ModelConfig]] = ModelConfig
    paper: ClassVar[Paper | None] = None
    modality_fusion: ClassVar[ModalityFusion] = "none"
    scorer: ClassVar[Scorer] = "inner product"
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    ablations_need: ClassVar[int] = 1
    late_fusion_defaults: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, graph: HeteroData, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.num_users = int(graph["user"].num_nodes)
        self.num_items = int(graph["item"].num_nodes)

    @classmethod
    def reads_features(cls, config: Any) -> bool:
        """Return whether the items' features are of any use to the model."""
        del config
        return cls.modality_fusion != "none"

    @classmethod
    def edges_for(cls, config: Any) -> tuple[str, ...]:
        """Return which optional edges the graph must have: of ``knn``, ``co_item``, ``co_user``."""
        del config
        return ()

    @classmethod
    def graph_defaults(cls, config: Any) -> Mapping[str, Any]:
        """Return keys of the graph's configuration whose default is another one for this model."""
        del config
        return {}

    @classmethod
    def graph_rules(cls, config: Any) -> Mapping[str, Any]:
        """Return keys of the graph's configuration that have one value for this model, whose equations need it."""
        del config
        return {}

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The phases of training, in order; by default one, with the config's weight, if any, on the term ``reg``.

        A model that is not trained has none.
        """
        config = self.config
        weights = {"reg": config.reg_weight} if isinstance(config, EmbeddingConfig) else {}
        return (Stage(loss_weights=weights),)

    @property
    def num_hops(self) -> int | None:
        """How far a batch reaches into the user-item graph, if the model learns from a part of it; None if not."""
        return None

    @property
    def num_negatives(self) -> int:
        """How many negative items a triple of training has; of more than one, they are the rows of a matrix."""
        return 1

    def encode(self) -> Embeddings:
        """Return the final vectors of all users and items."""
        raise TypeError(f"{type(self).__name__} must define encode()")

    def batch_rows(self, batch: Batch) -> Rows:
        """Return the vectors that a batch is scored with in training."""
        return rows_of(self.encode(), batch)

    def criterion(self, positive: Tensor, negative: Tensor) -> Tensor:
        """Return the loss of the scores of positive (batch,) and negative items: by default BPR's."""
        return bpr_loss(positive, negative)

    def penalties(self, batch: Batch, rows: Rows) -> dict[str, Tensor]:
        """Return the unweighted named terms of the loss besides the criterion of the ranking.

        Args:
            batch: The triples.
            rows: What :meth:`batch_rows` returned for them.
        """
        return {}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the unweighted named terms of the loss: by default the criterion as ``bpr``, and the penalties."""
        rows = self.batch_rows(batch)
        return {"bpr": self.criterion(*rows.scores()), **self.penalties(batch, rows)}

    def score(self, users: Tensor, embeddings: Embeddings | None = None) -> Tensor:
        """Return the scores of all items for some users: by default inner products.

        Args:
            users: Indices of users.
            embeddings: What ``encode`` returned, to spare calling it for every block of users.

        Shapes:
            users (n,) int64; returns (n, num_items).
        """
        user, item = self.encode() if embeddings is None else embeddings
        return user[users] @ item.T

    def retrieval_embeddings(self) -> Embeddings | None:
        """Return vectors whose inner product is the score, or None if there are none."""
        return self.encode()

    @property
    def modality_widths(self) -> dict[str, int]:
        """Columns of each modality in the vectors of a late-fusion model, side by side; empty for others."""
        return {}

    def modality_embeddings(self) -> dict[str, Embeddings]:
        """Return the vectors of each modality, whose scores add up to the score; empty but for late-fusion models."""
        widths = self.modality_widths
        if not widths:
            return {}
        parts = (x.split([*widths.values()], dim=1) for x in self.encode())
        return {
            name: Embeddings(user, item) for name, user, item in zip(widths, *parts, strict=True)
        }

    def modality_weights(self) -> dict[str, Tensor]:
        """Return how far each modality of an item is trusted, if that is learned; empty if not.

        Shapes:
            (num_items,) for each modality; the sum over the modalities is 1.
        """
        return {}

    def modality_influence(self, users: Tensor, items: Tensor) -> dict[str, Tensor]:
        """Return the share of each part of an item in the score of ``users[i]`` for ``items[i]``, if there are such.

        The parts are ``interactions`` and the modalities; empty for models that do not weigh them for each pair.

        Shapes:
            users, items (n,) int64; (n,) for each part; the sum over the parts is 1.
        """
        return {}

    def item_vectors(self) -> Tensor:
        """Return vectors that stand for the items where no user is known; (num_items, dim)."""
        return self.encode().item

    def modality_vectors(self) -> dict[str, Tensor]:
        """Return vectors that stand for the items in each modality, (num_items, dim) each; empty if there are none."""
        return {name: part.item for name, part in self.modality_embeddings().items()}

    def on_stage(self, stage: Stage) -> None:
        """Be told that a stage begins."""

    def on_epoch(self, epoch: int) -> None:
        """Be told that an epoch begins: the place to resample or rebuild graphs."""

    def after_step(self) -> None:
        """Be told that the optimiser has stepped: the place for projections."""


class IdRecommender(Recommender):
    """Base of models with one trainable row for each user and each item.

    Args:
        graph: As for :class:`Recommender`.
        config: As for :class:`Recommender`.
        init: How the rows are drawn, users first; see ``mmgraph.nn.id_embedding``.
    """

    config: EmbeddingConfig

    def __init__(self, graph: HeteroData, config: EmbeddingConfig, *, init: Init) -> None:
        super().__init__(graph, config)
        self.user_embedding = id_embedding(self.num_users, config.embedding_dim, init=init)
        self.item_embedding = id_embedding(self.num_items, config.embedding_dim, init=init)

    @property
    def tables(self) -> tuple[Embeddings, ...]:
        """The trainable tables, side by side."""
        return (Embeddings(self.user_embedding, self.item_embedding),)

    @property
    def ego(self) -> Embeddings:
        """The trainable rows of all users and items."""
        return Embeddings(*_side_by_side(self.tables))

    def ego_rows(self, batch: Batch) -> Rows:
        """Return what a batch has of the trainable rows."""
        part = batch.neighborhood
        tables = self.tables if part is None else [part.rows_of(table) for table in self.tables]
        # Chosen first and joined then: a batch is small.
        return Rows(*_side_by_side([rows_of(table, batch) for table in tables]))

    def penalties(self, batch: Batch, rows: Rows) -> dict[str, Tensor]:
        """Return ``reg`` on the rows that the config names, if it has a weight."""
        if not self.config.reg_weight:
            return {}
        penalised = self.ego_rows(batch) if self.config.reg_rows == "ego" else rows
        return {"reg": l2_penalty(penalised, kind=self.config.reg_kind)}


def score_function(model: Recommender) -> Callable[[Tensor], Tensor]:
    """Return scores for users from one encoding in eval mode; the model must not change while it is used.

    Shapes:
        the function takes (n,) int64 users and returns (n, num_items).
    """
    with torch.no_grad():
        embeddings = model.eval().encode()

    def score(users: Tensor) -> Tensor:
        with torch.no_grad():
            return model.score(users, embeddings)

    return score


def _side_by_side(tables: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Return the first members of all joined by columns, then the second ones, and so on."""
    return [
        parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
        for parts in zip(*tables, strict=True)
    ]
