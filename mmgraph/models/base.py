"""What every recommender promises to the trainer, the evaluator and the exporter."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from mmgraph.errors import GraphError
from mmgraph.graph.schema import (
    ITEM_USER,
    USER_ITEM,
    item_features,
    knn_edge_type,
    modalities_of,
)
from mmgraph.nn import (
    bpr_loss,
    id_embedding,
    joint_adjacency,
    l2_penalty,
    mix_item_graphs,
    shares_of,
)
from mmgraph.nn.encoders import Init
from mmgraph.nn.regularizers import Penalty
from mmgraph.sparse import SparseAdjacency


class Embeddings(NamedTuple):
    """Final vectors: ``user`` (num_users, dim) and ``item`` (num_items, dim)."""

    user: Tensor
    item: Tensor


class Neighborhood(NamedTuple):
    """A part of the user-item graph: indices of its users and items, and the joint matrix among them."""

    user: Tensor
    item: Tensor
    adjacency: SparseAdjacency

    def rows_of(self, vectors: Embeddings) -> Embeddings:
        """Return the vectors of its users and items."""
        return Embeddings(
            vectors.user.index_select(0, self.user), vectors.item.index_select(0, self.item)
        )


class Batch(NamedTuple):
    """Triples of user, positive item and sampled negative item; each (batch,) int64.

    With a neighbourhood they name its rows, otherwise users and items themselves.
    """

    user: Tensor
    positive: Tensor
    negative: Tensor
    neighborhood: Neighborhood | None = None


@dataclass(frozen=True)
class Stage:
    """One phase of training: what learns, by which weighted terms, for how long.

    Attributes:
        name: Shown in the log.
        loss_weights: Weight of each term of ``losses``; a term not named has weight 1.
        parameters: Prefixes of the names of the parameters that learn; ``("",)`` means all.
        max_epochs: Its own limit, or None for that of the training configuration.
        fresh_optimizer: Start with new optimiser state, from the best weights of the stage before.
    """

    name: str = "main"
    loss_weights: Mapping[str, float] = field(default_factory=dict)
    parameters: tuple[str, ...] = ("",)
    max_epochs: int | None = None
    fresh_optimizer: bool = True


class ModelConfig(BaseModel):
    """What all models have: a name, a width, and a named penalty on the rows of the batch.

    Attributes:
        embedding_dim: Width of a vector.
        reg_weight: Weight of the penalty; it means nothing without the next two.
        reg_kind: See ``mmgraph.nn.l2_penalty``.
        reg_rows: ``ego`` penalises the rows of the trainable tables (LightGCN), ``final`` those that score (LATTICE).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
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
    """

    Config: ClassVar[type[ModelConfig]] = ModelConfig

    def __init__(self, graph: HeteroData, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.num_users = int(graph["user"].num_nodes)
        self.num_items = int(graph["item"].num_nodes)

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

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The phases of training, in order; by default one, with the config's weight on the term ``reg``."""
        return (Stage(loss_weights={"reg": self.config.reg_weight}),)

    @property
    def num_hops(self) -> int | None:
        """How far a batch reaches into the user-item graph, if the model learns from a part of it; None if not."""
        return None

    def encode(self) -> Embeddings:
        """Return the final vectors of all users and items."""
        raise TypeError(f"{type(self).__name__} must define encode()")

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the unweighted named terms of the loss on a batch, which is left as it is."""
        raise TypeError(f"{type(self).__name__} must define losses()")

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

    def modality_embeddings(self) -> dict[str, Embeddings]:
        """Return the vectors of each modality, for late-fusion models; empty for others."""
        return {}

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

    def __init__(self, graph: HeteroData, config: ModelConfig, *, init: Init) -> None:
        super().__init__(graph, config)
        self.user_embedding = id_embedding(self.num_users, config.embedding_dim, init=init)
        self.item_embedding = id_embedding(self.num_items, config.embedding_dim, init=init)

    @property
    def ego(self) -> Embeddings:
        """The rows themselves."""
        return Embeddings(self.user_embedding, self.item_embedding)


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


def ranking_losses(
    batch: Batch, *, final: Embeddings, ego: Embeddings, config: ModelConfig
) -> dict[str, Tensor]:
    """Return BPR on the final rows of a batch and the penalty on the rows the config names, as ``{"bpr", "reg"}``.

    A penalty of weight zero is left out.

    Args:
        batch: The triples.
        final: The vectors that score.
        ego: The trainable tables they come from.
        config: Which rows are penalised (``reg_rows``), and how (``reg_kind``).
    """
    rows = user, positive, negative = rows_of(final, batch)
    terms = {"bpr": bpr_loss((user * positive).sum(dim=1), (user * negative).sum(dim=1))}
    if config.reg_weight:
        if config.reg_rows == "ego":
            rows = rows_of(ego, batch)
        terms["reg"] = l2_penalty(rows, kind=config.reg_kind)
    return terms


def rows_of(vectors: Embeddings, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Return the rows of a batch's users, positive and negative items.

    Shapes:
        returns (batch, dim) three times.
    """
    # index_select: its gradient is the same for any number of threads, that of indexing is not.
    # Both kinds of item at once: each gradient of a selection is a table of all items.
    items = vectors.item.index_select(0, torch.cat([batch.positive, batch.negative]))
    positive, negative = items.chunk(2)
    return vectors.user.index_select(0, batch.user), positive, negative


def distinct_items(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the items of a batch, each once, and where its positive and its negative ones are among them.

    Shapes:
        returns (num_distinct,) and (2, batch), int64.

    Example:
        >>> batch = Batch(torch.tensor([0, 1]), torch.tensor([7, 3]), torch.tensor([3, 9]))
        >>> [x.tolist() for x in distinct_items(batch)]
        [[3, 7, 9], [[1, 0], [0, 2]]]
    """
    items, place = torch.unique(torch.stack([batch.positive, batch.negative]), return_inverse=True)
    return items, place


def content_graph(graph: HeteroData, shares: Mapping[str, float]) -> SparseAdjacency:
    """Return the mean over each item's content neighbours, see :func:`mmgraph.nn.mix_item_graphs`.

    Args:
        graph: With the nearest neighbours of every modality.
        shares: Share of some modalities, see :func:`mmgraph.nn.shares_of`.
    """
    share_of = shares_of(shares, modalities_of(graph))
    return mix_item_graphs(
        [graph[knn_edge_type(name)].edge_index for name in share_of],
        list(share_of.values()),
        num_items=int(graph["item"].num_nodes),
    )


def required_features(graph: HeteroData, config: ModelConfig) -> dict[str, tuple[Tensor, Tensor]]:
    """Return features and presence of every modality, see :func:`mmgraph.graph.schema.item_features`.

    Raises:
        GraphError: there is no modality.
    """
    features = item_features(graph)
    if not features:
        raise GraphError(
            f"{config.name} needs item features (got none); add a [features.<name>] table to dataset.toml"
        )
    return features


def user_item_adjacency(graph: HeteroData) -> SparseAdjacency:
    """Return the joint matrix over users, then items, with the weights and self loops the graph was built with."""
    to_user, to_item = graph[ITEM_USER], graph[USER_ITEM]
    loops = None
    if "self_weight" in graph["user"]:
        loops = torch.cat([graph["user"].self_weight, graph["item"].self_weight])
    return joint_adjacency(
        (to_item.edge_index, to_item.edge_weight),
        (to_user.edge_index, to_user.edge_weight),
        num_users=int(graph["user"].num_nodes),
        num_items=int(graph["item"].num_nodes),
        self_weight=loops,
    )
