"""One unit vector of several, on the shortest arc between two and on a Bezier curve between more."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgraph.nn.fusion import normalize_rows

_NEAREST = 1e-6
"""Cosines closer than this to 1 or -1 are an arc of no, or of half a turn: the smallest that float32 tells from it."""


def slerp(first: Tensor, second: Tensor, place: Tensor) -> Tensor:
    r"""Return the unit vectors at some place of the arcs between unit vectors: at 1 the first ones, at 0 the second.

    .. math:: \frac{\sin(p\theta)}{\sin\theta}\, a + \frac{\sin((1-p)\theta)}{\sin\theta}\, b, \quad
        \theta = \arccos\langle a, b\rangle

    Where the arc is too short for float32 the chord is divided by its length. Opposite vectors have no shortest arc;
    theirs goes by the coordinate axis that is nearest to a right angle with the first one. Two zero vectors give zero.

    Source: Shoemake, 1985; used by CM3, whose code divides 0 by 0 where two vectors agree.

    Shapes:
        first, second (..., dim); place (..., 1); returns (..., dim).

    Example:
        >>> half = slerp(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor([0.5]))
        >>> half.tolist()
        [0.7071067690849304, 0.7071067690849304]
    """
    cosine = (first * second).sum(dim=-1, keepdim=True)
    short = cosine.abs() > 1 - _NEAREST
    # No gradient may pass where it would be infinite, not even one that is thrown away.
    angle = cosine.where(~short, 0.0).acos()
    arc = ((place * angle).sin() * first + ((1 - place) * angle).sin() * second) / angle.sin()
    aside = _aside(first).where(short & (cosine < 0), 0.0)
    chord = place * first + (1 - place) * second + place * (1 - place) * aside
    return normalize_rows(chord).where(short, arc)


class SphericalMix(nn.Module):
    r"""Mix the directions of several vectors into one, at random places in training and half-way else.

    .. math:: b_r^{(k+1)} = \mathrm{slerp}\big(b_r^{(k)}, b_{r+1}^{(k)}; p\big), \quad
        b_r^{(0)} = x_r / \lVert x_r \rVert, \quad p \sim \mathrm{Beta}(\alpha, \alpha)

    Result is the last point left, of unit length; of two vectors it is their slerp. Each item has a place of its own,
    drawn anew at every call. What an item lacks is left out of its curve, as if there were fewer vectors; an item
    without any gets zeros.

    Source: CM3, spherical Bezier fusion; its code treats two vectors, the construction for more (De Casteljau's with
    arcs for lines) is ours. The result for more than two depends on their order.

    Args:
        present: Which items have the vector, one mask each, in the order of the vectors.
        alpha: Below 1 the ends of the arc are drawn more often than its middle.

    Shapes:
        vectors (num_items, dim) each; present (num_items,) bool each; returns (num_items, dim).

    Example:
        >>> has = torch.ones(1, dtype=torch.bool)
        >>> mix = SphericalMix([has, has], alpha=0.5).eval()
        >>> mix([torch.tensor([[9.0, 0.0]]), torch.tensor([[0.0, 2.0]])]).tolist()
        [[0.7071067690849304, 0.7071067690849304]]
    """

    def __init__(self, present: Sequence[Tensor], *, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        masks = torch.stack(list(present), dim=1)
        self.is_complete = bool(masks.all())
        # Those that an item has come first, in their order.
        self.order: Tensor
        self.register_buffer("order", (~masks).long().argsort(dim=1, stable=True), persistent=False)
        self.count: Tensor
        self.register_buffer("count", masks.sum(dim=1), persistent=False)

    def forward(self, vectors: Sequence[Tensor]) -> Tensor:
        """Return the mixed directions."""
        points = torch.stack([normalize_rows(_precise(x)) for x in vectors], dim=1)
        _, num_vectors, dim = points.shape
        if not self.is_complete:
            points = points.gather(1, self.order[:, :, None].expand(-1, -1, dim))
        place = self._places(points) if num_vectors > 1 else points
        for left in range(num_vectors - 1, 0, -1):
            nearer = slerp(points[:, :-1], points[:, 1:], place)
            if not self.is_complete:
                # An item with fewer vectors arrives at its first point earlier.
                fewer = num_vectors - left + torch.arange(left, device=points.device)
                moves = (fewer < self.count[:, None])[:, :, None]
                nearer = nearer.where(moves, points[:, :-1])
            points = nearer
        return points[:, 0]

    def _places(self, points: Tensor) -> Tensor:
        size = (points.size(0), 1, 1)
        if not self.training:
            return points.new_full(size, 0.5)
        alpha = points.new_tensor(self.alpha)
        return torch.distributions.Beta(alpha, alpha, validate_args=False).sample(size)


def _precise(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _aside(x: Tensor) -> Tensor:
    """Return unit vectors at right angles with the given ones, towards their smallest coordinate."""
    axis = F.one_hot(x.detach().abs().argmin(dim=-1), x.size(-1)).to(x)
    return normalize_rows(axis - (axis * x).sum(dim=-1, keepdim=True) * x)
