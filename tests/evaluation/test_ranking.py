"""Lists against a full sort in plain Python; promises about ties, masks, blocks and errors."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmgraph.errors import ConfigError, DataError, FitError
from mmgraph.evaluation import UserItems, rank_items, top_k_items


def sorted_list(scores: list[float], k: int) -> list[int]:
    """Sort everything by (score descending, index ascending); -inf is no candidate."""
    candidates = [item for item, score in enumerate(scores) if score > -math.inf]
    best = sorted(candidates, key=lambda item: (-scores[item], item))[:k]
    return best + [-1] * (k - len(best))


# Few distinct values, so that ties are everywhere.
SCORES = st.sampled_from([-math.inf, -1.5, -0.0, 0.0, 1.0, 1.0 + 2**-23, 2.0, math.inf])


@st.composite
def score_tables(draw: st.DrawFn) -> tuple[list[list[float]], int]:
    num_items = draw(st.integers(1, 12))
    row = st.lists(SCORES, min_size=num_items, max_size=num_items)
    return draw(st.lists(row, min_size=1, max_size=6)), draw(st.integers(1, num_items))


@settings(deadline=None)
@given(score_tables())
@example(([[0.0] * 5], 3))
@example(([[-math.inf] * 4], 4))
@example(([[-math.inf, 0.0, -0.0, 0.0]], 2))
def test_top_k_items_equals_a_full_sort(case: tuple[list[list[float]], int]) -> None:
    table, k = case
    items, values = top_k_items(torch.tensor(table), k)
    assert items.tolist() == [sorted_list(row, k) for row in table]
    for row, listed, value in zip(table, items.tolist(), values.tolist(), strict=True):
        assert value == [row[item] if item >= 0 else -math.inf for item in listed]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_top_k_items_with_many_ties_in_long_rows(dtype: torch.dtype) -> None:
    # Rows long enough for every algorithm inside topk, and every dtype a model may score in.
    generator = torch.Generator().manual_seed(3)
    scores = torch.randint(0, 40, (50, 3000), generator=generator).to(dtype)
    scores[7] = 1
    scores[8, 20:] = -torch.inf
    items, values = top_k_items(scores, 37)
    assert values.dtype == dtype
    assert items.tolist() == [sorted_list(row, 37) for row in scores.tolist()]


def test_top_k_items_leaves_its_input_alone() -> None:
    scores = torch.tensor([[1.0, 1.0, 0.0]])
    before = scores.clone()
    top_k_items(scores, 1)
    assert torch.equal(scores, before)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_top_k_items_rejects_nan_and_names_the_row(k: int) -> None:
    scores = torch.tensor([[1.0, 2.0, 3.0], [9.0, math.nan, math.inf]])
    with pytest.raises(FitError, match=r"scores row 1: a score must be a number \(got nan\)"):
        top_k_items(scores, k)


@pytest.mark.parametrize("k", [0, -1, 4])
def test_k_out_of_range(k: int) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"(got {k} with 3 items)")):
        top_k_items(torch.zeros(2, 3), k)
    with pytest.raises(ConfigError, match=re.escape(f"(got {k} with 3 items)")):
        rank_items(lambda users: torch.zeros(len(users), 3), torch.arange(2), k=k, num_items=3)


def test_top_k_items_rejects_integer_scores() -> None:
    with pytest.raises(ConfigError, match=r"floating-point matrix .*torch\.int64"):
        top_k_items(torch.zeros(2, 3, dtype=torch.int64), 1)


@st.composite
def ranking_cases(
    draw: st.DrawFn,
) -> tuple[list[list[float]], set[tuple[int, int]], list[int], int]:
    table, k = draw(score_tables())
    pair = st.tuples(st.integers(0, len(table) - 1), st.integers(0, len(table[0]) - 1))
    users = draw(st.lists(st.integers(0, len(table) - 1), max_size=9))
    return table, draw(st.sets(pair)), users, k


@settings(deadline=None)
@given(ranking_cases(), st.sampled_from([1, 2, 3, 8]))
def test_rank_items_equals_a_full_sort_without_the_seen_items(
    case: tuple[list[list[float]], set[tuple[int, int]], list[int], int], block_size: int
) -> None:
    table, pairs, users, k = case
    seen = UserItems.from_pairs(
        [user for user, _ in pairs],
        [item for _, item in pairs],
        num_users=len(table),
        num_items=len(table[0]),
    )
    scores = torch.tensor(table)
    lists = rank_items(
        lambda block: scores[block],
        torch.tensor(users, dtype=torch.int64),
        k=k,
        num_items=len(table[0]),
        seen=seen,
        block_size=block_size,
    )
    expected = []
    for user in users:
        row = [-math.inf if (user, item) in pairs else s for item, s in enumerate(table[user])]
        expected.append(sorted_list(row, k))
    assert lists.tolist() == expected


@pytest.mark.parametrize("ties", [False, True])
def test_lists_do_not_depend_on_the_block_size(ties: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(150, 333, generator=generator)
    if ties:
        table = table.mul(2).round()
    user = torch.randint(0, 150, (2000,), generator=generator)
    item = torch.randint(0, 333, (2000,), generator=generator)
    seen = UserItems.from_pairs(user, item, num_users=150, num_items=333)
    lists = [
        rank_items(
            lambda users: table[users],
            torch.arange(150),
            k=20,
            num_items=333,
            seen=seen,
            block_size=block_size,
        )
        for block_size in (1, 7, 64, 1024)
    ]
    assert all(torch.equal(lists[0], other) for other in lists[1:])
    assert not bool(seen.contains(torch.arange(150).unsqueeze(1), lists[0]).any())


def test_every_call_of_the_score_function_has_the_same_shape() -> None:
    calls: list[list[int]] = []

    def score(users: torch.Tensor) -> torch.Tensor:
        calls.append(users.tolist())
        return torch.zeros(len(users), 3)

    done: list[tuple[int, int]] = []
    lists = rank_items(
        score,
        torch.tensor([5, 6, 7, 8, 9]),
        k=1,
        num_items=3,
        block_size=4,
        progress=lambda part, total: done.append((part, total)),
    )
    assert calls == [[5, 6, 7, 8], [9, 9, 9, 9]]
    assert done == [(4, 5), (5, 5)]
    assert lists.tolist() == [[0]] * 5


def test_the_score_function_keeps_its_table() -> None:
    popularity = torch.tensor([3.0, 2.0, 1.0], requires_grad=True)
    seen = UserItems.from_pairs([0, 1], [0, 1], num_users=2, num_items=3)
    lists = rank_items(
        lambda users: popularity.expand(len(users), -1),
        torch.arange(2),
        k=3,
        num_items=3,
        seen=seen,
    )
    assert lists.tolist() == [[1, 2, -1], [0, 2, -1]]
    assert popularity.tolist() == [3.0, 2.0, 1.0]


def test_no_users_give_an_empty_result() -> None:
    users = torch.empty(0, dtype=torch.int64)
    assert rank_items(lambda block: torch.zeros(len(block), 3), users, k=2, num_items=3).shape == (
        0,
        2,
    )


def test_nan_names_the_user_and_the_item() -> None:
    table = torch.zeros(6, 4)
    table[4, 2] = math.nan
    with pytest.raises(
        FitError, match=r"^user 4: the score of item 2 must be a number \(got nan\); \S.*$"
    ):
        rank_items(lambda users: table[users], torch.tensor([1, 4]), k=1, num_items=4, block_size=2)


@pytest.mark.parametrize(
    "scores", [torch.zeros(4, 2), torch.zeros(3, 3), torch.zeros(4, 3, dtype=torch.int64)]
)
def test_scores_of_the_wrong_shape_or_kind(scores: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match=r"must return floating-point scores of shape \(4, 3\)"):
        rank_items(lambda users: scores, torch.arange(4), k=1, num_items=3, block_size=4)


def test_block_size_must_be_positive() -> None:
    with pytest.raises(ConfigError, match=r"block_size must be at least 1 \(got 0\)"):
        rank_items(lambda users: torch.zeros(0, 3), torch.arange(2), k=1, num_items=3, block_size=0)


def test_seen_items_of_another_catalogue() -> None:
    seen = UserItems.from_pairs([0], [4], num_users=1, num_items=5)
    with pytest.raises(ConfigError, match=r"^seen must be made for the same items \(got 5 with 3 "):
        rank_items(lambda users: torch.zeros(1, 3), torch.arange(1), k=1, num_items=3, seen=seen)


PAIRS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), max_size=40)


def test_items_left_out_for_all_users_are_never_listed() -> None:
    table = torch.tensor([[3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0]])
    seen = UserItems.from_pairs([0], [1], num_users=2, num_items=4)
    users = torch.arange(2)
    options = {"k": 3, "num_items": 4, "seen": seen}
    lists = rank_items(lambda u: table[u], users, left_out=np.array([0]), **options)
    assert lists.tolist() == [[2, 3, -1], [3, 2, 1]]
    with pytest.raises(DataError, match="left_out in row 0 must be between 0 and 3"):
        rank_items(lambda u: table[u], users, left_out=[4], **options)


@settings(deadline=None)
@given(PAIRS, st.lists(st.integers(0, 6), max_size=10))
def test_user_items_is_a_set_of_pairs(pairs: list[tuple[int, int]], users: list[int]) -> None:
    index = UserItems.from_pairs(
        [user for user, _ in pairs], [item for _, item in pairs], num_users=7, num_items=5
    )
    distinct = set(pairs)
    assert index.counts.tolist() == [sum(u == user for u, _ in distinct) for user in range(7)]
    row, item = index.rows(torch.tensor(users, dtype=torch.int64))
    expected = [
        (number, i)
        for number, user in enumerate(users)
        for i in sorted(i for u, i in distinct if u == user)
    ]
    assert list(zip(row.tolist(), item.tolist(), strict=True)) == expected
    found = index.contains(torch.arange(7).unsqueeze(1), torch.arange(-1, 5))
    assert found.tolist() == [[(u, i) in distinct for i in range(-1, 5)] for u in range(7)]


def test_user_items_accepts_tensors_read_only_arrays_and_lists() -> None:
    array = np.array([0, 2], dtype=np.int32)
    array.setflags(write=False)
    expected = UserItems.from_pairs([0, 2], [1, 1], num_users=3, num_items=2).keys
    for user in (array, torch.tensor([0, 2]), torch.tensor([0, 2], dtype=torch.int32)):
        assert torch.equal(
            UserItems.from_pairs(user, [1, 1], num_users=3, num_items=2).keys, expected
        )
    assert not len(UserItems.from_pairs([], [], num_users=3, num_items=2).keys)


def test_user_items_moves_as_one() -> None:
    moved = UserItems.from_pairs([0], [1], num_users=1, num_items=2).to("meta")
    assert moved.keys.device.type == moved.offsets.device.type == "meta"
    assert (moved.num_users, moved.num_items) == (1, 2)


@pytest.mark.parametrize(
    ("user", "item", "message"),
    [
        ([0, 3], [0, 0], "train: user in row 1 must be between 0 and 2 (got 3); "),
        ([0, 1], [-1, 0], "train: item in row 0 must be between 0 and 1 (got -1); "),
        ([0, 1], [0], "train: user and item must have the same length (got 2 and 1); "),
        ([0.0, 1.0], [0, 1], "train: user: indices must be a vector of integers (got float64 "),
        (torch.zeros(1, 1, dtype=torch.int64), [0], "train: user: indices must be a vector"),
        (torch.tensor([True]), [0], "train: user: indices must be a vector of integers"),
    ],
)
def test_user_items_rejects_bad_indices(user: object, item: object, message: str) -> None:
    with pytest.raises(DataError, match="^" + re.escape(message)) as raised:
        UserItems.from_pairs(user, item, num_users=3, num_items=2, name="train")  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)
