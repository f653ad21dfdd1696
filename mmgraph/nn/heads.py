"""From several vectors of an item to one: for each user by attention, or for everybody by pooling."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from mmgraph.nn.encoders import affine
from mmgraph.nn.fusion import keep_present, presence_mean

AttentionKind = Literal["scaled_dot", "dot", "bilinear", "additive"]
Pooling = Literal["mean", "max", "fc"]
PartFusion = Literal["attention", "max_hard", "mean", "max", "fc"]

_BLOCK = 2**18
"""Numbers in a table of the full ranking: 1 MB in float32, which stays in the cache of a core."""


class ModalityAttention(nn.Module):
    r"""Weigh the parts of an item for each user: the same item is another vector to another user.

    .. math::
        s_{ij}^m = f(u_i, \bar v_j^m), \quad a_{ij} = \mathrm{softmax}_m(s_{ij}),
        \quad v_{ij} = \sum_m a_{ij}^m \bar v_j^m

    With user :math:`u` and part :math:`v` the logit :math:`f` is

    - ``scaled_dot``: :math:`\langle u, v\rangle / \sqrt d`, no parameters;
    - ``dot``: :math:`\langle u, v\rangle`, which long user vectors drive to a single part;
    - ``bilinear``: :math:`u^\top Q v`;
    - ``additive``: :math:`w^\top \tanh(W_u u + W_m v)`.

    A part that an item lacks gets no weight; each item must have one. ``hard`` leaves all the weight to the part with
    the largest logit, the first of equal ones.

    Source: MARIO, modality-aware attention; the slides print no equation. ``scaled_dot`` is the plainest form in which
    the user asks, and equal logits give the mean.

    Args:
        dim: Width of all vectors.
        num_parts: Parts of an item.
        kind: Form of the logits.
        hard: Choose one part instead of weighing all.

    Shapes:
        user (n, dim), parts (n, dim) each, present (n,) bool each; returns (n, dim).

    Example:
        >>> user, yes = torch.tensor([[0.0, 2.0]]), torch.tensor([True])
        >>> parts = [torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 0.0]])]
        >>> ModalityAttention(2, 2)(user, parts, [yes, yes]).tolist()
        [[2.0, 0.0]]
    """

    def __init__(
        self, dim: int, num_parts: int, kind: AttentionKind = "scaled_dot", *, hard: bool = False
    ) -> None:
        super().__init__()
        self.dim, self.kind, self.hard = dim, kind, hard
        if kind == "bilinear":
            # The start is the scaled inner product.
            self.bilinear = nn.Parameter(torch.eye(dim) / math.sqrt(dim))
        elif kind == "additive":
            self.query = affine(dim, dim)
            self.keys = nn.ModuleList(affine(dim, dim, bias=False) for _ in range(num_parts))
            self.vector = nn.Parameter(torch.empty(dim).uniform_(-1, 1) / math.sqrt(dim))

    def forward(self, user: Tensor, parts: Sequence[Tensor], present: Sequence[Tensor]) -> Tensor:
        """Return what each item is to its user, row by row."""
        return _weighed(self.weights(user, parts, present), parts)

    def stored(self, parts: Sequence[Tensor], present: Sequence[Tensor]) -> Tensor:
        """Return all that scoring needs of the items: their parts side by side."""
        del present
        return torch.cat(list(parts), dim=1)

    def weights(self, user: Tensor, parts: Sequence[Tensor], present: Sequence[Tensor]) -> Tensor:
        """Return the weights of the parts, row by row.

        Shapes:
            as for the whole; returns (n, num_parts), each row sums to 1.
        """
        asked, products = self._asked(user), [(user * x).sum(dim=1) for x in parts]
        logits = [
            self._logits(asked, key, product, pairs=True)
            for key, product in zip(self._keys(parts), products, strict=True)
        ]
        return self._weights(logits, present).T

    def mean_vectors(
        self,
        pairs: Tensor,
        user: Tensor,
        stored: Tensor,
        present: Sequence[Tensor],
    ) -> Tensor:
        """Return each item's parts by its weights averaged over its users; of an item without any by equal ones.

        Args:
            pairs: Users and their items.
            user: Vectors of all users.
            stored: What :meth:`stored` returned for all items.
            present: Which parts they have.

        Shapes:
            pairs (2, num_pairs) int64; returns (num_items, dim).

        Complexity:
            O(num_pairs * dim) for each part; memory of the result and one block.
        """
        parts = stored.split(self.dim, dim=1)
        there = torch.stack(list(present), dim=1).to(user.dtype)
        total = torch.zeros_like(there)
        for some in pairs.split(max(1, _BLOCK // self.dim), dim=1):
            users, items = some
            rows = [x.index_select(0, items) for x in parts]
            masks = [has.index_select(0, items) for has in present]
            total.index_add_(0, items, self.weights(user.index_select(0, users), rows, masks))
        degree = torch.bincount(pairs[1], minlength=len(there))[:, None]
        equal = there / there.sum(dim=1, keepdim=True)
        weights = torch.where(degree > 0, total / degree.clamp(min=1), equal)
        return _weighed(weights, parts)

    def scores(self, user: Tensor, stored: Tensor, present: Sequence[Tensor]) -> Tensor:
        r"""Return the scores of all items for some users.

        The score of a pair is the mean of its parts' inner products by their weights, so no vector of a pair is made:
        :math:`\langle u, v_{ij}\rangle = \sum_m a_{ij}^m \langle u, \bar v_j^m\rangle`. Items come in blocks:
        nothing but the result grows with their number.

        Shapes:
            user (num_users, dim), stored (num_items, num_parts * dim), present (num_items,) bool each; returns
            (num_users, num_items).

        Complexity:
            O(num_users * num_items * dim) for each part; ``bilinear`` twice, ``additive`` with a sigmoid for each of
            those numbers.
        """
        parts = stored.split(self.dim, dim=1)
        asked, keys = self._asked(user), self._keys(parts)
        width = len(user) * (self.dim if self.kind == "additive" else 1)
        step = max(1, _BLOCK // max(1, width))
        result = user.new_empty(len(user), len(parts[0]))
        for start in range(0, len(parts[0]), step):
            block = slice(start, start + step)
            products = [user @ x[block].T for x in parts]
            logits = [
                self._logits(asked, key[block], product, pairs=False)
                for key, product in zip(keys, products, strict=True)
            ]
            weights = self._weights(logits, [has[block] for has in present])
            result[:, block] = (weights * torch.stack(products)).sum(dim=0)
        return result

    def top_k(
        self,
        user: Tensor,
        stored: Tensor,
        present: Sequence[Tensor],
        *,
        k: int,
        allowed: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return scores and indices of the k best items of some users, of equal ones the smaller index first.

        A score lies between the smallest and the largest inner product of the item's parts. So an item is out whose
        largest is below the k-th best of the smallest ones, and only the others are weighed. That spares much where
        the parts of an item say nearly the same, and little where they do not.

        Args:
            user: Vectors of the users.
            stored: What :meth:`stored` returned for all items.
            present: Which parts they have.
            k: Length of the lists; at most the number of items.
            allowed: Items that may be listed; by default all. Where there are fewer than k, the last scores are
                -infinity.

        Shapes:
            user (num_users, dim), stored (num_items, num_parts * dim), present (num_items,) bool each, allowed
            (num_users, num_items) bool; returns (num_users, k) twice.

        Complexity:
            O(num_users * num_items * dim) for each part, and a sort of the scores; memory of a table of users by items
            for each part.
        """
        parts, none = stored.split(self.dim, dim=1), -torch.inf
        products = torch.stack([user @ x.T for x in parts])
        there = torch.stack(list(present))[:, None]
        low = products.masked_fill(~there, torch.inf).amin(dim=0)
        high = products.masked_fill(~there, none).amax(dim=0)
        if allowed is not None:
            low, high = low.masked_fill(~allowed, none), high.masked_fill(~allowed, none)
        least = low.topk(k, dim=1).values[:, -1:]
        least = least - 8 * torch.finfo(low.dtype).eps * least.abs()  # a mean may be rounded up
        rows, items = ((high >= least) & (high > none)).nonzero(as_tuple=True)
        asked, keys = self._asked(user), self._keys(parts)
        result = torch.full_like(low, none)
        for row, item in zip(
            *(x.split(max(1, _BLOCK // self.dim)) for x in (rows, items)), strict=True
        ):
            inside, query = products[:, row, item], asked.index_select(0, row)
            logits = [
                self._logits(query, key.index_select(0, item), product, pairs=True)
                for key, product in zip(keys, inside, strict=True)
            ]
            weights = self._weights(logits, [has.index_select(0, item) for has in present])
            result[row, item] = (weights * inside).sum(dim=0)
        order = result.sort(dim=1, descending=True, stable=True)
        return order.values[:, :k], order.indices[:, :k]

    def _asked(self, user: Tensor) -> Tensor:
        if self.kind == "bilinear":
            return user @ self.bilinear
        return 2 * self.query(user) if self.kind == "additive" else user

    def _keys(self, parts: Sequence[Tensor]) -> list[Tensor]:
        if self.kind != "additive":
            return list(parts)
        return [2 * key(x) for key, x in zip(self.keys, parts, strict=True)]

    def _logits(self, asked: Tensor, key: Tensor, product: Tensor, *, pairs: bool) -> Tensor:
        """Return the logits of one part, of users with their own items or of all users with all items."""
        if self.kind == "dot":
            return product
        if self.kind == "scaled_dot":
            return product / math.sqrt(self.dim)
        if self.kind == "bilinear":
            return (asked * key).sum(dim=1) if pairs else asked @ key.T
        # w tanh(x) = 2 w sigmoid(2 x) - w: torch computes a sigmoid ten times as fast as a hyperbolic tangent.
        together = torch.sigmoid(asked + key if pairs else asked[:, None] + key)
        return torch.matmul(together, 2 * self.vector) - self.vector.sum()

    def _weights(self, logits: Sequence[Tensor], present: Sequence[Tensor]) -> Tensor:
        """Return the weights, parts first."""
        table = torch.stack(
            [x.masked_fill(~has, -torch.inf) for x, has in zip(logits, present, strict=True)]
        )
        if not self.hard:
            return table.softmax(dim=0)
        chosen = table.argmax(dim=0)
        parts = torch.arange(len(table), device=table.device)
        return (parts.view(-1, *[1] * chosen.dim()) == chosen).to(table.dtype)


def _weighed(weights: Tensor, parts: Sequence[Tensor]) -> Tensor:
    """Return the sum of the parts, each by its column of the weights."""
    weighted = [weight[:, None] * x for weight, x in zip(weights.T, parts, strict=True)]
    return torch.stack(weighted).sum(dim=0)


class ModalityPooling(nn.Module):
    """Make one vector of the parts of an item, the same for every user.

    ``mean`` is over the parts that an item has, ``max`` takes the largest number of each column among them, ``fc`` is
    a linear layer over all side by side, with zeros for those it lacks.

    Source: MARIO, the variants of its ablation. ``fc`` has no bias: what it adds to all items changes no ranking.

    Shapes:
        user (n, dim), parts (n, dim) each, present (n,) bool each; returns (n, dim).

    Example:
        >>> yes, parts = torch.tensor([True]), [torch.tensor([[1.0, 5.0]]), torch.tensor([[3.0, 1.0]])]
        >>> ModalityPooling(2, 2, "mean").stored(parts, [yes, yes]).tolist()
        [[2.0, 3.0]]
        >>> ModalityPooling(2, 2, "max").stored(parts, [yes, yes]).tolist()
        [[3.0, 5.0]]
    """

    def __init__(self, dim: int, num_parts: int, kind: Pooling) -> None:
        super().__init__()
        self.kind = kind
        if kind == "fc":
            self.linear = affine(num_parts * dim, dim, bias=False)

    def forward(self, user: Tensor, parts: Sequence[Tensor], present: Sequence[Tensor]) -> Tensor:
        """Return what each item is to its user, whoever that is."""
        del user
        return self.stored(parts, present)

    def stored(self, parts: Sequence[Tensor], present: Sequence[Tensor]) -> Tensor:
        """Return all that scoring needs of the items: the pooled rows."""
        if self.kind == "mean":
            return presence_mean(parts, present)
        if self.kind == "max":
            kept = [
                x.masked_fill(~has[:, None], -torch.inf)
                for x, has in zip(parts, present, strict=True)
            ]
            return torch.stack(kept).amax(dim=0)
        kept = [keep_present(x, has) for x, has in zip(parts, present, strict=True)]
        pooled: Tensor = self.linear(torch.cat(kept, dim=1))
        return pooled

    def scores(self, user: Tensor, stored: Tensor, present: Sequence[Tensor]) -> Tensor:
        """Return the scores of all items for some users, inner products; (num_users, num_items)."""
        del present
        return user @ stored.T

    def mean_vectors(
        self, pairs: Tensor, user: Tensor, stored: Tensor, present: Sequence[Tensor]
    ) -> Tensor:
        """Return the pooled rows: every user has the same."""
        del pairs, user, present
        return stored


def part_head(
    fusion: PartFusion, dim: int, num_parts: int, *, attention: AttentionKind
) -> ModalityAttention | ModalityPooling:
    """Return what makes one vector of the parts of an item, by its name.

    ``max_hard`` is attention to the part with the largest inner product: a choice would teach parameters nothing.

    Example:
        >>> head = part_head("max_hard", 2, 3, attention="additive")
        >>> head.kind, head.hard
        ('dot', True)
    """
    if fusion == "attention":
        return ModalityAttention(dim, num_parts, attention)
    if fusion == "max_hard":
        return ModalityAttention(dim, num_parts, "dot", hard=True)
    return ModalityPooling(dim, num_parts, fusion)
