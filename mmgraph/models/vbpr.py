"""VBPR: matrix factorisation whose items also carry projected content."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from mmgraph.models.base import EmbeddingConfig, IdRecommender, Paper, Stage
from mmgraph.models.batch import Batch, Embeddings, Rows, distinct_items, items_of
from mmgraph.models.inputs import required_features
from mmgraph.nn import ModalityEncoder, ModalityEncoders, id_embedding
from mmgraph.nn.encoders import Init


class VBPRConfig(EmbeddingConfig):
    """Options of VBPR.

    Attributes:
        content_dim: Width of the users' tastes and of the projected content.
        item_bias: Whether an item has a bias of its own, and one by its content.
        unit_features: Whether each modality is L2-normalised first; raw features can outweigh the ids.
        content_reg_weight: Weight of the penalty on the projections.
    """

    name: Literal["vbpr"] = "vbpr"
    content_dim: int = Field(default=64, ge=1)
    item_bias: bool = True
    unit_features: bool = True
    reg_weight: float = Field(default=1e-2, ge=0)
    content_reg_weight: float = Field(default=0.0, ge=0)
    init: Init = "xavier_uniform"


class VBPR(IdRecommender):
    r"""Score by ids, by the user's taste in the item's content, and by what the content says to everybody.

    .. math::
        \hat y_{ui} = \beta_i + \langle p_u, q_i\rangle + \langle\theta_u, E x_i\rangle + \langle\beta', x_i\rangle

    Several modalities stand side by side in :math:`x_i`; one that an item lacks adds nothing. The global and the user's
    bias of the paper change no ranking and are left out. Training projects the items of the batch only.

    Source: He and McAuley, 2016 (VBPR), eqs. (4)-(5), written as one inner product of
    :math:`[p_u, \theta_u, 1]` and :math:`[q_i, E x_i, \beta_i + \langle\beta', x_i\rangle]`; more than one modality
    after the MMRec framework, which has no biases. Both take the features as they are: ``unit_features=False``.

    Example:
        >>> from mmgraph.testing import checkerboard_graph
        >>> model = VBPR(checkerboard_graph(), VBPRConfig(embedding_dim=4, content_dim=2)).eval()
        >>> model.encode().item.shape
        torch.Size([12, 7])
    """

    Config = VBPRConfig
    paper = Paper(
        "He and McAuley",
        2016,
        "VBPR: Visual Bayesian Personalized Ranking from Implicit Feedback",
    )
    modality_fusion = "joint"
    config: VBPRConfig

    def __init__(self, graph: HeteroData, config: VBPRConfig) -> None:
        super().__init__(graph, config, init=config.init)
        self.user_taste = id_embedding(self.num_users, config.content_dim, init=config.init)
        # One column more than the content: what it says to everybody.
        self.content = ModalityEncoders(
            required_features(graph, config),
            lambda width: ModalityEncoder(width, config.content_dim + config.item_bias, bias=False),
            unit=config.unit_features,
        )
        if config.item_bias:
            self.bias_item = nn.Parameter(torch.zeros(self.num_items, 1))

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One stage, with the configured weights of both penalties."""
        weights = {"reg": self.config.reg_weight, "content_reg": self.config.content_reg_weight}
        return (Stage(loss_weights=weights),)

    @property
    def tables(self) -> tuple[Embeddings, ...]:
        """Ids of both, then tastes of users and biases of items, which may have no column."""
        bias = self.bias_item if self.config.item_bias else self.item_embedding[:, :0]
        return (*super().tables, Embeddings(self.user_taste, bias))

    def encode(self) -> Embeddings:
        """Return ids, tastes and a one for users; ids, content and bias for items."""
        user, item = self.ego
        return Embeddings(self._of_user(user), self._of_item(item, self._content()))

    def batch_rows(self, batch: Batch) -> Rows:
        """Return the same of a batch; its distinct items alone are projected."""
        items, places = distinct_items(batch)
        user, *ids = self.ego_rows(batch)
        content = items_of(self._content(items), places)
        return Rows(self._of_user(user), *map(self._of_item, ids, content))

    def penalties(self, batch: Batch, rows: Rows) -> dict[str, Tensor]:
        """Return ``reg`` on the trainable rows of the batch and ``content_reg``, each if it has a weight."""
        terms = super().penalties(batch, rows)
        if self.config.content_reg_weight:
            squares = [weight.square().sum() for weight in self.content.parameters()]
            terms["content_reg"] = torch.stack(squares).sum() / 2
        return terms

    def _content(self, items: Tensor | None = None) -> Tensor:
        return torch.stack([*self.content(items).values()]).sum(dim=0)

    def _of_user(self, own: Tensor) -> Tensor:
        ones = [own.new_ones(len(own), 1)] if self.config.item_bias else []
        return torch.cat([own, *ones], dim=1)

    def _of_item(self, own: Tensor, content: Tensor) -> Tensor:
        if not self.config.item_bias:
            return torch.cat([own, content], dim=-1)
        bias = own[..., -1:] + content[..., -1:]
        return torch.cat([own[..., :-1], content[..., :-1], bias], dim=-1)
