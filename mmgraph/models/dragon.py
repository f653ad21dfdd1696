"""DRAGON: modalities side by side, then one step over user-user and item-item graphs."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor
from torch_geometric.data import HeteroData

from mmgraph.models.base import Paper
from mmgraph.models.batch import Embeddings
from mmgraph.models.inputs import SharesConfig, content_graph
from mmgraph.models.preferences import UserGraphConfig, UserGraphRecommender
from mmgraph.nn import LayerStack, LightGCNConv, bpr_loss, weigh_blocks


class DRAGONConfig(SharesConfig, UserGraphConfig):
    """Options of DRAGON; ``embedding_dim`` is the width of one modality.

    Attributes:
        hidden_dim: Width inside of the content encoders.
        num_layers: Depth on the user-item graph.
        num_user_layers: Depth on the user-user graph.
        num_item_layers: Depth on the item-item graph.
        shares: Share of a modality's neighbours in the item graph. The paper gives the image 0.1.
        user_weights: Whether users weigh the modalities; without, the score is the plain sum.
        bpr_base: Base of the logarithm of the criterion; the published penalties go with 2.
    """

    name: Literal["dragon"] = "dragon"
    num_item_layers: int = Field(default=1, ge=0)
    user_weights: bool = True
    bpr_base: Literal["e", "2"] = "2"


class DRAGON(UserGraphRecommender):
    r"""Score by the sum of the modalities' inner products, each smoothed over three graphs.

    .. math::
        Z_U = (I + A_{uu}^{L_u})\, [w_{u,m} R_m]_m, \quad Z_I = (I + S^{L_i})\, [R_m]_m,
        \quad \hat y_{ui} = \sum_m \langle Z_u^m, Z_i^m\rangle

    :math:`R_m` are those of :class:`mmgraph.nn.ModalityUserItemGCN`. Row :math:`u` of :math:`A_{uu}` is the softmax of
    the numbers of items that the user shares with each neighbour; :math:`S` mixes the content neighbours. The weights
    :math:`w` start as a softmax and are then free; without ``user_weights`` they are 1.

    Source: Zhou et al., 2023 (DRAGON), and its code for what the paper leaves open: the start of the weights, the base
    of the logarithm, the penalty on preferences and weights. A user without neighbours receives nothing from any, where
    that code repeats random ones.

    Example:
        >>> from mmgraph.testing import checkerboard_graph
        >>> model = DRAGON(checkerboard_graph(), DRAGONConfig(embedding_dim=4, hidden_dim=8)).eval()
        >>> model.encode().item.shape, list(model.modality_embeddings())
        (torch.Size([12, 8]), ['text', 'image'])
    """

    Config = DRAGONConfig
    paper = Paper(
        "Zhou et al.",
        2023,
        "Enhancing Dyadic Relations with Homogeneous Graphs for Multimodal Recommendation",
    )
    modality_fusion = "late"
    late_fusion_defaults: ClassVar[Mapping[str, Any]] = {"user_weights": False, "bpr_base": "e"}
    config: DRAGONConfig

    def __init__(self, graph: HeteroData, config: DRAGONConfig) -> None:
        super().__init__(graph, config, weights="free" if config.user_weights else "none")
        self.item_graph = content_graph(graph, config.shares)
        self.item_layers = LayerStack(
            LightGCNConv(), num_layers=config.num_item_layers, combine="last"
        )

    @classmethod
    def edges_for(cls, config: DRAGONConfig) -> tuple[str, ...]:
        """Return ``knn`` and ``co_user``."""
        return ("knn", "co_user")

    @classmethod
    def graph_defaults(cls, config: DRAGONConfig) -> dict[str, Any]:
        """Return items among their own neighbours, and 40 users."""
        return {"include_self": True, "co_user_top_k": 40}

    def encode(self) -> Embeddings:
        """Return the modalities side by side."""
        user, item = self.gcn()
        if self.user_weight is not None:
            user = weigh_blocks(user, self.user_weight)
        return Embeddings(
            user + self.user_layers(user, self.user_graph),
            item + self.item_layers(item, self.item_graph),
        )

    @property
    def modality_widths(self) -> dict[str, int]:
        """As many columns for each modality."""
        return dict.fromkeys(self.modalities, self.config.embedding_dim)

    def criterion(self, positive: Tensor, negative: Tensor) -> Tensor:
        """Return BPR to the configured base."""
        return bpr_loss(positive, negative, base=self.config.bpr_base)
