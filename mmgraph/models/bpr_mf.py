"""BPR-MF: matrix factorisation trained on pairs, the baseline every graph model must beat."""

from typing import Literal

from torch import Tensor
from torch_geometric.data import HeteroData

from mmgraph.models.base import Batch, Embeddings, ModelConfig, Recommender, ranking_losses
from mmgraph.nn import id_embedding
from mmgraph.nn.encoders import Init


class BPRMFConfig(ModelConfig):
    """Options of BPR-MF."""

    name: Literal["bpr_mf"] = "bpr_mf"
    reg_weight: float = 3e-2
    init: Init = "xavier_uniform"


class BPRMF(Recommender):
    """Score a pair by the inner product of a user row and an item row.

    Source: Rendle et al., 2009; no item bias, as in the MMRec family's tables.

    Example:
        >>> from mmgraph.testing import checkerboard_graph
        >>> BPRMF(checkerboard_graph(), BPRMFConfig(embedding_dim=4)).encode().user.shape
        torch.Size([12, 4])
    """

    Config = BPRMFConfig

    def __init__(self, graph: HeteroData, config: BPRMFConfig) -> None:
        super().__init__(graph, config)
        self.user_embedding = id_embedding(self.num_users, config.embedding_dim, init=config.init)
        self.item_embedding = id_embedding(self.num_items, config.embedding_dim, init=config.init)

    def encode(self) -> Embeddings:
        """Return the two tables."""
        return Embeddings(self.user_embedding, self.item_embedding)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return ``bpr`` and ``reg``."""
        tables = self.encode()
        return ranking_losses(batch, final=tables, ego=tables, config=self.config)
