"""From all features of an item to one point of a metric space."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgraph.nn.buffers import BufferList
from mmgraph.nn.encoders import ModalityEncoder, ModalityEncoders, affine
from mmgraph.nn.fusion import keep_present, normalize_rows
from mmgraph.nn.metric_learning import clip_rows


class ContentProjector(nn.Module):
    r"""Project the features of an item, side by side, into a ball: four layers, each hidden one fed with unit rows.

    .. math::
        h_1 = \mathrm{ReLU}(W_1\, \mathrm{norm}([x^m]_m) + b_1), \quad
        h_{l+1} = \mathrm{ReLU}(W_{l+1}\, \mathrm{norm}(h_l) + b_{l+1}), \quad
        z = \mathrm{clip}_c(W_4 h_3 + b_4)

    A modality that an item lacks is zero in the input, so the others have all of its length; an item without any is
    zero in the output. Only the rows that are asked for are projected.

    Source: Liu et al., 2019 (MAML), eqs. (3)-(4) and its code; the second and third layer are half as wide.

    Args:
        features: Feature matrix and presence mask of each modality; absent rows may hold anything.
        out_dim: Width of the space.
        hidden_dim: Width of the first layer.
        dropout: Share of the hidden numbers left out in training.
        max_norm: Radius c of the ball.
        unit: Divide each row of each modality by its length first.

    Shapes:
        features (num_items, dim_m) and (num_items,) bool; items (num_rows,) int64; returns (num_rows, out_dim).

    Example:
        >>> x, has = torch.ones(3, 4), torch.tensor([True, False, True])
        >>> projector = ContentProjector({"text": (x, has)}, 2, hidden_dim=8).eval()
        >>> projector(torch.tensor([1, 2])).shape, projector.has().tolist()
        (torch.Size([2, 2]), [True, False, True])
    """

    def __init__(
        self,
        features: Mapping[str, tuple[Tensor, Tensor]],
        out_dim: int,
        *,
        hidden_dim: int = 256,
        dropout: float = 0.0,
        max_norm: float = 1.0,
        unit: bool = False,
    ) -> None:
        super().__init__()
        self.dropout, self.max_norm = dropout, max_norm
        self.first = ModalityEncoders(
            features, lambda width: ModalityEncoder(width, hidden_dim, bias=False), unit=unit
        )
        squares = torch.stack([x.square().sum(dim=1) for x in self.first.features])
        # Of the modalities side by side, which are never put there.
        self.scale = BufferList([1 / squares.sum(dim=0).sqrt().clamp(min=1e-12)[:, None]])
        self.bias = nn.Parameter(torch.zeros(hidden_dim))
        half = max(1, hidden_dim // 2)
        self.middle = nn.ModuleList([affine(hidden_dim, half), affine(half, half)])
        self.last = affine(half, out_dim)

    def has(self, items: Tensor | None = None) -> Tensor:
        """Return which of some items, or of all, have any modality; (num_rows,) bool."""
        return torch.stack([*self.first.has(items).values()]).any(dim=0)

    def forward(self, items: Tensor | None = None) -> Tensor:
        """Return the points of some items, or of all; zero where an item has no modality."""
        scale = self.scale[0] if items is None else self.scale[0].index_select(0, items)
        hidden = torch.stack([*self.first(items).values()]).sum(dim=0) * scale + self.bias
        hidden = F.dropout(hidden.relu(), self.dropout, self.training)
        for layer in self.middle:
            hidden = F.dropout(layer(normalize_rows(hidden)).relu(), self.dropout, self.training)
        return keep_present(clip_rows(self.last(hidden), self.max_norm), self.has(items))
