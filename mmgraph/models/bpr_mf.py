"""BPR-MF: matrix factorisation trained on pairs, the baseline every graph model must beat."""

from typing import Literal

from pydantic import Field
from torch_geometric.data import HeteroData

from mmgraph.models.base import EmbeddingConfig, IdRecommender, Paper
from mmgraph.models.batch import Embeddings
from mmgraph.nn.encoders import Init


class BPRMFConfig(EmbeddingConfig):
    """Options of BPR-MF."""

    name: Literal["bpr_mf"] = "bpr_mf"
    reg_weight: float = Field(default=3e-2, ge=0)
    init: Init = "xavier_uniform"


class BPRMF(IdRecommender):
    """Score a pair by the inner product of a user row and an item row.

    Source: Rendle et al., 2009; no item bias, as in the MMRec family's tables.

    Example:
        >>> from mmgraph.testing import checkerboard_graph
        >>> BPRMF(checkerboard_graph(), BPRMFConfig(embedding_dim=4)).encode().user.shape
        torch.Size([12, 4])
    """

    Config = BPRMFConfig
    paper = Paper(
        "Rendle et al.",
        2009,
        "BPR: Bayesian Personalized Ranking from Implicit Feedback",
    )

    def __init__(self, graph: HeteroData, config: BPRMFConfig) -> None:
        super().__init__(graph, config, init=config.init)

    def encode(self) -> Embeddings:
        """Return the two tables."""
        return self.ego
