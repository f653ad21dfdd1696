import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.errors import FitError
from mmgraph.training import PairwiseSampler


def sampler_for(pairs, num_items, **options):
    user, item = torch.tensor(pairs).T
    return PairwiseSampler(user, item, num_items=num_items, **options)


def draw(sampler, seed=0, batch_size=4):
    return list(sampler.epoch(batch_size, torch.Generator().manual_seed(seed)))


@settings(max_examples=40, deadline=None)
@given(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 8)), min_size=1), st.integers(0, 99))
def test_each_interaction_once_and_no_negative_was_seen(pairs, seed):
    sampler = sampler_for([*pairs, (6, 0)], 11, pool="all_items")
    batches = draw(sampler, seed)
    user, positive, negative = (
        torch.cat([batch[column] for batch in batches]).tolist() for column in range(3)
    )
    positives, negatives = (list(zip(user, i, strict=True)) for i in (positive, negative))
    assert sorted(positives) == sorted({*pairs, (6, 0)})
    assert not set(negatives) & {*pairs, (6, 0)}


def test_negatives_are_uniform_over_what_is_allowed():
    sampler = sampler_for([(0, 0), (0, 1), (1, 2), (1, 3), (1, 4)], 6)
    generator = torch.Generator().manual_seed(3)
    drawn = torch.cat(
        [b.negative[b.user == 0] for _ in range(3000) for b in sampler.epoch(8, generator)]
    )
    share = torch.bincount(drawn, minlength=6) / drawn.numel()
    # Items 2, 3, 4 a third each; 5 was never seen in training, 0 and 1 are the user's own.
    torch.testing.assert_close(share, torch.tensor([0, 0, 1, 1, 1, 0]) / 3, atol=0.02, rtol=0)


def test_the_pool_of_all_items_reaches_items_without_training_rows():
    sampler = sampler_for([(0, 0), (1, 1)], 3, pool="all_items")
    seen = {i for seed in range(20) for b in draw(sampler, seed) for i in b.negative.tolist()}
    assert seen == {0, 1, 2}


def test_user_uniform_visits_users_alike_whatever_their_history():
    sampler = sampler_for(
        [(0, i) for i in range(9)] + [(1, 9)], 12, order="user_uniform", pool="all_items"
    )
    generator = torch.Generator().manual_seed(0)
    users = torch.cat([b.user for _ in range(500) for b in sampler.epoch(64, generator)])
    assert abs(users.double().mean().item() - 0.5) < 0.03
    batch = next(sampler.epoch(64, generator))
    pairs = set(zip(batch.user.tolist(), batch.positive.tolist(), strict=True))
    assert pairs <= {(0, i) for i in range(9)} | {(1, 9)}


def test_same_generator_state_same_batches_and_other_seed_others():
    sampler = sampler_for([(u, i) for u in range(8) for i in range(u, 8)], 20, pool="all_items")
    first, again, other = draw(sampler, 1), draw(sampler, 1), draw(sampler, 2)
    assert all(
        torch.equal(a, b)
        for x, y in zip(first, again, strict=True)
        for a, b in zip(x[:3], y[:3], strict=True)
    )
    assert not torch.equal(first[0].positive, other[0].positive)


def test_duplicates_count_once():
    assert len(sampler_for([(0, 0), (0, 0), (1, 1)], 3)) == 2


def test_a_user_with_every_item_is_refused():
    with pytest.raises(FitError, match=r"user index 1 has all 2 items of the pool"):
        sampler_for([(0, 0), (1, 0), (1, 1)], 5)


def test_no_interactions_are_refused():
    empty = torch.empty(0, dtype=torch.long)
    with pytest.raises(FitError, match="at least one interaction"):
        PairwiseSampler(empty, empty, num_items=3)


@pytest.mark.parametrize("num_items", [12, 10_000_019])
def test_negatives_are_those_of_plain_rejection(num_items):
    """Draw by draw: what is a training pair is drawn again, the rest stays. Far pairs share places in the table."""
    generator = torch.Generator().manual_seed(5)
    near = torch.randint(12, (2, 60), generator=generator)
    user, item = near[0], near[1] * (num_items // 12)
    sampler = PairwiseSampler(user, item, num_items=num_items)
    known = set(zip(user.tolist(), item.tolist(), strict=True))
    batches = sampler.epoch(1000, torch.Generator().manual_seed(6))
    (batch,) = batches

    generator.manual_seed(6)
    order = torch.randperm(len(sampler), generator=generator)
    users = sampler.user[order].tolist()
    items, rows = [0] * len(users), list(range(len(users)))
    while rows:
        drawn = torch.randint(sampler.pool.numel(), (len(rows),), generator=generator)
        for row, value in zip(rows, sampler.pool[drawn].tolist(), strict=True):
            items[row] = value
        rows = [row for row in rows if (users[row], items[row]) in known]
    assert batch.user.tolist() == users
    assert batch.negative.tolist() == items


@pytest.mark.parametrize("num_negatives", [2, 5])
def test_each_of_several_negatives_is_one_the_user_never_saw(num_negatives):
    pairs = [(u, i) for u in range(5) for i in range(9) if (u * i) % 3 == 0]
    sampler = sampler_for(pairs, 11, pool="all_items", num_negatives=num_negatives)
    batches = draw(sampler, seed=4, batch_size=7)
    assert {batch.negative.shape[1] for batch in batches} == {num_negatives}
    assert [len(b.negative) for b in batches] == [len(b.user) for b in batches]
    seen = {
        (user, item)
        for b in batches
        for user, row in zip(b.user.tolist(), b.negative.tolist(), strict=True)
        for item in row
    }
    assert not seen & set(pairs)
    found = [
        pair for b in batches for pair in zip(b.user.tolist(), b.positive.tolist(), strict=True)
    ]
    assert sorted(found) == sorted(pairs)


def test_several_negatives_are_drawn_one_by_one_from_what_is_allowed():
    sampler = sampler_for([(0, 0), (0, 1), (1, 2), (1, 3), (1, 4)], 6, num_negatives=3)
    generator = torch.Generator().manual_seed(3)
    drawn = torch.cat(
        [b.negative[b.user == 0] for _ in range(2000) for b in sampler.epoch(8, generator)]
    )
    for column in drawn.unbind(1):
        share = torch.bincount(column, minlength=6) / column.numel()
        torch.testing.assert_close(share, torch.tensor([0, 0, 1, 1, 1, 0]) / 3, atol=0.03, rtol=0)
    same = (drawn[:, 0] == drawn[:, 1]).double().mean().item()
    assert same == pytest.approx(1 / 3, abs=0.03)


def test_one_negative_is_no_column():
    (batch,) = draw(sampler_for([(0, 0), (1, 1)], 3, num_negatives=1))
    assert batch.negative.shape == batch.user.shape


def test_a_triple_without_negatives_is_refused():
    with pytest.raises(FitError, match=r"at least one negative \(got 0\)"):
        sampler_for([(0, 0), (1, 1)], 3, num_negatives=0)
