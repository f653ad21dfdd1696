"""A metric of its own for each pair: attention of a user and an item over the dimensions of their space."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgraph.nn.encoders import affine

_WIDENING = 5  # of the hidden layer
_BLOCK = 2**18
"""Numbers in a table of the full ranking on a CPU: 1 MB in float32, which stays in the cache of a core."""
_DEVICE_BLOCK = 2**25
"""The same elsewhere, where small tables leave most of the device idle: 128 MB in float32."""


class Side(NamedTuple):
    """What users, or items, bring to a pair: points, their part of the hidden layer, and squared lengths."""

    point: Tensor
    hidden: Tensor
    square: Tensor

    def rows(self, place: Tensor) -> "Side":
        """Return some rows, in the shape of the places."""
        flat = place.flatten()
        return Side(*(x.index_select(0, flat).unflatten(0, place.shape) for x in self))

    def part(self, start: int, step: int) -> "Side":
        """Return the rows from ``start`` on, at most ``step``."""
        return Side(*(x[start : start + step] for x in self))

    def unsqueeze(self, dim: int) -> "Side":
        """Return all three with one dimension more."""
        return Side(*(x.unsqueeze(dim) for x in self))


class DimensionAttention(nn.Module):
    r"""Weigh the dimensions of a metric for each pair of a user and an item.

    .. math::
        h = \tanh\!\big(W_1\, \mathrm{norm}([p_u, q_i, z_i]) + b_1\big), \quad
        a_{ui} = K\, \mathrm{softmax}\big(\mathrm{ReLU}(W_2\, \mathrm{norm}(h) + b_2)\big), \quad
        d_{ui} = \lVert a_{ui} \odot (p_u - q_i)\rVert^2

    The K weights of a pair add up to K; where they are equal the metric is Euclidean. The first layer is a sum of a
    part of the user's and a part of the item's, each computed once; so is the squared length it is divided by.

    Source: Liu et al., 2019 (MAML), eqs. (5)-(9); layers Glorot-uniform with zero bias, as in its code.

    Args:
        dim: Width K of the space.
        dropout: Share of the hidden numbers left out in training.

    Shapes:
        user (num_users, dim), item and content (num_items, dim).

    Example:
        >>> attention, point = DimensionAttention(4), torch.eye(4)
        >>> _ = nn.init.zeros_(attention.output.weight)
        >>> attention.scores(point[:1], point, torch.zeros(4, 4)).tolist()
        [[-0.0, -2.0, -2.0, -2.0]]
    """

    def __init__(self, dim: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.dim, self.dropout = dim, dropout
        self.hidden = affine(3 * dim, _WIDENING * dim)
        self.output = affine(_WIDENING * dim, dim)

    def sides(self, user: Tensor, item: Tensor, content: Tensor) -> tuple[Side, Side]:
        """Return what users and items bring to their pairs."""
        own, other = self.hidden.weight.split([self.dim, 2 * self.dim], dim=1)
        both = torch.cat([item, content], dim=1)
        return (
            Side(user, F.linear(user, own), user.square().sum(dim=1)),
            Side(item, F.linear(both, other), both.square().sum(dim=1)),
        )

    def weights(self, user: Side, item: Side) -> Tensor:
        """Return the weights of the dimensions for pairs: the sides may have any shapes that broadcast.

        Shapes:
            returns (..., dim); the sum over the last dimension is ``dim``.
        """
        scale = 2 * (user.square + item.square).clamp(min=1e-24).rsqrt()
        inside = torch.addcmul(2 * self.hidden.bias, user.hidden + item.hidden, scale[..., None])
        # tanh(x) = 2 sigmoid(2 x) - 1: torch computes a sigmoid ten times as fast as a hyperbolic tangent.
        hidden = F.dropout(2 * torch.sigmoid(inside) - 1, self.dropout, self.training)
        length: Tensor = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True).clamp(min=1e-12)
        logits = F.linear(hidden, self.output.weight) / length + self.output.bias
        return self.dim * logits.relu().softmax(dim=-1)

    def distances(self, user: Side, item: Side) -> Tensor:
        """Return the squared distances of pairs, each by its own weights; the sides broadcast as in :meth:`weights`."""
        return (self.weights(user, item) * (user.point - item.point)).square().sum(dim=-1)

    def scores(self, user: Tensor, item: Tensor, content: Tensor) -> Tensor:
        """Return the negative distances of some users to all items.

        Pairs come in blocks: nothing but the result grows with the number of users times that of items.

        Shapes:
            returns (num_users, num_items).

        Complexity:
            O(num_users * num_items * dim ** 2) time; memory of the result and of a few tables of one block.
        """
        asking, asked = self.sides(user, item, content)
        asking, asked = asking.unsqueeze(1), asked.unsqueeze(0)
        budget = _BLOCK if user.device.type == "cpu" else _DEVICE_BLOCK
        pairs = max(1, budget // (_WIDENING * self.dim))
        rows = max(1, min(len(user), math.isqrt(pairs)))
        step = max(1, pairs // rows)
        result = user.new_empty(len(user), len(item))
        for first in range(0, len(user), rows):
            some = asking.part(first, rows)
            for start in range(0, len(item), step):
                block = Side(*(x[:, start : start + step] for x in asked))
                result[first : first + rows, start : start + step] = -self.distances(some, block)
        return result
