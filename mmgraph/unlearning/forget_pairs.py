"""Pairs of users and items that unlearning looks at, each beside an item its user never met."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmgraph.errors import DataError
from mmgraph.evaluation import ScoreFunction, UserItems
from mmgraph.models.batch import Batch


@dataclass(frozen=True, eq=False)
class Pairs:
    """Users and items, and for each pair another item that the user has not met; int64 ``(n,)`` each.

    The margin of a pair is its score less that of the other item.
    """

    user: Tensor
    item: Tensor
    other: Tensor

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.user)

    def margins(self, score: ScoreFunction, *, block_size: int = 1024) -> Tensor:
        """Return the margin of each pair, on the CPU; users are scored once each, in blocks.

        Shapes:
            float64 ``(n,)``.
        """
        users, row = self.user.unique(return_inverse=True)
        order = row.argsort(stable=True)
        margins = torch.empty(len(self), dtype=torch.float64)
        ends = torch.searchsorted(
            row[order],
            torch.arange(block_size, len(users) + block_size, block_size, device=row.device),
        )
        start = 0
        for block, end in zip(users.split(block_size), ends.tolist(), strict=True):
            mine = order[start:end]
            at = row[mine] % block_size
            scores = score(block)
            gap = scores[at, self.item[mine]] - scores[at, self.other[mine]]
            margins[mine.cpu()] = gap.double().cpu()
            start = end
        return margins


class Strangers:
    """Draws items that a user has not met; or, with the sides of ``known`` exchanged, users that have not met an item.

    Args:
        known: Items of each user that are never drawn.
        pool: What is drawn from; an item that stands there twice is drawn twice as often.
        ids: External ids of the users, for messages.
    """

    def __init__(self, known: UserItems, pool: Tensor, *, ids: Sequence[str] | None = None) -> None:
        self.known, self.pool, self.ids = known, pool, ids
        distinct = pool.unique()
        row, item = known.rows(torch.arange(known.num_users, device=pool.device))
        taken = torch.bincount(row[torch.isin(item, distinct)], minlength=known.num_users)
        self.possible = taken < len(distinct)

    def draw(self, user: Tensor, generator: torch.Generator) -> Tensor:
        """Return one item for each user, by exact rejection.

        Raises:
            DataError: a user has met the whole pool.
        """
        if not bool(self.possible[user].all()):
            full = int(user[~self.possible[user]][0])
            name = f"index {full}" if self.ids is None else repr(self.ids[full])
            raise DataError(
                f"to be forgotten, a user needs a retained item they have not met, and an item such a user ({name} has "
                "met all); name fewer users, items or interactions"
            )
        item = self._draw(len(user), generator)
        open_rows = self.known.contains(user, item).nonzero().squeeze(1)
        while len(open_rows):
            item[open_rows] = self._draw(len(open_rows), generator)
            still = self.known.contains(user[open_rows], item[open_rows])
            open_rows = open_rows[still]
        return item

    def _draw(self, count: int, generator: torch.Generator) -> Tensor:
        row = torch.randint(len(self.pool), (count,), generator=generator, device=self.pool.device)
        return self.pool[row]


class ForgetSampler:
    """Draws batches of forgotten pairs, each with an item that its user neither retains nor forgets.

    An item that is itself to be forgotten would be pushed up by one user and down by another.

    Args:
        user: Users of the forgotten interactions.
        item: Their items.
        strangers: Draws the other items.
    """

    def __init__(self, user: Tensor, item: Tensor, strangers: Strangers) -> None:
        self.user, self.item, self.strangers = user, item, strangers

    def __len__(self) -> int:
        """Return the number of forgotten interactions."""
        return len(self.user)

    def epoch(self, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Yield each forgotten interaction once, in random order."""
        order = torch.randperm(len(self), generator=generator, device=self.user.device)
        user, item = self.user[order], self.item[order]
        other = self.strangers.draw(user, generator)
        for start in range(0, len(self), batch_size):
            part = slice(start, start + batch_size)
            yield Batch(user[part], item[part], other[part])
