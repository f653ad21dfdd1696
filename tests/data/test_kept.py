"""Parts of a data set: what is left, and that nothing else can be told from it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmgraph.data import Interactions, MultimodalDataset, Vocabulary, keep_rows, load_dataset
from mmgraph.errors import DataError
from mmgraph.testing import checkerboard_dataset


def kept(
    data: MultimodalDataset, user: int | None = None, item: int | None = None
) -> MultimodalDataset:
    parts = (data.train, data.valid, data.test)
    return keep_rows(data, [(part.user != user) & (part.item != item) for part in parts])


def pairs(data: MultimodalDataset, part: Interactions) -> set[tuple[str, str]]:
    return {(data.users[u], data.items[i]) for u, i in zip(part.user, part.item, strict=True)}


def test_rows_keep_their_ids_parts_times_features_and_titles() -> None:
    board = checkerboard_dataset(6)
    times = np.arange(len(board.train)) * 2
    board = replace(
        board,
        train=replace(board.train, timestamp=times),
        valid=replace(board.valid, timestamp=times[:0]),
        test=replace(board.test, timestamp=np.arange(6) + 100),
        titles=tuple("abcdef"),
    )
    part = kept(board, user=2, item=3)
    assert part.is_part
    assert not board.is_part
    assert part.users.ids == ("0", "1", "3", "4", "5")
    assert part.items.ids == ("0", "1", "2", "4", "5")
    assert part.titles == ("a", "b", "c", "e", "f")
    assert pairs(part, part.train) == {
        (u, i) for u, i in pairs(board, board.train) if u != "2" and i != "3"
    }
    assert part.test.timestamp is not None
    assert part.test.timestamp.tolist() == [100, 101, 104, 105]
    for name, feature in part.features.items():
        rows = [0, 1, 2, 4, 5]
        assert np.array_equal(feature.x, board.features[name].x[rows])
        assert np.array_equal(feature.present, board.features[name].present[rows])


def test_whoever_is_left_without_rows_goes_too() -> None:
    nobody = np.empty(0, dtype=np.int64)
    data = replace(
        checkerboard_dataset(3),
        train=Interactions(np.array([0, 1, 1, 2]), np.array([0, 0, 1, 1])),
        valid=Interactions(nobody, nobody),
        test=Interactions(np.array([0, 2]), np.array([1, 2])),
    )
    # User 2 keeps a test row and no training row; item 2 was in that row alone.
    part = keep_rows(
        data, [np.array([True, True, True, False]), nobody > 0, np.array([True, True])]
    )
    assert (part.users.ids, part.items.ids) == (("0", "1"), ("0", "1"))
    assert part.test.user.tolist() == [0]
    # Nothing says that somebody was there.
    assert part.counts["rows_of_users_without_train"] == 0
    assert part.counts["rows_read"] == 4
    assert part.counts["test_rows"] == 1
    assert not any("have no training row" in note for note in part.notes)


def test_a_part_is_the_data_set_that_files_without_the_rows_hold(tmp_path: Path) -> None:
    card = 'name = "d"\n[interactions]\nfile = "r.csv"\nuser = "u"\nitem = "i"\nsplit = "s"\n'
    rows = [
        ("b", "10", 0), ("b", "9", 0), ("a", "9", 0), ("a", "x", 1), ("c", "9", 0), ("c", "10", 2),
        ("a", "10", 2), ("c", "x", 1),
    ]  # fmt: skip
    for name, left in (("whole", rows), ("less", [row for row in rows if row[1] != "x"])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dataset.toml").write_text(card)
        text = "".join(f"{u},{i},{s}\n" for u, i, s in left)
        (tmp_path / name / "r.csv").write_text(f"u,i,s\n{text}")
    whole, less = (load_dataset(tmp_path / name) for name in ("whole", "less"))
    assert whole.items.ids == ("10", "9", "x")  # as text, because of the one that is no number
    part = keep_rows(
        whole, [p.item != whole.items.index("x") for p in (whole.train, whole.valid, whole.test)]
    )
    assert part.items.ids == less.items.ids == ("9", "10")
    assert (part.content_hash, part.split_hash) == (less.content_hash, less.split_hash)


def test_ids_are_hashed_anew() -> None:
    board = checkerboard_dataset(4)
    renamed = replace(board, users=Vocabulary(["a", "b", "c", "d"]))
    assert kept(board, user=0).content_hash != kept(renamed, user=0).content_hash
    assert kept(board, user=0).split_hash == kept(board, user=0).split_hash


@pytest.mark.parametrize("empty", ["train", "test"])
def test_training_and_test_rows_must_be_left(empty: str) -> None:
    board = checkerboard_dataset(4)
    masks = [
        np.full(len(part), name != empty)
        for name, part in (("train", board.train), ("valid", board.valid), ("test", board.test))
    ]
    with pytest.raises(DataError, match="must have training and test rows"):
        keep_rows(board, masks)


def test_a_modality_must_be_left() -> None:
    board = checkerboard_dataset(4)
    image = board.features["image"]
    only = replace(image, present=np.arange(4) == 1)
    board = replace(board, features={**board.features, "image": only})
    with pytest.raises(DataError, match="an item with a image vector"):
        kept(board, item=1)
