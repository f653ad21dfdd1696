"""Duplicates, the k-core, and what happens to users without a training row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmgraph.data.interactions import InteractionTable, k_core_rows, keep_first_of_pair
from mmgraph.data.vocabulary import Vocabulary

ROWS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=60)


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def naive_k_core(rows: list[tuple[int, int]], k: int) -> list[bool]:
    """Remove one offending row at a time."""
    alive = [True] * len(rows)
    while True:
        for index, (user, item) in enumerate(rows):
            if not alive[index]:
                continue
            of_user = sum(on and row[0] == user for on, row in zip(alive, rows, strict=True))
            of_item = sum(on and row[1] == item for on, row in zip(alive, rows, strict=True))
            if of_user < k or of_item < k:
                alive[index] = False
                break
        else:
            return alive


@given(ROWS, st.integers(1, 4))
def test_k_core_equals_the_naive_loop(rows: list[tuple[int, int]], k: int) -> None:
    user, item = ints(*(row[0] for row in rows)), ints(*(row[1] for row in rows))
    assert k_core_rows(user, item, k=k).tolist() == naive_k_core(rows, k)


def test_k_core_needs_several_rounds() -> None:
    # Item 2 has one row; without it user 1 has one, and then item 1 has one, so only user 0 and 2
    # with items 0 and 3 remain.
    user = ints(0, 0, 1, 1, 2, 2)
    item = ints(0, 3, 1, 2, 0, 3)
    assert k_core_rows(user, item, k=2).tolist() == [True, True, False, False, True, True]
    assert not k_core_rows(user, item, k=3).any()


def test_the_earliest_row_of_a_pair_stays() -> None:
    kept, several = keep_first_of_pair(
        ints(1, 0, 1, 1), ints(5, 9, 5, 4), timestamp=ints(30, 1, 20, 40)
    )
    assert kept.tolist() == [1, 3, 2]
    assert several == 0


def test_train_comes_before_an_earlier_test_row() -> None:
    kept, several = keep_first_of_pair(
        ints(0, 0, 0, 1, 1, 2),
        ints(0, 0, 0, 0, 0, 0),
        timestamp=ints(1, 9, 8, 3, 2, 0),
        part=np.array([2, 0, 0, 1, 1, 2], dtype=np.int8),
    )
    assert kept.tolist() == [2, 4, 5]
    assert several == 1


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3, st.integers(0, 2)), max_size=40))
def test_dedupe_equals_a_dictionary(rows: list[tuple[int, int, int, int]]) -> None:
    columns = [ints(*(row[place] for row in rows)) for place in range(4)]
    user, item, time, part = columns
    kept, several = keep_first_of_pair(user, item, timestamp=time, part=part.astype(np.int8))
    best: dict[tuple[int, int], tuple[int, int]] = {}
    parts: dict[tuple[int, int], set[int]] = {}
    for u, i, t, p in rows:
        best[u, i] = min(best.get((u, i), (9, 9)), (p, t))
        parts.setdefault((u, i), set()).add(p)
    found = [(rows[row][0], rows[row][1]) for row in kept]
    assert found == sorted(best)
    assert [(rows[row][3], rows[row][2]) for row in kept] == [best[pair] for pair in sorted(best)]
    assert several == sum(len(seen) > 1 for seen in parts.values())


def table() -> InteractionTable:
    return InteractionTable(
        users=Vocabulary(["10", "9", "x"]),
        items=Vocabulary(["a", "b", "c", "d"]),
        user=ints(0, 0, 1, 1, 2),
        item=ints(0, 1, 1, 2, 3),
        timestamp=ints(1, 2, 3, 4, 5),
        part=np.array([0, 2, 0, 1, 2], dtype=np.int8),
    )


def test_users_without_training_rows_leave_with_their_items() -> None:
    # User x has only a test row, on item d that nobody else has. What is left is integers only, so
    # the users are numbered anew: 9 before 10.
    left, counts = table().without_unseen_users()
    assert counts == {
        "valid_users_without_train": 0,
        "test_users_without_train": 1,
        "rows_of_users_without_train": 1,
        "items_without_train": 1,
    }
    assert left.users.ids == ("9", "10")
    assert left.items.ids == ("a", "b", "c")
    assert left.user.tolist() == [0, 0, 1, 1]
    assert left.item.tolist() == [1, 2, 0, 1]
    assert left.timestamp is not None
    assert left.timestamp.tolist() == [3, 4, 1, 2]


def test_parts_are_sorted_and_complete() -> None:
    left, _ = table().without_unseen_users()
    train, valid, test = left.by_part()
    assert list(zip(train.user.tolist(), train.item.tolist(), strict=True)) == [(0, 1), (1, 0)]
    assert list(zip(valid.user.tolist(), valid.item.tolist(), strict=True)) == [(0, 2)]
    assert list(zip(test.user.tolist(), test.item.tolist(), strict=True)) == [(1, 1)]
    assert len(train) + len(valid) + len(test) == len(left)


@pytest.mark.parametrize("rows", [np.array([4, 0]), np.array([True, False, False, False, True])])
def test_take_by_number_and_mask(rows: np.ndarray) -> None:
    taken = table().take(rows)
    assert sorted(taken.user.tolist()) == [0, 2]
    assert taken.users == table().users
