"""Pairs beside items that their users never met."""

import pytest
import torch

from mmgraph.errors import DataError
from mmgraph.evaluation import UserItems
from mmgraph.unlearning.forget_pairs import ForgetSampler, Pairs, Strangers


def sets(user: list[int], item: list[int]) -> UserItems:
    return UserItems.from_pairs(user, item, num_users=3, num_items=4)


@pytest.mark.parametrize("block_size", [1, 2, 3, 50])
def test_margins_are_differences_of_scores(block_size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(7, 5, generator=generator, dtype=torch.float64)
    user = torch.randint(7, (40,), generator=generator)
    item, other = (torch.randint(5, (40,), generator=generator) for _ in range(2))
    asked: list[int] = []

    def score(users: torch.Tensor) -> torch.Tensor:
        asked.extend(users.tolist())
        return table[users]

    margins = Pairs(user, item, other).margins(score, block_size=block_size)
    assert torch.equal(margins, table[user, item] - table[user, other])
    assert asked == sorted(set(user.tolist()))


def test_strangers_are_drawn_as_often_as_they_stand_in_the_pool() -> None:
    strangers = Strangers(sets([0, 0], [1, 2]), torch.tensor([0, 3, 3, 3, 1, 2]))
    generator = torch.Generator().manual_seed(1)
    drawn = strangers.draw(torch.zeros(4000, dtype=torch.long), generator)
    assert set(drawn.tolist()) == {0, 3}
    assert (drawn == 3).double().mean().item() == pytest.approx(0.75, abs=0.03)
    everything = strangers.draw(torch.ones(400, dtype=torch.long), generator)
    assert set(everything.tolist()) == {0, 1, 2, 3}


def test_whoever_has_met_the_whole_pool_is_named() -> None:
    strangers = Strangers(sets([0, 0, 1], [1, 2, 1]), torch.tensor([1, 2, 2]))
    generator = torch.Generator().manual_seed(1)
    assert strangers.draw(torch.tensor([1]), generator).tolist() == [2]
    assert strangers.draw(torch.empty(0, dtype=torch.long), generator).tolist() == []
    with pytest.raises(DataError, match="index 0 has met all"):
        strangers.draw(torch.tensor([1, 0]), generator)
    strangers.ids = ("Ann", "Ben")
    with pytest.raises(DataError, match="'Ann' has met all"):
        strangers.draw(torch.tensor([1, 0]), generator)


def test_an_epoch_visits_each_pair_once() -> None:
    user, item = torch.tensor([0, 0, 1, 2, 2]), torch.tensor([1, 2, 1, 0, 3])
    known = sets(user.tolist(), item.tolist())
    sampler = ForgetSampler(user, item, Strangers(known, torch.arange(4)))
    batches = list(sampler.epoch(2, torch.Generator().manual_seed(0)))
    assert [len(batch.user) for batch in batches] == [2, 2, 1]
    seen = [
        (u, i) for b in batches for u, i in zip(b.user.tolist(), b.positive.tolist(), strict=True)
    ]
    assert sorted(seen) == list(zip(user.tolist(), item.tolist(), strict=True))
    assert not any(known.contains(batch.user, batch.negative).any() for batch in batches)
    again = list(sampler.epoch(2, torch.Generator().manual_seed(0)))
    assert all(torch.equal(a.negative, b.negative) for a, b in zip(batches, again, strict=True))
