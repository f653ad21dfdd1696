"""Lists filled up with repeats: how many there are, and that every way to divide them is as likely."""

import collections
import random

import pytest
import torch

from mmgraph.nn import neighbour_repeats

ROWPTR = torch.tensor([0, 2, 2, 6, 7])


def test_every_list_has_the_length_of_the_longest() -> None:
    times = neighbour_repeats(ROWPTR, seed=3, epoch=1)
    assert int(times.min()) >= 1
    assert [int(part.sum()) for part in times.split([2, 0, 4, 1])] == [4, 0, 4, 4]


def test_seed_and_epoch_decide() -> None:
    many = torch.arange(0, 901, 3)
    many = torch.cat([many, many[-1:] + 30])

    def draw(seed: int, epoch: int) -> list[int]:
        return neighbour_repeats(many, seed=seed, epoch=epoch).tolist()

    assert draw(1, 1) == draw(1, 1)
    assert len({tuple(draw(seed, epoch)) for seed, epoch in ((1, 1), (1, 2), (2, 1))}) == 3


def test_they_are_as_likely_as_by_copying_one_by_one() -> None:
    """Three neighbours, six places: of 4000 lists each of the ten divisions takes a tenth, as it does one by one."""
    rowptr = torch.cat([torch.arange(0, 12001, 3), torch.tensor([12006])])
    times = neighbour_repeats(rowptr, seed=0, epoch=0)[:12000].view(-1, 3)
    found = collections.Counter(map(tuple, times.tolist()))
    generator, copied = random.Random(0), collections.Counter()
    for _ in range(4000):
        listed = [0, 1, 2]
        while len(listed) < 6:
            listed.append(generator.choice(listed))
        copied[tuple(listed.count(v) for v in range(3))] += 1
    assert set(found) == set(copied)
    for division, count in copied.items():
        # Six standard deviations of either count.
        assert abs(found[division] - count) < 6 * 2 * (4000 / len(copied)) ** 0.5


@pytest.mark.parametrize("rowptr", [[0], [0, 0, 0], [0, 3, 6]])
def test_without_short_lists_nothing_is_drawn(rowptr: list[int]) -> None:
    times = neighbour_repeats(torch.tensor(rowptr, dtype=torch.int32))
    assert times.tolist() == [1] * rowptr[-1]
