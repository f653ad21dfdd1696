"""A data set divided into what is to be forgotten and what is retained."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from mmgraph.data import Interactions, MultimodalDataset, keep_rows
from mmgraph.errors import DataError
from mmgraph.unlearning.places import Places
from mmgraph.unlearning.request import Request


@dataclass(frozen=True, eq=False)
class Division:
    """What is left of a data set, and what was taken from its training part.

    Attributes:
        whole: As it was.
        retained: Without the forget set: as files without it would be read, with the parts of the split as they were.
            Of forgotten users and items, and of those that have no row left without them, nothing is there; features
            and titles of such items neither.
        forgotten: Training rows that are to be forgotten, in the indices of the whole.
        places: Where the retained users and items stand in the whole.
        request: What was asked for.
    """

    whole: MultimodalDataset
    retained: MultimodalDataset
    forgotten: Interactions
    places: Places
    request: Request


def divide(data: MultimodalDataset, request: Request) -> Division:
    """Take a request out of all parts of a data set.

    Raises:
        DataError: too little would be left to train and to test.

    Example:
        >>> from mmgraph.testing import checkerboard_dataset
        >>> from mmgraph.unlearning.request import read_request
        >>> board = checkerboard_dataset(6)
        >>> parted = divide(board, read_request(board, items=["4"]))
        >>> parted.retained.items.ids, len(parted.forgotten), len(parted.retained.train)
        (('0', '1', '2', '3', '5'), 2, 10)
    """
    parts = (data.train, data.valid, data.test)
    forgotten = [request.covers(part, data.num_items) for part in parts]
    try:
        retained = keep_rows(data, [~rows for rows in forgotten])
    except DataError as error:
        raise DataError(f"forgetting {request.kind}: {error}") from None
    rows = np.flatnonzero(forgotten[0])
    lost = Interactions(data.train.user[rows], data.train.item[rows])
    return Division(data, retained, lost, Places.of(retained, data), request)


def check_negatives(division: Division, *, pool: Literal["train_items", "all_items"]) -> None:
    """Refuse a request that leaves a user with every item there is: such a user can be taught nothing.

    Args:
        division: What is forgotten and what is retained.
        pool: What negatives are drawn from, as ``training.negatives`` says.

    Raises:
        DataError: there is such a user; the message has the external id.

    Example:
        >>> from mmgraph.testing import checkerboard_dataset
        >>> from mmgraph.unlearning.request import read_request
        >>> board = checkerboard_dataset(6)
        >>> check_negatives(divide(board, read_request(board, items=["4"])), pool="train_items")
    """
    left = division.retained
    degree = np.bincount(left.train.user)
    size = left.num_items if pool == "all_items" else len(np.unique(left.train.item))
    if degree.max() >= size:
        raise DataError(
            f"forgetting {division.request.kind}: every user that is left needs an item they have not interacted with "
            f"(user {left.users.ids[int(degree.argmax())]!r} has all {size}); name this user too, or fewer"
        )
