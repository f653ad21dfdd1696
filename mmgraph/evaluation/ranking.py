"""Scores to ranked lists: exact top-k in blocks of users, seen items left out.

Everything here is a function of the scores alone: equal scores are ordered by item index, whatever
the block size, the number of threads or the selection algorithm of the device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmgraph.errors import ConfigError, DataError, FitError

ScoreFunction = Callable[[Tensor], Tensor]
"""``score(users)``: int64 user indices ``(b,)`` to floating-point scores ``(b, num_items)``, higher
is better."""

IndexArray = Tensor | NDArray[np.integer] | Sequence[int]
"""Any one-dimensional sequence of integer indices."""


@dataclass(frozen=True, eq=False)
class UserItems:
    """The set of items of each user, in compressed rows.

    Used for both sides of an evaluation: the items that are masked and the items that are to be
    found. A pair is stored as the 64-bit key ``user * num_items + item``; the sorted keys are the
    rows one after another, so one array serves for listing a row and for looking up a pair.

    Attributes:
        keys: Sorted, distinct pair keys, int64 ``(num_pairs,)``.
        offsets: First key of each user, int64 ``(num_users + 1,)``.
        num_users: Number of users.
        num_items: Number of items.

    Example:
        >>> seen = UserItems.from_pairs([0, 2, 2, 2], [3, 1, 0, 1], num_users=3, num_items=4)
        >>> seen.counts.tolist()
        [1, 0, 2]
        >>> [part.tolist() for part in seen.rows(torch.tensor([2, 1, 0]))]
        [[0, 0, 2], [0, 1, 3]]
    """

    keys: Tensor
    offsets: Tensor
    num_users: int
    num_items: int

    @classmethod
    def from_pairs(
        cls,
        user: IndexArray,
        item: IndexArray,
        *,
        num_users: int,
        num_items: int,
        name: str = "interactions",
        device: torch.device | str = "cpu",
    ) -> "UserItems":
        """Build from parallel arrays of indices; a pair given twice counts once.

        Args:
            user: User index of each pair.
            item: Item index of each pair.
            num_users: Number of users.
            num_items: Number of items.
            name: What the pairs are, for error messages.
            device: Where the index lives.

        Returns:
            The compressed rows.

        Raises:
            DataError: The arrays differ in length or an index is out of range.

        Complexity:
            O(n log n) for n pairs.
        """
        users = _read_indices(user, f"{name}: user", num_users).to(device)
        items = _read_indices(item, f"{name}: item", num_items).to(device)
        if len(users) != len(items):
            raise DataError(
                f"{name}: user and item must have the same length "
                f"(got {len(users)} and {len(items)}); pass one item for each user"
            )
        keys = torch.unique(users * num_items + items)
        counts = torch.bincount(keys // num_items, minlength=num_users)
        offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return cls(keys=keys, offsets=offsets, num_users=num_users, num_items=num_items)

    @property
    def counts(self) -> Tensor:
        """Number of items of each user, int64 ``(num_users,)``."""
        return self.offsets.diff()

    def to(self, device: torch.device | str) -> "UserItems":
        """Return the same sets on another device."""
        return UserItems(
            keys=self.keys.to(device),
            offsets=self.offsets.to(device),
            num_users=self.num_users,
            num_items=self.num_items,
        )

    def rows(self, users: Tensor) -> tuple[Tensor, Tensor]:
        """List the items of some users as coordinates of a ``(len(users), num_items)`` matrix.

        Args:
            users: User indices, int64 ``(b,)``, in any order, repeats allowed.

        Returns:
            Row number in ``users`` and item index of each pair, rows in order and items ascending
            within a row.

        Shapes:
            Both outputs: ``(n,)``, where n is the number of pairs of these users.
        """
        starts = self.offsets[users]
        counts = self.offsets[users + 1] - starts
        row = torch.repeat_interleave(torch.arange(len(users), device=users.device), counts)
        first_of_row = counts.cumsum(0) - counts
        position = torch.arange(len(row), device=users.device) + (starts - first_of_row)[row]
        return row, self.keys[position] % self.num_items

    def contains(self, users: Tensor, items: Tensor) -> Tensor:
        """Tell for each pair whether the item belongs to the user.

        Args:
            users: User indices, broadcast against ``items``.
            items: Item indices; a negative index, an empty place of a list, belongs to nobody.

        Returns:
            Bool tensor of the broadcast shape.

        Complexity:
            O(q log n) for q queries and n stored pairs.
        """
        queries = (users * self.num_items + items).contiguous()
        if not len(self.keys):
            return torch.zeros_like(queries, dtype=torch.bool)
        position = torch.searchsorted(self.keys, queries).clamp_(max=len(self.keys) - 1)
        # Without the second test, item -1 would be read as the last item of the user before.
        return (self.keys[position] == queries) & (items >= 0)


def top_k_items(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Select the k best items of each row, by score descending, then item index ascending.

    A score of ``-inf`` says that the item is no candidate: it is never listed, and a row with fewer
    than k candidates ends in item -1 with value ``-inf``. ``torch.topk`` promises nothing about
    equal scores; here the rows where a tie crosses the k-th place are chosen again by index, so the
    result is that of a stable full sort.

    Args:
        scores: Floating-point scores ``(b, num_items)``; not changed.
        k: List length, between 1 and ``num_items``.

    Returns:
        Item indices, int64, and their scores, both ``(b, k)``, best first.

    Raises:
        ConfigError: ``k`` is out of range or ``scores`` is not a floating-point matrix.
        FitError: A score is NaN.

    Complexity:
        O(b num_items) plus O(b k log k).

    Example:
        >>> items, values = top_k_items(torch.tensor([[1.0, 3.0, 3.0, 1.0, 1.0]]), 3)
        >>> items.tolist(), values.tolist()
        ([[1, 2, 0]], [[3.0, 3.0, 1.0]])
    """
    if scores.dim() != 2 or not scores.is_floating_point():
        raise ConfigError(
            f"scores must be a floating-point matrix (got {scores.dtype} of shape "
            f"{tuple(scores.shape)}); return one float row for each user"
        )
    num_items = scores.size(1)
    _check_k(k, num_items)
    values, items = scores.topk(min(k + 1, num_items), dim=1)
    # topk puts NaN first, so one column tells.
    bad_rows = values[:, 0].isnan().nonzero()
    if len(bad_rows):
        raise FitError(
            f"scores row {int(bad_rows[0])}: a score must be a number (got nan); "
            "lower the learning rate or check the features"
        )
    # Equal neighbours in the list, or at its end with the first score left out.
    tied = (values[:, 1:] == values[:, :-1]).any(dim=1).nonzero().squeeze(1)
    left_out = values[:, k:]
    values, items = values[:, :k], items[:, :k]
    if len(tied):
        crossing = tied[(left_out[tied] == values[tied, -1:]).any(dim=1)]
        if len(crossing):
            items[crossing] = _choose_at_boundary(scores[crossing], values[crossing, -1:], k)
        # By index, then stably by score: equal scores stay in index order.
        by_index = items[tied].sort(dim=1).values
        values[tied], order = scores[tied.unsqueeze(1), by_index].sort(
            dim=1, descending=True, stable=True
        )
        items[tied] = by_index.gather(1, order)
    return items.masked_fill(values == -torch.inf, -1), values


def rank_items(
    score: ScoreFunction,
    users: Tensor,
    *,
    k: int,
    num_items: int,
    seen: UserItems | None = None,
    left_out: IndexArray | None = None,
    block_size: int = 1024,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Rank all items for each user, in blocks of users, and keep the k best.

    The score function always gets exactly ``block_size`` users: the last block is filled up by
    repeating its last user, and the surplus rows are dropped. A matrix product may round
    differently for different block shapes; with one shape, a call over few users and a call over
    many see the same arithmetic. Across block sizes the lists are equal whenever the scores are
    equal; the tie rule never depends on the block. For a handful of users and a large catalogue
    pass a small ``block_size``.

    Args:
        score: Function from users to scores of all items; called without gradients. Its result is
            not changed, so it may return a view of a stored table.
        users: User indices, int64 ``(n,)``; scores are computed on the device where they live.
        k: List length, between 1 and ``num_items``.
        num_items: Number of items.
        seen: Items to leave out for each user; None leaves nothing out.
        left_out: Items to leave out for all users.
        block_size: Users scored at once.
        progress: Called after each block with the number of users done and ``n``.

    Returns:
        Item indices, best first; places past the number of candidates of a user hold -1.

    Shapes:
        Output: int64 ``(n, k)``.

    Raises:
        ConfigError: ``k`` or ``block_size`` is out of range, or ``seen`` or the scores have
            another number of items.
        FitError: A score of an item that is not left out is NaN; the message names the user.

    Complexity:
        Memory is a few blocks of ``block_size * num_items`` scores, whatever the number of users.

    Example:
        >>> table = torch.tensor([[0.1, 0.9, 0.5], [0.7, 0.2, 0.2]])
        >>> seen = UserItems.from_pairs([0, 1], [1, 0], num_users=2, num_items=3)
        >>> users = torch.arange(2)
        >>> rank_items(lambda users: table[users], users, k=3, num_items=3, seen=seen).tolist()
        [[2, 0, -1], [1, 2, -1]]
    """
    _check_k(k, num_items)
    if block_size < 1:
        raise ConfigError(f"block_size must be at least 1 (got {block_size}); leave it at 1024")
    if seen is not None:
        if seen.num_items != num_items:
            raise ConfigError(
                f"seen must be made for the same items (got {seen.num_items} with {num_items} "
                "items); pass the same num_items to both"
            )
        seen = seen.to(users.device)
    nobodys = None
    if left_out is not None:
        nobodys = _read_indices(left_out, "left_out", num_items).to(users.device)
    num_users = len(users)
    lists = torch.empty((num_users, k), dtype=torch.int64, device=users.device)
    candidates: Tensor | None = None
    with torch.no_grad():
        for start in range(0, num_users, block_size):
            block = users[start : start + block_size]
            scores = _score_block(score, block, block_size=block_size, num_items=num_items)
            if candidates is None or candidates.dtype != scores.dtype:
                candidates = torch.empty_like(scores, memory_format=torch.contiguous_format)
            # A copy, because masking must not touch what the score function may keep; adding zero
            # turns -0.0 into 0.0, which a radix selection would otherwise rank apart.
            rows = torch.add(scores, 0.0, out=candidates)[: len(block)]
            if seen is not None:
                row, item = seen.rows(block)
                rows[row, item] = -torch.inf
            if nobodys is not None:
                rows[:, nobodys] = -torch.inf
            try:
                lists[start : start + block_size] = top_k_items(rows, k)[0]
            except FitError as error:
                raise FitError(_nan_message(rows, block)) from error
            if progress is not None:
                progress(start + len(block), num_users)
    return lists


def _score_block(score: ScoreFunction, block: Tensor, *, block_size: int, num_items: int) -> Tensor:
    """Call the score function with exactly block_size users."""
    if len(block) < block_size:
        block = torch.cat([block, block[-1:].expand(block_size - len(block))])
    scores = score(block)
    if tuple(scores.shape) != (block_size, num_items) or not scores.is_floating_point():
        raise ConfigError(
            f"score(users) must return floating-point scores of shape {(block_size, num_items)} "
            f"(got {scores.dtype} of shape {tuple(scores.shape)}); score all items for each user"
        )
    return scores.detach()


def _choose_at_boundary(scores: Tensor, boundary: Tensor, k: int) -> Tensor:
    """Choose all items above the k-th best score and fill up with the first items that equal it.

    Linear in the number of scores where a stable sort is not: scores that are mostly equal, such as
    zeros, stay cheap.

    Args:
        scores: Scores ``(b, num_items)``.
        boundary: The k-th best score of each row, ``(b, 1)``.
        k: List length.

    Returns:
        Item indices ``(b, k)`` in no particular order.
    """
    num_items = scores.size(1)
    preference = torch.arange(num_items, 0, -1, dtype=torch.int32, device=scores.device)
    preference = preference * (scores == boundary)
    preference.masked_fill_(scores > boundary, num_items + 1)
    return preference.topk(k, dim=1, sorted=False).indices


def _nan_message(scores: Tensor, users: Tensor) -> str:
    row, item = scores.isnan().nonzero()[0].tolist()
    return (
        f"user {int(users[row])}: the score of item {item} must be a number (got nan); "
        "lower the learning rate or check the features"
    )


def _check_k(k: int, num_items: int) -> None:
    if not 1 <= k <= num_items:
        raise ConfigError(
            f"k must be between 1 and num_items (got {k} with {num_items} items); lower k"
        )


def _read_indices(indices: IndexArray, name: str, size: int) -> Tensor:
    """Return an int64 vector, checked to lie in ``0..size-1``."""
    if isinstance(indices, Tensor):
        kind_ok = not (
            indices.is_floating_point() or indices.is_complex() or indices.dtype == torch.bool
        )
        shape, dtype = tuple(indices.shape), str(indices.dtype)
        vector = indices.detach()
    else:
        # Copied, because torch cannot share memory that is read-only.
        array = np.array(indices)
        if array.size == 0:
            array = array.astype(np.int64)
        kind_ok = array.dtype.kind in "iu"
        shape, dtype = array.shape, str(array.dtype)
        vector = torch.from_numpy(array.astype(np.int64)) if kind_ok else torch.empty(0)
    if not kind_ok or len(shape) != 1:
        raise DataError(
            f"{name}: indices must be a vector of integers (got {dtype} of shape {shape}); "
            "pass int64 indices"
        )
    vector = vector.to(torch.int64)
    outside = ((vector < 0) | (vector >= size)).nonzero()
    if len(outside):
        row = int(outside[0])
        raise DataError(
            f"{name} in row {row} must be between 0 and {size - 1} (got {int(vector[row])}); "
            "use the indices of the vocabulary the scores were made with"
        )
    return vector
