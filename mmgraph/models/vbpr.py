"""VBPR: matrix factorisation whose items also carry projected content."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from mmgraph.models.base import (
    Batch,
    Embeddings,
    IdRecommender,
    ModelConfig,
    Stage,
    distinct_items,
    ranking_losses,
    required_features,
)
from mmgraph.nn import ModalityEncoder, ModalityEncoders, id_embedding, normalize_rows
from mmgraph.nn.encoders import Init


class VBPRConfig(ModelConfig):
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
    config: VBPRConfig

    def __init__(self, graph: HeteroData, config: VBPRConfig) -> None:
        super().__init__(graph, config, init=config.init)
        features = required_features(graph, config)
        if config.unit_features:
            features = {name: (normalize_rows(x), has) for name, (x, has) in features.items()}
        self.user_taste = id_embedding(self.num_users, config.content_dim, init=config.init)
        # One column more than the content: what it says to everybody.
        self.content = ModalityEncoders(
            features,
            lambda width: ModalityEncoder(width, config.content_dim + config.item_bias, bias=False),
        )
        if config.item_bias:
            self.bias_item = nn.Parameter(torch.zeros(self.num_items, 1))

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One stage, with the configured weights of both penalties."""
        weights = {"reg": self.config.reg_weight, "content_reg": self.config.content_reg_weight}
        return (Stage(loss_weights=weights),)

    def encode(self) -> Embeddings:
        """Return ids, tastes and a one for users; ids, content and bias for items."""
        return self._join(*self._ids(), torch.stack([*self.content().values()]).sum(dim=0))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return ``bpr``, ``reg`` on the trainable rows of the batch, and ``content_reg`` if it has a weight."""
        items, place = distinct_items(batch)
        content = torch.stack([*self.content(items).values()]).sum(dim=0)
        ids = self._ids(batch.user, items)
        # The batch as a catalogue of its own: its users in order, its distinct items.
        small = Batch(torch.arange(len(batch.user), device=batch.user.device), *place)
        final = self._join(*ids, content)
        terms = ranking_losses(small, final=final, ego=ids, config=self.config)
        if self.config.content_reg_weight:
            squares = [weight.square().sum() for weight in self.content.parameters()]
            terms["content_reg"] = torch.stack(squares).sum() / 2
        return terms

    def _ids(self, users: Tensor | None = None, items: Tensor | None = None) -> Embeddings:
        """Return what is learned of some users and items alone, or of all."""

        def side_by_side(tables: Sequence[Tensor], rows: Tensor | None) -> Tensor:
            chosen = tables if rows is None else [x.index_select(0, rows) for x in tables]
            return torch.cat([*chosen], dim=1)

        of_item = [self.item_embedding, *([self.bias_item] if self.config.item_bias else [])]
        return Embeddings(
            side_by_side([self.user_embedding, self.user_taste], users),
            side_by_side(of_item, items),
        )

    def _join(self, user: Tensor, item: Tensor, content: Tensor) -> Embeddings:
        width = self.config.embedding_dim
        if not self.config.item_bias:
            return Embeddings(user, torch.cat([item, content], dim=1))
        bias = item[:, width:] + content[:, -1:]
        return Embeddings(
            torch.cat([user, user.new_ones(len(user), 1)], dim=1),
            torch.cat([item[:, :width], content[:, :-1], bias], dim=1),
        )
