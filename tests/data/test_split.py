"""Every split worked out by hand, its seed, its hash, and its way to disk."""

import csv
import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mmgraph.data.dataset import load_dataset
from mmgraph.data.interactions import TEST, TRAIN, VALID, Interactions
from mmgraph.data.split import SplitConfig, assign_parts, hash_split, leakage_note, write_split
from mmgraph.data.vocabulary import Vocabulary
from mmgraph.errors import DataError

METHODS = ("ratio", "leave_one_out", "temporal", "cold_start")


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def users_with(*counts: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of users with so many items each, items 0, 1, 2 ..."""
    user = np.repeat(np.arange(len(counts)), counts)
    item = np.concatenate([np.arange(count) for count in counts])
    return user.astype(np.int64), item.astype(np.int64)


def sizes(user: np.ndarray, parts: np.ndarray) -> list[tuple[int, int, int]]:
    """Return (train, valid, test) rows of each user."""
    counts = [np.bincount(user[parts == part], minlength=user.max() + 1) for part in range(3)]
    return [tuple(int(value) for value in row) for row in np.stack(counts, axis=1)]  # type: ignore[misc]


def test_ratio_sizes_by_hand() -> None:
    user, item = users_with(1, 2, 3, 9, 10, 11, 15, 20, 100)
    parts, notes = assign_parts(user, item, config=SplitConfig())
    # 11: train floor(8.8) = 8, 3 held, 1 valid; 15: train 12, 3 held, 1 valid.
    assert sizes(user, parts) == [
        (1, 0, 0),
        (2, 0, 0),
        (1, 1, 1),
        (7, 1, 1),
        (8, 1, 1),
        (8, 1, 2),
        (12, 1, 2),
        (16, 2, 2),
        (80, 10, 10),
    ]
    assert notes == ()


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [((0.7, 0.1, 0.2), (7, 1, 2)), ((0.6, 0.3, 0.1), (6, 3, 1)), ((0.9, 0.05, 0.05), (9, 0, 1))],
)
def test_ratio_follows_the_shares(
    ratios: tuple[float, float, float], expected: tuple[int, int, int]
) -> None:
    user, item = users_with(10)
    parts, _ = assign_parts(user, item, config=SplitConfig(ratios=ratios))
    assert sizes(user, parts) == [expected]


def test_ratio_holds_every_item_out_equally_often() -> None:
    user, item = users_with(*[10] * 2000)
    parts, _ = assign_parts(user, item, config=SplitConfig())
    tested = np.bincount(item[parts == TEST], minlength=10)
    # 2000 draws of one item of ten: 200 on average, standard deviation 13.4.
    assert abs(tested - 200).max() < 5 * 13.4


def test_leave_one_out_by_time() -> None:
    user = ints(0, 0, 0, 0, 1, 1, 2, 2, 2)
    item = ints(0, 1, 2, 3, 0, 1, 0, 1, 2)
    when = ints(5, 9, 1, 7, 1, 2, 3, 2, 1)
    parts, notes = assign_parts(
        user, item, config=SplitConfig(method="leave_one_out"), timestamp=when
    )
    assert parts.tolist() == [0, 2, 0, 1, 0, 0, 2, 1, 0]
    assert notes == ()


def test_leave_one_out_draws_among_rows_at_the_same_time() -> None:
    user, item = users_with(*[4] * 1000)
    when = np.where(item == 0, 0, 1)
    parts, _ = assign_parts(user, item, config=SplitConfig(method="leave_one_out"), timestamp=when)
    tested = np.bincount(item[parts == TEST], minlength=4)
    assert tested[0] == 0
    # 1000 draws of one item of three: 333 on average, standard deviation 14.9.
    assert abs(tested[1:] - 1000 / 3).max() < 5 * 14.9


def test_leave_one_out_without_times_is_random_and_says_so() -> None:
    user, item = users_with(2, 3, 5)
    parts, notes = assign_parts(user, item, config=SplitConfig(method="leave_one_out"))
    assert sizes(user, parts) == [(2, 0, 0), (1, 1, 1), (3, 1, 1)]
    assert notes == (
        "Leave-one-out without timestamps: the last row of a user is the last of a random order.",
    )


def test_temporal_cuts_at_the_same_time_for_all() -> None:
    user, item = users_with(5, 5)
    when = ints(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
    config = SplitConfig(method="temporal", ratios=(0.6, 0.2, 0.2))
    parts, notes = assign_parts(user, item, config=config, timestamp=when)
    assert parts.tolist() == [0] * 6 + [1] * 2 + [2] * 2
    assert notes[0].startswith("Temporal split: validation begins at time 7, test at time 9; ")


def test_temporal_never_cuts_through_one_moment() -> None:
    user, item = users_with(10)
    when = ints(1, 1, 1, 1, 1, 2, 2, 2, 2, 3)
    parts, _ = assign_parts(user, item, config=SplitConfig(method="temporal"), timestamp=when)
    # The cuts fall on the ninth and tenth row, at times 2 and 3.
    assert parts.tolist() == [0] * 5 + [1] * 4 + [2]


def test_cold_start_holds_out_whole_items() -> None:
    user, item = users_with(*[20] * 6)
    parts, _ = assign_parts(user, item, config=SplitConfig(method="cold_start", cold_share=0.25))
    of_item = [set(parts[item == number].tolist()) for number in range(20)]
    assert all(len(found) == 1 for found in of_item)
    kinds = [found.pop() for found in of_item]
    assert (kinds.count(TRAIN), kinds.count(VALID), kinds.count(TEST)) == (15, 2, 3)


def test_given_keeps_the_parts_of_the_files() -> None:
    user, item = users_with(3)
    given_parts = np.array([2, 0, 1], dtype=np.int8)
    parts, notes = assign_parts(user, item, config=SplitConfig(method="given"), given=given_parts)
    assert parts.tolist() == [2, 0, 1]
    assert notes == ()


def test_given_without_validation_rows_says_so() -> None:
    user, item = users_with(3)
    given_parts = np.array([2, 0, 0], dtype=np.int8)
    parts, notes = assign_parts(user, item, config=SplitConfig(method="given"), given=given_parts)
    assert parts.tolist() == [2, 0, 0]
    assert "no validation rows, so training cannot stop early" in notes[0]


def test_validation_rows_can_be_taken_from_train() -> None:
    user, item = users_with(10, 20, 4)
    given_parts = np.where(item == 0, TEST, TRAIN).astype(np.int8)
    config = SplitConfig(method="given", valid_from_train=0.25)
    parts, notes = assign_parts(user, item, config=config, given=given_parts)
    assert sizes(user, parts) == [(7, 2, 1), (15, 4, 1), (3, 0, 1)]
    assert ((parts == TEST) == (given_parts == TEST)).all()
    assert notes[0].startswith("The files have no validation rows; 6 train rows were moved")
    with_valid = np.where(item == 1, VALID, given_parts).astype(np.int8)
    parts, notes = assign_parts(user, item, config=config, given=with_valid)
    assert (parts == with_valid).all()
    assert notes == ("valid_from_train was not used: the files already have validation rows.",)


def test_methods_that_lack_what_they_need() -> None:
    user, item = users_with(3)
    with pytest.raises(DataError, match=r'"given" needs the parts in the files and there are none'):
        assign_parts(user, item, config=SplitConfig(method="given"))
    with pytest.raises(DataError, match=r'"temporal" needs the time of each row and there is none'):
        assign_parts(user, item, config=SplitConfig(method="temporal"))


@pytest.mark.parametrize("method", METHODS)
@given(
    pairs=st.sets(st.tuples(st.integers(0, 5), st.integers(0, 30)), max_size=80),
    seed=st.integers(0, 9),
)
def test_the_order_of_the_rows_makes_no_difference(
    method: str, pairs: set[tuple[int, int]], seed: int
) -> None:
    rows = sorted(pairs)
    user, item = ints(*(row[0] for row in rows)), ints(*(row[1] for row in rows))
    when = (user * 7 + item * 3) % 5
    config = SplitConfig.model_validate({"method": method, "seed": seed})
    parts, _ = assign_parts(user, item, config=config, timestamp=when)
    order = np.random.default_rng(seed).permutation(len(rows))
    shuffled, _ = assign_parts(user[order], item[order], config=config, timestamp=when[order])
    assert np.array_equal(shuffled, parts[order])
    assert parts.dtype == np.int8


@pytest.mark.parametrize("method", ["ratio", "cold_start"])
def test_another_seed_gives_another_split(method: str) -> None:
    user, item = users_with(*[12] * 20)
    splits = {
        assign_parts(user, item, config=SplitConfig.model_validate({"method": method, "seed": s}))[
            0
        ].tobytes()
        for s in range(5)
    }
    assert len(splits) == 5


@pytest.mark.parametrize("method", METHODS)
def test_a_million_rows_take_about_a_second(method: str) -> None:
    pair = np.arange(1_000_000) * 997
    user, item = pair // 20_000, pair % 20_000
    when = (pair * 31) % 100_003
    start = time.process_time()
    assign_parts(
        user,
        item,
        config=SplitConfig.model_validate({"method": method}),
        timestamp=when,
    )
    # Generous: a loop over users or rows in Python would take far longer.
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"ratios": (0.8, 0.2, 0.0)}, "ratios must be three positive shares that sum to 1"),
        ({"ratios": (0.8, 0.1, 0.2)}, "ratios must be three positive shares that sum to 1"),
        ({"ratios": (float("nan"), 0.1, 0.2)}, "ratios must be three positive shares"),
        ({"ratios": ("0.8", "0.1", "0.1")}, "valid number"),
        ({"method": "random"}, "'given', 'ratio', 'leave_one_out', 'temporal' or 'cold_start'"),
        ({"cold_share": 1.0}, "less than 1"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"seed": 1.5}, "valid integer"),
        ({"valid_from_train": 0.1}, "works with method"),
        ({"shares": 1}, "Extra inputs are not permitted"),
    ],
)
def test_a_bad_config_is_refused(keys: dict[str, object], expected: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(expected)):
        SplitConfig.model_validate(keys)


def test_a_config_survives_json() -> None:
    config = SplitConfig(method="temporal", ratios=(0.5, 0.2, 0.3), seed=4)
    assert SplitConfig.model_validate(json.loads(config.model_dump_json())) == config
    assert SplitConfig.model_validate(config.model_dump()) == config


@pytest.mark.parametrize(
    ("method", "has_time", "leaks"),
    [
        ("ratio", True, True),
        ("ratio", False, True),
        ("leave_one_out", True, True),
        ("temporal", True, False),
        ("cold_start", True, True),
        ("cold_start", False, False),
        ("given", False, True),
    ],
)
def test_leakage_is_named_where_it_can_happen(method: str, has_time: bool, leaks: bool) -> None:
    note = leakage_note(SplitConfig.model_validate({"method": method}), has_time)
    assert (note is not None and note.startswith("Leakage: ")) is leaks


def part(*pairs: tuple[int, int]) -> Interactions:
    return Interactions(ints(*(pair[0] for pair in pairs)), ints(*(pair[1] for pair in pairs)))


def test_the_hash_knows_external_ids_only() -> None:
    users, items = Vocabulary(["a", "b"]), Vocabulary(["x", "y"])
    parts = [part((0, 0), (1, 1)), part((0, 1)), part((1, 0))]
    expected = hash_split(users, items, parts)
    # The same pairs: numbered the other way round, in another order, with an id too many.
    other_users, other_items = Vocabulary(["b", "a"]), Vocabulary(["y", "0", "x"])
    same = [part((0, 0), (1, 2)), part((1, 0)), part((0, 2))]
    assert hash_split(other_users, other_items, same) == expected
    assert hash_split(users, items, [parts[0], parts[2], parts[1]]) != expected
    assert hash_split(Vocabulary(["a", "c"]), items, parts) != expected
    assert re.fullmatch("[0-9a-f]{64}", expected)


def test_the_hash_keeps_ids_apart() -> None:
    rows = [part((0, 0)), part(), part()]
    first = hash_split(Vocabulary(["ab"]), Vocabulary(["c"]), rows)
    second = hash_split(Vocabulary(["a"]), Vocabulary(["bc"]), rows)
    assert first != second


def test_write_split_gives_external_ids_and_the_hash(tmp_path: Path) -> None:
    dataset = load_dataset("movielens-small", modalities=[])
    folder = write_split(dataset, tmp_path / "new" / "split")
    assert sorted(path.name for path in folder.iterdir()) == [
        "split.json",
        "test.csv",
        "train.csv",
        "valid.csv",
    ]
    assert [path.name for path in folder.parent.iterdir()] == ["split"]
    description = json.loads((folder / "split.json").read_text(encoding="utf-8"))
    assert description["split_hash"] == dataset.split_hash
    assert SplitConfig.model_validate(description["config"]) == dataset.split_config
    assert description["rows"] == {"train": 35252, "valid": 4411, "test": 4750}
    with (folder / "test.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["user", "item", "timestamp"]
    written = [(user, item) for user, item, _ in rows[1:]]
    pairs = zip(dataset.test.user.tolist(), dataset.test.item.tolist(), strict=True)
    assert written == [(dataset.users[user], dataset.items[item]) for user, item in pairs]


def test_write_split_never_writes_over_anything(tmp_path: Path) -> None:
    dataset = load_dataset("movielens-small", modalities=[])
    (tmp_path / "there").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="there: exists already; choose a new folder"):
        write_split(dataset, tmp_path / "there")
    with pytest.raises(DataError, match=r"file/split: cannot be written \("):
        write_split(dataset, tmp_path / "file" / "split")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "there"]
