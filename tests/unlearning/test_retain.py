"""A data set divided into what is forgotten and what is retained."""

from typing import Any

import numpy as np
import pytest

from mmgraph.data import MultimodalDataset
from mmgraph.errors import DataError
from mmgraph.unlearning.request import read_request
from mmgraph.unlearning.retain import Division, check_negatives, divide


def keys(user: np.ndarray, item: np.ndarray) -> set[tuple[int, int]]:
    return set(zip(user.tolist(), item.tolist(), strict=True))


def test_forgotten_and_retained_are_all_and_share_nothing(division: Division) -> None:
    train = division.whole.train
    lost = keys(division.forgotten.user, division.forgotten.item)
    left = keys(*(rows.numpy() for rows in division.places.pairs(division.retained.train)))
    assert lost
    assert left
    assert not lost & left
    assert lost | left == keys(train.user, train.item)
    assert (0, 2) in lost
    assert all(u == 4 or i in (3, 7) or (u, i) == (0, 2) for u, i in lost)


def test_rows_of_the_test_part_go_as_well(division: Division) -> None:
    retained = division.retained
    assert "4" not in retained.users
    assert {"3", "7"}.isdisjoint(retained.items)
    held_out = {retained.users[user] for user in retained.test.user}
    assert held_out == {"0", "1", "2", "5", "6", "8", "10", "11"}  # 9 has asked for its test row


def test_too_little_that_is_left_is_refused(board: MultimodalDataset) -> None:
    rows = [(str(n), str(n)) for n in range(12)]
    with pytest.raises(DataError, match=r"forgetting interactions: .* test rows"):
        divide(board, read_request(board, interactions=rows))


@pytest.mark.parametrize("pool", ["train_items", "all_items"])
def test_a_user_left_with_every_item_is_named(board: MultimodalDataset, pool: Any) -> None:
    gone = [user for user in board.users.ids if user != "5"]
    alone = divide(board, read_request(board, users=gone))
    with pytest.raises(DataError, match=r"forgetting users: .* \(user '5' has all \d+\)"):
        check_negatives(alone, pool="train_items")
    check_negatives(divide(board, read_request(board, users=["5"])), pool=pool)
