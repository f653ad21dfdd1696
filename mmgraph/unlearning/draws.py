"""All pairs that unlearning draws by its seed: what is pushed down, what it is compared with, what measures it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmgraph.data import Interactions
from mmgraph.data.interactions import IndexArray
from mmgraph.evaluation import UserItems
from mmgraph.training import TrainingConfig
from mmgraph.unlearning.fit import Goal
from mmgraph.unlearning.forget_pairs import ForgetSampler, Pairs, Strangers
from mmgraph.unlearning.retain import Division
from mmgraph.unlearning.settings import UnlearningConfig

_LEAST_TARGET = 2000
"""Pairs that the target's mean margin is taken of, at least: those of a short request alone would say little."""


@dataclass(frozen=True, eq=False)
class Draws:
    """What was drawn, in the indices of the whole data set.

    The test part has a say in ``matched`` alone, by which nothing is decided.

    Attributes:
        forget: Draws the batches to be forgotten.
        goal: When they are; drawn without a look at the test part.
        matched: For each forgotten pair one that is in no part of the data and that a retrained model knows as little
            about: of the same forgotten item with another user; otherwise of the same user with another item. Who or
            what takes the other place is drawn as often as it is in retained training interactions.
        retained: Retained training interactions.
    """

    forget: ForgetSampler
    goal: Goal
    matched: Pairs
    retained: UserItems


def draw_pairs(
    division: Division,
    *,
    training: TrainingConfig,
    config: UnlearningConfig,
    block_size: int,
    seed: int,
    device: torch.device,
) -> Draws:
    """Draw what unlearning needs; the same seed draws the same.

    Args:
        division: What is forgotten and what is retained.
        training: Of the run, for the pool of negatives.
        config: How to unlearn.
        block_size: Users scored at once.
        seed: Of the draws.
        device: Where pairs are.

    Raises:
        DataError: a user has met every item there is to draw, or an item every user.
    """
    whole, drawn = division.whole, _Drawing(division, training, seed=seed, device=device)
    user, item = (_tensor(x, device) for x in (division.forgotten.user, division.forgotten.item))
    alone = division.request.kind == "interactions"
    held_out = config.target == "held_out" or (config.target == "auto" and alone)
    if held_out and len(division.retained.valid):
        aim = drawn.beside(*(x.to(device) for x in division.places.pairs(division.retained.valid)))
    else:
        again = -(-_LEAST_TARGET // max(1, len(user)))
        aim = drawn.like(
            user.repeat(again), item.repeat(again), unmet_in=(whole.train, whole.valid)
        )
    goal = Goal(drawn.beside(user, item), aim, block_size)
    pool = {"popular": drawn.popular, "uniform": drawn.any_item}[config.negatives]
    # Last: how often it draws, and so what would be drawn after it, depends on the test part.
    matched = drawn.like(user, item, unmet_in=(whole.train, whole.valid, whole.test))
    return Draws(ForgetSampler(user, item, pool), goal, matched, drawn.retained)


class _Drawing:
    """The pools, and the generator that all draws come from in turn."""

    def __init__(
        self, division: Division, training: TrainingConfig, *, seed: int, device: torch.device
    ) -> None:
        self.generator = torch.Generator(device).manual_seed(seed)
        whole, places = division.whole, division.places
        self.sides = (whole.num_users, whole.num_items)
        user, item = (rows.to(device) for rows in places.pairs(division.retained.train))
        self.user, self.item = user, item
        self.retained = _sets(user, item, self.sides)
        learned = _sets(*_columns([whole.train], device), self.sides)
        anything = places.items.to(device) if training.negatives == "all_items" else item.unique()
        self.ids = (whole.users.ids, whole.items.ids)
        self.any_item = Strangers(learned, anything, ids=self.ids[0])
        self.popular = Strangers(learned, item, ids=self.ids[0])
        self.lost_items = _tensor(division.request.items, device)

    def beside(self, user: Tensor, item: Tensor) -> Pairs:
        """Return pairs with another item for each, that its user has not met in training."""
        return Pairs(user, item, self.any_item.draw(user, self.generator))

    def like(self, user: Tensor, item: Tensor, *, unmet_in: Sequence[Interactions]) -> Pairs:
        """Return for each of some forgotten pairs one that is in none of some parts of the data."""
        met = _columns(unmet_in, user.device)
        new_item = Strangers(_sets(*met, self.sides), self.item, ids=self.ids[0])
        new_user = Strangers(_sets(*met[::-1], self.sides[::-1]), self.user, ids=self.ids[1])
        by_item = torch.isin(item, self.lost_items)
        rest = ~by_item
        others, items = user.clone(), item.clone()
        others[by_item] = new_user.draw(item[by_item], self.generator)
        items[rest] = new_item.draw(user[rest], self.generator)
        return self.beside(others, items)


def _sets(user: Tensor, item: Tensor, sides: tuple[int, int]) -> UserItems:
    return UserItems.from_pairs(
        user, item, num_users=sides[0], num_items=sides[1], device=user.device
    )


def _columns(parts: Sequence[Interactions], device: torch.device) -> tuple[Tensor, Tensor]:
    user = torch.cat([_tensor(part.user, device) for part in parts])
    return user, torch.cat([_tensor(part.item, device) for part in parts])


def _tensor(index: IndexArray, device: torch.device) -> Tensor:
    # A copy: an index may be read-only, which torch does not share.
    return torch.tensor(index, device=device)
