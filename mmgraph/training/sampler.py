"""Training triples: every interaction (or user) of an epoch with negatives the user never touched."""

from collections.abc import Iterator
from typing import Literal, Protocol

import torch
from torch import Tensor

from mmgraph.errors import FitError
from mmgraph.models.batch import Batch

Order = Literal["interaction_uniform", "user_uniform"]
Pool = Literal["train_items", "all_items"]


class Sampler(Protocol):
    """What training draws its batches from."""

    @property
    def device(self) -> torch.device:
        """Where batches are."""
        ...

    def epoch(self, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Yield the batches of one epoch; the same generator state gives the same batches."""
        ...

    def tensors(self) -> list[Tensor]:
        """Return what lasts from epoch to epoch, for counting memory."""
        ...


class PairwiseSampler:
    """Draw batches of (user, positive, negative), vectorised, on the device of the interactions.

    A negative is uniform over the pool minus the user's training items, by exact rejection: only the clashes of a draw
    are drawn again. A table of bits rules out most pairs at once; those it cannot tell from a training pair are looked
    up. Only training interactions are known here, so nothing of validation or test can leak.

    Args:
        user: Users of the training interactions.
        item: Their items.
        num_items: Size of the catalogue.
        order: ``interaction_uniform`` visits each interaction once an epoch; ``user_uniform`` draws as many users
            uniformly, with replacement, and one of the items of each.
        pool: Negatives come from the items seen in training, or from all.
        num_negatives: Of each triple, drawn one by one: the same item may come twice.

    Shapes:
        user, item (num_interactions,) int64; the negatives of a batch are (batch,), of more than one for each triple
        (batch, num_negatives).

    Raises:
        FitError: a user has interacted with every item of the pool, or there are no interactions or negatives.

    Complexity: with n interactions times negatives, O(n log n) time per epoch and O(n) memory.

    Example:
        >>> sampler = PairwiseSampler(torch.tensor([0, 1]), torch.tensor([0, 1]), num_items=2)
        >>> batch = next(sampler.epoch(2, torch.Generator().manual_seed(0)))
        >>> bool((batch.negative != batch.positive).all())
        True
    """

    def __init__(
        self,
        user: Tensor,
        item: Tensor,
        *,
        num_items: int,
        order: Order = "interaction_uniform",
        pool: Pool = "train_items",
        num_negatives: int = 1,
    ) -> None:
        if user.numel() == 0:
            raise FitError("training needs at least one interaction (got 0); check the split")
        if num_negatives < 1:
            raise FitError(
                f"a triple needs at least one negative (got {num_negatives}); raise num_negatives"
            )
        self.order = order
        self.num_negatives = num_negatives
        self.num_items = num_items
        self.keys = torch.unique(user * num_items + item)
        self.user, self.item = self.keys // num_items, self.keys % num_items
        # At least eight places for each pair, so that one in eight others has to be looked up.
        places = 1 << (8 * self.keys.numel() - 1).bit_length()
        self.last_place = places - 1
        self.may_be_known = torch.zeros(places, dtype=torch.bool, device=user.device)
        self.may_be_known[self.keys & self.last_place] = True
        self.pool = (
            self.item.unique() if pool == "train_items" else torch.arange(num_items).to(user)
        )
        degree = torch.bincount(self.user)
        if int(degree.max()) >= self.pool.numel():
            full = int(degree.argmax())
            raise FitError(
                f"every user needs an item they have not interacted with (user index {full} has all "
                f"{self.pool.numel()} items of the pool); remove that user"
            )
        self.users = degree.nonzero().squeeze(1)
        self.degree = degree[self.users]
        self.start = self.degree.cumsum(0) - self.degree

    @property
    def device(self) -> torch.device:
        """Where batches are."""
        device: torch.device = self.keys.device
        return device

    def tensors(self) -> list[Tensor]:
        """Return what lasts from epoch to epoch, for counting memory."""
        return [value for value in vars(self).values() if isinstance(value, Tensor)]

    def __len__(self) -> int:
        """Return the number of triples in one epoch."""
        return int(self.keys.numel())

    def epoch(self, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Yield the batches of one epoch; the same generator state gives the same batches."""
        row = self._rows(generator)
        user, positive = self.user[row], self.item[row]
        negative = self._negatives(user.repeat_interleave(self.num_negatives), generator)
        if self.num_negatives > 1:
            negative = negative.view(-1, self.num_negatives)
        for start in range(0, row.numel(), batch_size):
            part = slice(start, start + batch_size)
            yield Batch(user[part], positive[part], negative[part])

    def _rows(self, generator: torch.Generator) -> Tensor:
        device, count = self.keys.device, len(self)
        if self.order == "interaction_uniform":
            return torch.randperm(count, generator=generator, device=device)
        chosen = torch.randint(self.users.numel(), (count,), generator=generator, device=device)
        share = torch.rand(count, generator=generator, device=device, dtype=torch.float64)
        return self.start[chosen] + (share * self.degree[chosen]).long()

    def _negatives(self, user: Tensor, generator: torch.Generator) -> Tensor:
        negative = self._draw(user.numel(), generator)
        open_rows = torch.arange(user.numel(), device=user.device)
        while open_rows.numel():
            key = user[open_rows] * self.num_items + negative[open_rows]
            doubtful = self.may_be_known[key & self.last_place].nonzero().squeeze(1)
            key, open_rows = key[doubtful], open_rows[doubtful]
            place = torch.searchsorted(self.keys, key).clamp(max=self.keys.numel() - 1)
            open_rows = open_rows[self.keys[place] == key]
            negative[open_rows] = self._draw(open_rows.numel(), generator)
        return negative

    def _draw(self, count: int, generator: torch.Generator) -> Tensor:
        device = self.keys.device
        return self.pool[
            torch.randint(self.pool.numel(), (count,), generator=generator, device=device)
        ]
