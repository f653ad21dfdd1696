"""DualGNN: preferences smoothed over the interactions, weighed by each user, and shared among users of like items."""

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch_geometric.data import HeteroData

from mmgraph.models.base import Paper
from mmgraph.models.batch import Embeddings
from mmgraph.models.preferences import UserGraphConfig, UserGraphRecommender
from mmgraph.nn import ModalityEncoder, bpr_loss, neighbour_repeats, normalize_by_row


class DualGNNConfig(UserGraphConfig):
    """Options of DualGNN; ``embedding_dim`` is the width of one modality and of the result.

    Attributes:
        hidden_dim: Width inside of the content encoders.
        num_layers: Depth on the user-item graph.
        num_user_layers: Depth on the user-user graph.
        construction: How a user's modalities become one vector: a ``weighted_sum``, the ``mean``, the largest number
            in each column (``max``), or two affine layers on all side by side (``cat_mlp``).
        preset: ``paper``: a user's weights sum to 1; ``as_released``: they start so and are then free, the criterion
            has the logarithm to base 2, and in training short lists of neighbours are filled up with random repeats.
    """

    name: Literal["dualgnn"] = "dualgnn"
    num_user_layers: int = Field(default=1, ge=1)
    construction: Literal["weighted_sum", "mean", "max", "cat_mlp"] = "weighted_sum"
    preset: Literal["paper", "as_released"] = "paper"


class DualGNN(UserGraphRecommender):
    r"""Sum the modalities, those of a user by weights of its own, and add to users what like users are.

    .. math::
        Z_I = \sum_m R_m, \quad p_u = \sum_m w_{u,m} R_{m,u}, \quad Z_U = (I + A_{uu}^{L_u})\, P

    :math:`R_m` are those of :class:`mmgraph.nn.ModalityUserItemGCN`, :math:`P` has the rows :math:`p_u`, and row
    :math:`u` of :math:`A_{uu}` is the softmax of the numbers of items that the user shares with each neighbour. There
    are no ids. An item that lacks a modality starts from zero there and receives from its users; a user without
    neighbours receives nothing from any.

    Source: Wang et al., 2021 (DualGNN). The released code leaves the weights free after their start, takes the
    logarithm to base 2, and fills short lists of neighbours with repeats drawn anew for each epoch, which count in the
    softmax as often as they stand there: ``preset="as_released"``, whose evaluation has no repeats.

    Example:
        >>> from mmgraph.testing import checkerboard_graph
        >>> model = DualGNN(checkerboard_graph(), DualGNNConfig(embedding_dim=4, hidden_dim=8)).eval()
        >>> model.encode().item.shape
        torch.Size([12, 4])
    """

    Config = DualGNNConfig
    paper = Paper(
        "Wang et al.", 2021, "DualGNN: Dual Graph Neural Network for Multimedia Recommendation"
    )
    modality_fusion = "joint"
    config: DualGNNConfig

    def __init__(self, graph: HeteroData, config: DualGNNConfig) -> None:
        weighed = config.construction == "weighted_sum"
        kind: Literal["free", "softmax"] = "free" if config.preset == "as_released" else "softmax"
        super().__init__(graph, config, weights=kind if weighed else "none")
        dim = config.embedding_dim
        if config.construction == "cat_mlp":
            self.joined = ModalityEncoder(dim * len(self.modalities), dim, hidden_dim=dim)
        self.seed = torch.initial_seed() % 2**63
        # Of the present epoch; before the first one, and outside of training, there are no repeats.
        self._repeated: Tensor | None = None

    @classmethod
    def edges_for(cls, config: DualGNNConfig) -> tuple[str, ...]:
        """Return ``co_user``."""
        return ("co_user",)

    @classmethod
    def graph_defaults(cls, config: DualGNNConfig) -> dict[str, Any]:
        """Return 40 users."""
        return {"co_user_top_k": 40}

    def on_epoch(self, epoch: int) -> None:
        """Draw the repeats of the epoch, where the preset has any."""
        if self.config.preset == "as_released":
            graph = self.user_graph
            times = neighbour_repeats(graph.rowptr, seed=self.seed, epoch=epoch)
            self._repeated = normalize_by_row(
                graph.edge_index(), graph.value * times, num_nodes=self.num_users, norm="row"
            )

    def encode(self) -> Embeddings:
        """Return users, with what like users add, and the items' sum over the modalities."""
        users, items = (x.split(self.config.embedding_dim, dim=1) for x in self.gcn())
        user = self._construct(users)
        repeated = self._repeated if self.training else None
        message = self.user_layers(user, self.user_graph, repeated)
        return Embeddings(user + message, torch.stack(items).sum(dim=0))

    def criterion(self, positive: Tensor, negative: Tensor) -> Tensor:
        """Return BPR, to base 2 as released."""
        return bpr_loss(positive, negative, base="e" if self.config.preset == "paper" else "2")

    def _construct(self, users: tuple[Tensor, ...]) -> Tensor:
        if self.config.construction == "cat_mlp":
            joined: Tensor = self.joined(torch.cat(users, dim=1))
            return joined
        if len(users) == 1 and self.user_weight is None:
            return users[0]
        stacked, shares = torch.stack(users, dim=1), self.user_shares()
        if shares is not None:
            return (stacked * shares[:, :, None]).sum(dim=1)
        return stacked.mean(dim=1) if self.config.construction == "mean" else stacked.amax(dim=1)
