"""Models whose vectors are blocks of columns: one for each modality and one for all of them together."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field
from torch import Tensor
from torch_geometric.data import HeteroData

from mmgraph.models.base import EmbeddingConfig, Recommender
from mmgraph.models.batch import Embeddings
from mmgraph.models.inputs import SharesConfig, content_graph, user_item_adjacency
from mmgraph.nn import LayerStack, LightGCNConv, ModalityUserItemGCN, l2_penalty, weigh_blocks
from mmgraph.nn.encoders import Init
from mmgraph.nn.regularizers import Penalty


class BlockConfig(SharesConfig, EmbeddingConfig):
    """Options of models of blocks; ``embedding_dim`` is the width of one, of which there is one more than modalities.

    Attributes:
        hidden_dim: Width inside of the content encoders.
        num_layers: Depth on the user-item graph.
        num_item_layers: Depth on the item graph.
        shares: Share of a modality's neighbours in the item graph. The authors of CM3 and LIRDRec give the image 0.1.
        reg_kind: Of the penalty, which is on the final rows of all users and items.
        init: Of the users' preferences.
    """

    hidden_dim: int = Field(default=256, ge=1)
    num_layers: int = Field(default=2, ge=0)
    num_item_layers: int = Field(default=1, ge=0)
    reg_weight: float = Field(default=0.0, ge=0)
    reg_kind: Penalty = "mean_sq"
    reg_rows: Literal["final"] = "final"
    init: Init = "xavier_normal"


class BlockRecommender(Recommender):
    r"""Base of models that smooth blocks over interactions, weigh those of users, and items over their content.

    .. math:: Z_U = [a_b R_b]_b, \quad Z_I = (I + S^{L_i})\, [R_b]_b

    Source: Zhou et al., 2025, the code of LIRDRec and CM3.

    Args:
        graph: As for :class:`Recommender`, with the edges ``knn``.
        config: As for :class:`Recommender`.
        blocks: Features and presence of each block that is encoded.
        extra_blocks: Number of blocks that are given their rows, see :class:`mmgraph.nn.ModalityUserItemGCN`.
    """

    config: BlockConfig

    def __init__(
        self,
        graph: HeteroData,
        config: BlockConfig,
        blocks: Mapping[str, tuple[Tensor, Tensor]],
        *,
        extra_blocks: int = 0,
    ) -> None:
        super().__init__(graph, config)
        self.gcn = ModalityUserItemGCN(
            blocks,
            user_item_adjacency(graph),
            num_users=self.num_users,
            dim=config.embedding_dim,
            hidden_dim=config.hidden_dim,
            num_layers=config.num_layers,
            init=config.init,
            extra_blocks=extra_blocks,
            output_bias=False,
        )
        self.item_graph = content_graph(graph, config.shares)
        self.item_layers = LayerStack(
            LightGCNConv(), num_layers=config.num_item_layers, combine="last"
        )

    @classmethod
    def edges_for(cls, config: BlockConfig) -> tuple[str, ...]:
        """Return ``knn``."""
        return ("knn",)

    @classmethod
    def graph_defaults(cls, config: BlockConfig) -> dict[str, Any]:
        """Return that an item is one of its own neighbours."""
        return {"include_self": True}

    def smoothed(self, weigh: Callable[[Tensor], Tensor], *extra: Tensor) -> Embeddings:
        """Return the final vectors.

        Args:
            weigh: Makes the weights of each user's blocks of the users' rows.
            extra: Rows of items for the blocks that are given theirs.

        Shapes:
            ``weigh`` takes (num_users, num_blocks * dim) and returns (num_users, num_blocks).
        """
        user, item = self.gcn(*extra)
        user = weigh_blocks(user, weigh(user))
        return Embeddings(user, item + self.item_layers(item, self.item_graph))

    def penalty_of(self, final: Embeddings) -> dict[str, Tensor]:
        """Return ``reg`` on the final vectors, if it has a weight."""
        if not self.config.reg_weight:
            return {}
        return {"reg": l2_penalty(final, kind=self.config.reg_kind)}
