"""Models whose users have a preference in each modality: beside ids, or smoothed over shared items."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from mmgraph.graph.schema import CO_USER
from mmgraph.models.base import EmbeddingConfig, IdRecommender, Recommender
from mmgraph.models.batch import Batch, Rows
from mmgraph.models.inputs import required_features, user_item_adjacency
from mmgraph.nn import (
    LayerStack,
    LightGCNConv,
    ModalityEncoders,
    ModalityUserItemGCN,
    id_embedding,
    l2_penalty,
    normalize_rows,
)
from mmgraph.nn.encoders import Init
from mmgraph.nn.regularizers import Penalty
from mmgraph.sparse import SparseAdjacency, segment_softmax


class PreferenceConfig(EmbeddingConfig):
    """What models with ids and preferences have: a penalty on both, on the rows of the batch."""

    reg_kind: Penalty = "mean_sq"
    reg_rows: Literal["ego"] = "ego"
    init: Init = "xavier_normal"


class PreferenceRecommender(IdRecommender):
    """Base of models with ids, and for each modality a trainable row of each user beside the items' encoded features.

    Args:
        graph: As for :class:`Recommender`.
        config: As for :class:`Recommender`.
        encoder: Makes the encoder for a feature width.
        width: Width that the encoder gives features of a width, which the users' rows have too.
    """

    config: PreferenceConfig

    def __init__(
        self,
        graph: HeteroData,
        config: PreferenceConfig,
        *,
        encoder: Callable[[int], nn.Module],
        width: Callable[[int], int],
    ) -> None:
        super().__init__(graph, config, init=config.init)
        features = required_features(graph, config)
        self.widths = [width(x.size(1)) for x, _ in features.values()]
        tables = [id_embedding(self.num_users, w, init=config.init).detach() for w in self.widths]
        self.user_preference = nn.Parameter(torch.cat(tables, dim=1))
        self.content = ModalityEncoders(features, encoder)

    def start(self) -> list[tuple[Tensor, Tensor]]:
        """Return for each modality users' preferences and items' content at unit length; zero where there is none."""
        users = self.user_preference.split(self.widths, dim=1)
        items = self.content().values()
        return [
            (normalize_rows(user), normalize_rows(item))
            for user, item in zip(users, items, strict=True)
        ]

    def penalties(self, batch: Batch, rows: Rows) -> dict[str, Tensor]:
        """Return ``reg`` on the ids of the batch and on the preferences of its users, if it has a weight."""
        if not self.config.reg_weight:
            return {}
        own = self.user_preference.index_select(0, batch.user).split(self.widths, dim=1)
        return {"reg": l2_penalty([*self.ego_rows(batch), *own], kind=self.config.reg_kind)}


class UserGraphConfig(EmbeddingConfig):
    """What models of preferences smoothed over a user graph have; ``embedding_dim`` is the width of one modality.

    Attributes:
        hidden_dim: Width inside of the content encoders.
        num_layers: Depth on the user-item graph.
        num_user_layers: Depth on the user-user graph.
    """

    hidden_dim: int = Field(default=256, ge=1)
    num_layers: int = Field(default=2, ge=0)
    num_user_layers: int = Field(default=1, ge=0)
    reg_weight: float = Field(default=1e-3, ge=0)
    reg_kind: Penalty = "mean_sq"
    reg_rows: Literal["ego"] = "ego"
    init: Init = "xavier_normal"


class UserGraphRecommender(Recommender):
    """Base of models that smooth preferences and content over the interactions, and users over other users.

    Args:
        graph: As for :class:`Recommender`, with the edges ``co_user``.
        config: As for :class:`Recommender`.
        weights: What each user's weights of the modalities are: ``free`` numbers that start as a softmax, the
            ``softmax`` of free numbers, or ``none``.
    """

    config: UserGraphConfig

    def __init__(
        self,
        graph: HeteroData,
        config: UserGraphConfig,
        *,
        weights: Literal["free", "softmax", "none"],
    ) -> None:
        super().__init__(graph, config)
        features = required_features(graph, config)
        self.modalities = tuple(features)
        self.gcn = ModalityUserItemGCN(
            features,
            user_item_adjacency(graph),
            num_users=self.num_users,
            dim=config.embedding_dim,
            hidden_dim=config.hidden_dim,
            num_layers=config.num_layers,
            init=config.init,
        )
        # The softmax of one number is one, whatever the number.
        self.weights = "none" if weights == "softmax" and len(features) == 1 else weights
        self.user_weight: nn.Parameter | None = None
        if self.weights != "none":
            start = id_embedding(self.num_users, len(features), init=config.init)
            share = nn.Parameter(start.detach().softmax(dim=1))
            self.user_weight = share if weights == "free" else start
        self.user_graph = shared_items_graph(graph)
        self.user_layers = LayerStack(
            LightGCNConv(), num_layers=config.num_user_layers, combine="last"
        )

    @classmethod
    def graph_rules(cls, config: UserGraphConfig) -> dict[str, Any]:
        """Return that users are joined by plain counts, of which the softmax is."""
        return {"co_normalize": "none"}

    def penalties(self, batch: Batch, rows: Rows) -> dict[str, Tensor]:
        """Return ``reg`` on the preferences of the batch's users and on all weights, if it has a weight."""
        if not self.config.reg_weight:
            return {}
        own = self.gcn.user_preference.index_select(0, batch.user)
        blocks = [*own.split(self.config.embedding_dim, dim=1)]
        if self.user_weight is not None:
            blocks.append(self.user_weight)
        penalties = [l2_penalty([block], kind=self.config.reg_kind) for block in blocks]
        return {"reg": torch.stack(penalties).sum()}

    def user_shares(self) -> Tensor | None:
        """Return the weights of the modalities of each user, (num_users, num_modalities), or None without any."""
        if self.user_weight is None or self.weights == "free":
            return self.user_weight
        return self.user_weight.softmax(dim=1)


def shared_items_graph(graph: HeteroData) -> SparseAdjacency:
    """Return the softmax of the numbers of items that a user shares with its neighbours, row by row.

    A row sums to one, or is empty where the user shares no item with anybody.

    Source: Wang et al., 2021 (DualGNN), user co-occurrence graph; also of DRAGON.

    Args:
        graph: With plain counts, ``co_normalize="none"``, between users.

    Shapes:
        the matrix is (num_users, num_users).
    """
    num_users, counts = int(graph["user"].num_nodes), graph[CO_USER]
    size = (num_users, num_users)
    shared = SparseAdjacency(counts.edge_index, counts.edge_weight, size=size)
    share = segment_softmax(shared.value, shared.rowptr)
    return SparseAdjacency(shared.edge_index(), share, size=size)
