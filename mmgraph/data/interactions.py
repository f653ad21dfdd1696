"""User-item rows as index arrays: the minimum rating, duplicates, and the k-core.

The functions take plain arrays and return which rows stay, so each can be checked by hand.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mmgraph.data.vocabulary import Vocabulary

IndexArray = NDArray[np.int64]

TRAIN, VALID, TEST = 0, 1, 2
PARTS = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class Interactions:
    """Pairs of user and item index, sorted by user then item, each pair once.

    Attributes:
        user: User index of each row.
        item: Item index of each row.
        timestamp: Time of each row, or None where the data has none.

    Shapes:
        All arrays ``(num_rows,)``; ``user`` and ``item`` are int64.
    """

    user: IndexArray
    item: IndexArray
    timestamp: NDArray[np.generic] | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.user)


@dataclass(frozen=True, eq=False)
class InteractionTable:
    """All rows of a data set with the vocabularies that number them, before they are parted.

    Attributes:
        users: External ids of the user indices.
        items: External ids of the item indices.
        user: User index of each row.
        item: Item index of each row.
        timestamp: Time of each row, or None.
        part: 0, 1, 2 for train, valid, test, or None while the rows are not divided.
    """

    users: Vocabulary
    items: Vocabulary
    user: IndexArray
    item: IndexArray
    timestamp: NDArray[np.generic] | None = None
    part: NDArray[np.int8] | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.user)

    def take(self, rows: IndexArray | NDArray[np.bool_]) -> Self:
        """Return some rows, by number or mask; the vocabularies stay."""
        return replace(
            self,
            user=self.user[rows],
            item=self.item[rows],
            timestamp=None if self.timestamp is None else self.timestamp[rows],
            part=None if self.part is None else self.part[rows],
        )

    def renumbered(self) -> Self:
        """Forget users and items without a row, and sort by the new numbers."""
        users, user = _without_unused(self.users, self.user)
        items, item = _without_unused(self.items, self.item)
        table = replace(self, users=users, items=items, user=user, item=item)
        return table.take(np.lexsort((item, user)))

    def without_unseen_users(self) -> tuple[Self, dict[str, int]]:
        """Drop validation and test rows of users that no training row tells anything about.

        Returns:
            The remaining rows, renumbered, and counts: valid_users_without_train,
            test_users_without_train, rows_of_users_without_train, items_without_train.
        """
        part = self._parts()
        in_train = np.bincount(self.user[part == TRAIN], minlength=len(self.users)) > 0
        stays = in_train[self.user]
        counts = {
            f"{PARTS[label]}_users_without_train": len(
                np.unique(self.user[(part == label) & ~stays])
            )
            for label in (VALID, TEST)
        }
        counts["rows_of_users_without_train"] = int((~stays).sum())
        table = self.take(stays).renumbered()
        trained = np.unique(table.item[table._parts() == TRAIN])
        counts["items_without_train"] = len(table.items) - len(trained)
        return table, counts

    def by_part(self) -> tuple[Interactions, Interactions, Interactions]:
        """Return the rows of train, valid and test."""
        train, valid, test = (
            self.take(np.flatnonzero(self._parts() == label)) for label in (TRAIN, VALID, TEST)
        )
        return train._interactions(), valid._interactions(), test._interactions()

    def _parts(self) -> NDArray[np.int8]:
        return np.zeros(len(self), dtype=np.int8) if self.part is None else self.part

    def _interactions(self) -> Interactions:
        return Interactions(self.user, self.item, self.timestamp)


def _without_unused(vocabulary: Vocabulary, index: IndexArray) -> tuple[Vocabulary, IndexArray]:
    used = np.flatnonzero(np.bincount(index, minlength=len(vocabulary)))
    if len(used) == len(vocabulary):
        return vocabulary, index
    # Built anew: without the one id that is no integer, the others sort as numbers.
    kept = [vocabulary.ids[number] for number in used]
    smaller = Vocabulary.build(kept)
    new_number = np.full(len(vocabulary), -1, dtype=np.int64)
    new_number[used] = smaller.encode(kept)
    return smaller, new_number[index]


def keep_first_of_pair(
    user: IndexArray,
    item: IndexArray,
    *,
    timestamp: NDArray[np.generic] | None = None,
    part: NDArray[np.int8] | None = None,
) -> tuple[IndexArray, int]:
    """Choose one row for each user-item pair, sorted by user then item.

    Of several rows the one in the first part stays (train before valid before test), and within a
    part the earliest.

    Args:
        user: User index of each row.
        item: Item index of each row.
        timestamp: Time of each row, if known.
        part: 0, 1, 2 for train, valid, test, if the split is given.

    Returns:
        The row numbers that stay, in (user, item) order, and the number of pairs found in more than
        one part.

    Complexity:
        One sort, O(n log n).

    Example:
        >>> user, item, time = np.array([1, 0, 1]), np.array([2, 2, 2]), np.array([9, 5, 3])
        >>> keep_first_of_pair(user, item, timestamp=time)
        (array([1, 2]), 0)
    """
    keys: list[NDArray[np.generic]] = [key for key in (timestamp, part) if key is not None]
    order = np.lexsort((*keys, item, user))
    by_user, by_item = user[order], item[order]
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = (by_user[1:] != by_user[:-1]) | (by_item[1:] != by_item[:-1])
    pairs_in_several = 0
    if part is not None and len(order):
        pair = np.cumsum(is_first) - 1
        differs = part[order] != part[order][is_first][pair]
        pairs_in_several = len(np.unique(pair[differs]))
    return order[is_first].astype(np.int64), pairs_in_several


def k_core_rows(user: IndexArray, item: IndexArray, *, k: int) -> NDArray[np.bool_]:
    """Mark the rows of the k-core: every user and every item in it has at least k rows in it.

    Rows of users and items below k are removed until nothing changes; the largest such set of rows
    is unique, so the order of removal does not matter.

    Args:
        user: User index of each row.
        item: Item index of each row.
        k: Smallest number of rows of a user and of an item.

    Returns:
        A mask of the rows that stay; all False when there is no k-core.

    Complexity:
        O(n) a round; rounds are few in practice.
    """
    keep = np.ones(len(user), dtype=bool)
    rows = np.arange(len(user))
    while len(rows):
        user_rows = np.bincount(user[rows])
        item_rows = np.bincount(item[rows])
        stays = (user_rows[user[rows]] >= k) & (item_rows[item[rows]] >= k)
        if stays.all():
            break
        keep[rows[~stays]] = False
        rows = rows[stays]
    return keep
