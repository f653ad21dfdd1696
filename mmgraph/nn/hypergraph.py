"""Soft hypergraphs: every node belongs, in part, to each of a few hyperedges."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgraph.nn.fusion import keep_present


class SoftHypergraph(nn.Module):
    r"""Make memberships from logits, noisy and with gaps in training, and always the same elsewhere.

    .. math:: H_{i\cdot} = \mathrm{softmax}\big((\ell_{i\cdot} + g_{i\cdot}) / \tau\big)

    with Gumbel noise :math:`g` in training and without it in eval mode. The noise comes from torch's global generator.

    Source: Guo et al., 2024 (LGMRec), hypergraph dependencies. Its code adds the noise when it evaluates, too.

    Args:
        temperature: The number :math:`\tau`.
        dropout: Share of the memberships left out in training; the others are scaled up.

    Shapes:
        logits (n, num_hyperedges); present (n,) bool; returns the shape of the logits, zero rows for nodes that are not
        there.

    Example:
        >>> graph = SoftHypergraph(temperature=1.0).eval()
        >>> graph(torch.zeros(2, 2), torch.tensor([True, False])).tolist()
        [[0.5, 0.5], [0.0, 0.0]]
    """

    def __init__(self, *, temperature: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.temperature, self.dropout = temperature, dropout

    def forward(self, logits: Tensor, present: Tensor) -> Tensor:
        """Return the memberships."""
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if self.training:
            logits = logits - torch.empty_like(logits).exponential_().log()
        memberships = (logits / self.temperature).softmax(dim=1)
        return F.dropout(keep_present(memberships, present), self.dropout, self.training)


class HypergraphConv(nn.Module):
    r"""Gather the items' vectors in hyperedges and hand them back, to items and to users.

    .. math:: l = H_I^\top x, \quad x \leftarrow H_I\, l, \quad u = H_U\, l

    Source: Guo et al., 2024 (LGMRec), global hypergraph embedding.

    Args:
        num_layers: How often; the users receive from the last time.

    Shapes:
        item (num_items, dim), of_items (num_items, num_hyperedges), of_users (num_users, num_hyperedges); returns
        (num_users, dim) and (num_items, dim).

    Example:
        >>> one = torch.ones(2, 1)
        >>> user, item = HypergraphConv()(torch.tensor([[1.0], [2.0]]), one, one)
        >>> user.tolist(), item.tolist()
        ([[3.0], [3.0]], [[3.0], [3.0]])
    """

    def __init__(self, num_layers: int = 1) -> None:
        super().__init__()
        self.num_layers = num_layers

    def forward(self, item: Tensor, of_items: Tensor, of_users: Tensor) -> tuple[Tensor, Tensor]:
        """Return users and items."""
        gathered = of_items.t() @ item
        for _ in range(self.num_layers - 1):
            gathered = of_items.t() @ (of_items @ gathered)
        return of_users @ gathered, of_items @ gathered


class ModalityHypergraphs(nn.Module):
    """The vectors that users and items receive over the soft hyperedges of each modality.

    Source: Guo et al., 2024 (LGMRec), global hypergraph embedding.

    Args:
        temperature: See :class:`SoftHypergraph`.
        dropout: See :class:`SoftHypergraph`.
        num_layers: See :class:`HypergraphConv`.

    Shapes:
        item (num_items, dim); of_users and of_items, the logits of each modality, (num_users, num_hyperedges) and
        (num_items, num_hyperedges); present, for users and for items, (n,) bool for each modality. Returns for users
        and for items (n, dim) for each modality.

    Example:
        >>> one, has = torch.ones(2, 1), torch.tensor([True, False])
        >>> user, item = ModalityHypergraphs(temperature=1.0).eval()(one, [one], [one], [[has], [has]])
        >>> user[0].tolist(), item[0].tolist()
        ([[1.0], [0.0]], [[1.0], [0.0]])
    """

    def __init__(self, *, temperature: float, dropout: float = 0.0, num_layers: int = 1) -> None:
        super().__init__()
        self.memberships = SoftHypergraph(temperature=temperature, dropout=dropout)
        self.layers = HypergraphConv(num_layers)

    def forward(
        self,
        item: Tensor,
        of_users: Sequence[Tensor],
        of_items: Sequence[Tensor],
        present: Sequence[Sequence[Tensor]],
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the vectors of users, and those of items."""
        vectors: tuple[list[Tensor], list[Tensor]] = ([], [])
        for user_logits, item_logits, *masks in zip(of_users, of_items, *present, strict=True):
            items = self.memberships(item_logits, masks[1])
            users = self.memberships(user_logits, masks[0])
            for side, received in zip(vectors, self.layers(item, items, users), strict=True):
                side.append(received)
        return vectors
