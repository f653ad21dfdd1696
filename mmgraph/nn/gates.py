"""Small learned judges: how much of each vector a node takes, and how much of each number passes."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmgraph.nn.calibration import masked_softmax
from mmgraph.nn.encoders import affine


class QueryAttention(nn.Module):
    r"""Weigh several vectors of a node by one query that all nodes and all vectors share.

    .. math:: \alpha_m = \mathrm{softmax}_m\big(q^\top \tanh(W x_m + b)\big), \quad x = \sum_m \alpha_m x_m

    Vectors that a node lacks get no weight; a node without any weighs all equally. A single vector is taken as it is,
    without parameters.

    Source: Zhang et al., 2022 (MICRO), fusion by attention; also of Yu et al., 2023 (MGCN).

    Args:
        dim: Width of the vectors.
        num_parts: How many there are of each node.

    Shapes:
        parts (n, dim) each; present (n,) bool each; returns (n, dim).

    Example:
        >>> x, has = torch.eye(2), torch.tensor([True, True])
        >>> bool(torch.allclose(QueryAttention(2, 2)([x, x], [has, has]), x))
        True
    """

    def __init__(self, dim: int, num_parts: int) -> None:
        super().__init__()
        self.query: nn.Module | None = None
        if num_parts > 1:
            self.query = nn.Sequential(affine(dim, dim), nn.Tanh(), affine(dim, 1, bias=False))

    def weights(self, parts: Sequence[Tensor], present: Sequence[Tensor]) -> Tensor:
        """Return the weights of the vectors; (n, num_parts), rows sum to 1."""
        if self.query is None:
            return parts[0].new_ones(len(parts[0]), 1)
        has = torch.stack(list(present), dim=1)
        logits = torch.cat([self.query(x) for x in parts], dim=1)
        return masked_softmax(logits, has | ~has.any(dim=1, keepdim=True))

    def forward(self, parts: Sequence[Tensor], present: Sequence[Tensor]) -> Tensor:
        """Return the weighted sum."""
        if self.query is None:
            return parts[0]
        weights = self.weights(parts, present).split(1, dim=1)
        weighted = [weight * x for weight, x in zip(weights, parts, strict=True)]
        return torch.stack(weighted).sum(dim=0)


class SigmoidGate(nn.Module):
    r"""Let through of each number what another vector says: :math:`x \odot \sigma(W c + b)`.

    Source: Yu et al., 2023 (MGCN), behaviour-guided purifier and behaviour-aware fuser.

    Args:
        control_dim: Width of the vector that decides.
        dim: Width of the vector that passes.

    Shapes:
        x (n, dim), control (n, control_dim); returns (n, dim).

    Example:
        >>> SigmoidGate(3, 2)(torch.ones(1, 2), torch.zeros(1, 3)).tolist()
        [[0.5, 0.5]]
    """

    def __init__(self, control_dim: int, dim: int) -> None:
        super().__init__()
        self.linear = affine(control_dim, dim)

    def forward(self, x: Tensor, control: Tensor) -> Tensor:
        """Return what passes."""
        return x * torch.sigmoid(self.linear(control))
