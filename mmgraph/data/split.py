"""Dividing the rows into train, validation and test.

Every method works on rows sorted by user and item index, and indices follow the external ids, so
the same seed gives the same split however the file was ordered. A split is known by a hash over
external ids, which two programs can compare.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mmgraph.data.interactions import PARTS, TEST, TRAIN, VALID, IndexArray, Interactions
from mmgraph.data.vocabulary import Vocabulary
from mmgraph.errors import DataError
from mmgraph.files import new_folder

if TYPE_CHECKING:
    from mmgraph.data.dataset import MultimodalDataset

Labels = NDArray[np.int8]

# Keeps floor(10 * 0.7) at 7 although the product is a hair below or above it.
_EPSILON = 1e-9

# Users with fewer rows give exactly one row to validation and one to test.
_FEW_ROWS = 10


class SplitConfig(BaseModel):
    """How the rows are divided.

    Attributes:
        method: ``given`` by the files; ``ratio`` at random within each user; ``leave_one_out`` the
            last row of a user for test and the one before for validation; ``temporal`` two cut
            times for all; ``cold_start`` all rows of held-out items.
        ratios: Shares of train, validation and test, for ``ratio`` and ``temporal``.
        seed: Seed of every random choice of the split.
        valid_from_train: For ``given`` splits without validation rows: the share of each user's
            train rows moved there.
        cold_share: For ``cold_start``: the share of items held out, half of them for validation,
            half for test.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    method: Literal["given", "ratio", "leave_one_out", "temporal", "cold_start"] = "ratio"
    ratios: Annotated[tuple[float, float, float], Field(strict=False)] = (0.8, 0.1, 0.1)
    seed: Annotated[int, Field(ge=0)] = 2026
    valid_from_train: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    cold_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        total = sum(self.ratios)
        if not (all(ratio > 0 for ratio in self.ratios) and abs(total - 1.0) < 1e-6):
            raise ValueError(
                f"ratios must be three positive shares that sum to 1 (got {list(self.ratios)}, "
                f"sum {total:g}); for example [0.8, 0.1, 0.1]"
            )
        if self.valid_from_train > 0 and self.method != "given":
            raise ValueError(
                f'valid_from_train works with method = "given" only (got {self.method!r}); '
                "set ratios or cold_share instead"
            )
        return self


def assign_parts(
    user: IndexArray,
    item: IndexArray,
    *,
    config: SplitConfig,
    timestamp: NDArray[np.generic] | None = None,
    given: Labels | None = None,
) -> tuple[Labels, tuple[str, ...]]:
    """Give each row its part: 0 train, 1 validation, 2 test.

    The result does not depend on the order of the rows. Parts may be empty; :func:`load_dataset`
    refuses those.

    Args:
        user: User index of each row, contiguous from 0 or with gaps.
        item: Item index of each row; a pair occurs once.
        config: The method and its parameters.
        timestamp: Time of each row, if known.
        given: Part of each row as the files say, for ``given``.

    Returns:
        One label a row and notes on choices that a reader should know of.

    Raises:
        DataError: ``given`` without parts in the files, or ``temporal`` without timestamps.

    Complexity:
        A few sorts, O(n log n); no loop over users.
    """
    order = np.lexsort((item, user))
    user, item = user[order], item[order]
    timestamp = None if timestamp is None else timestamp[order]
    rng = np.random.default_rng(config.seed)
    notes: list[str] = []
    if config.method == "given":
        if given is None:
            raise DataError(
                'split.method "given" needs the parts in the files and there are none; '
                "name interactions.split or choose another method"
            )
        labels = _given(user, given[order], config=config, rng=rng, notes=notes)
    elif config.method == "ratio":
        labels = _ratio(user, config=config, rng=rng)
    elif config.method == "leave_one_out":
        labels = _leave_one_out(user, timestamp, rng=rng, notes=notes)
    elif config.method == "temporal":
        labels = _temporal(timestamp, config=config, notes=notes)
    else:
        labels = _cold_start(item, config=config, rng=rng)
    result = np.empty(len(order), dtype=np.int8)
    result[order] = labels
    return result, tuple(notes)


def _rank_within_user(
    user: IndexArray, *keys: NDArray[np.generic]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Place of each row among its user's by the keys, first key first; rows of that user."""
    order = np.lexsort((*reversed(keys), user))
    counts = np.bincount(user)
    starts = np.cumsum(counts) - counts
    rank = np.empty(len(user), dtype=np.int64)
    rank[order] = np.arange(len(user)) - starts[user[order]]
    return rank, counts[user]


def _given(
    user: IndexArray,
    given: Labels,
    *,
    config: SplitConfig,
    rng: np.random.Generator,
    notes: list[str],
) -> Labels:
    labels = given.copy()
    if (labels == VALID).any():
        if config.valid_from_train > 0:
            notes.append("valid_from_train was not used: the files already have validation rows.")
    elif config.valid_from_train > 0:
        rows = np.flatnonzero(labels == TRAIN)
        rank, count = _rank_within_user(user[rows], rng.random(len(rows)))
        moved = rows[rank < np.floor(count * config.valid_from_train + _EPSILON)]
        labels[moved] = VALID
        notes.append(
            f"The files have no validation rows; {len(moved)} train rows were moved to validation "
            f"({config.valid_from_train:g} of each user's, rounded down, seed {config.seed})."
        )
    else:
        notes.append(
            "The split has no validation rows, so training cannot stop early; "
            "split.valid_from_train moves a share of the train rows there."
        )
    return labels


def _ratio(user: IndexArray, *, config: SplitConfig, rng: np.random.Generator) -> Labels:
    rank, count = _rank_within_user(user, rng.random(len(user)))
    train_ratio, valid_ratio, test_ratio = config.ratios
    held = count - np.floor(count * train_ratio + _EPSILON).astype(np.int64)
    share = valid_ratio / (valid_ratio + test_ratio)
    num_valid = np.floor(held * share + _EPSILON).astype(np.int64)
    num_test = held - num_valid
    few = count < _FEW_ROWS
    num_valid[few] = num_test[few] = 1
    num_valid[count < 3] = num_test[count < 3] = 0
    return _label_by_rank(rank, num_test, num_valid)


def _leave_one_out(
    user: IndexArray,
    timestamp: NDArray[np.generic] | None,
    *,
    rng: np.random.Generator,
    notes: list[str],
) -> Labels:
    # Rows at the same time are ordered at random: by item index, items late in the catalogue would
    # be tested more often.
    tie_break = rng.random(len(user))
    if timestamp is None:
        notes.append(
            "Leave-one-out without timestamps: "
            "the last row of a user is the last of a random order."
        )
        rank, count = _rank_within_user(user, tie_break)
    else:
        rank, count = _rank_within_user(user, timestamp, tie_break)
    from_last = count - 1 - rank
    held = np.where(count >= 3, 1, 0)
    return _label_by_rank(from_last, held, held)


def _label_by_rank(
    rank: NDArray[np.int64], num_test: NDArray[np.int64], num_valid: NDArray[np.int64]
) -> Labels:
    """The first ranks of each user go to test, the next to validation, the rest to train."""
    labels = np.zeros(len(rank), dtype=np.int8)
    labels[rank < num_test + num_valid] = VALID
    labels[rank < num_test] = TEST
    return labels


def _temporal(
    timestamp: NDArray[np.generic] | None, *, config: SplitConfig, notes: list[str]
) -> Labels:
    if timestamp is None:
        raise DataError(
            'split.method "temporal" needs the time of each row and there is none; '
            "name interactions.timestamp or choose another method"
        )
    labels = np.zeros(len(timestamp), dtype=np.int8)
    if not len(timestamp):
        return labels
    by_time = np.sort(timestamp)
    last = len(by_time) - 1
    ends = np.cumsum(config.ratios)[:2] * len(by_time)
    valid_start, test_start = by_time[np.minimum(np.floor(ends + _EPSILON).astype(np.int64), last)]
    labels[timestamp >= valid_start] = VALID
    labels[timestamp >= test_start] = TEST
    notes.append(
        f"Temporal split: validation begins at time {valid_start}, test at time {test_start}; "
        "rows at a cut time belong to the later part."
    )
    return labels


def _cold_start(item: IndexArray, *, config: SplitConfig, rng: np.random.Generator) -> Labels:
    present = np.unique(item)
    num_cold = round(len(present) * config.cold_share)
    drawn = rng.permutation(present)[:num_cold]
    num_test = num_cold - num_cold // 2
    label_of_item = np.zeros(int(item.max(initial=-1)) + 1, dtype=np.int8)
    label_of_item[drawn[:num_test]] = TEST
    label_of_item[drawn[num_test:]] = VALID
    return label_of_item[item]


def leakage_note(config: SplitConfig, has_time: bool) -> str | None:
    """Say how a split can let the future into training, or None where it cannot.

    Args:
        config: The split.
        has_time: Whether the rows have timestamps.

    Returns:
        One sentence or None.
    """
    if config.method == "temporal":
        return None
    if config.method == "given":
        return (
            "Leakage: the split came with the data; whether training rows are later than test "
            "rows is not checked."
        )
    if config.method == "ratio":
        return (
            "Leakage: rows were divided at random within each user, so training can hold rows "
            "later than test rows, and scores do not measure prediction of the future."
        )
    if config.method == "leave_one_out":
        return (
            "Leakage: each user's last rows were held out, and training rows of one user can be "
            "later than test rows of another."
        )
    if has_time:
        return (
            "Leakage: cold items were drawn at random, not by the time they first appeared, so "
            "training rows can be later than test rows."
        )
    return None


def hash_split(users: Vocabulary, items: Vocabulary, parts: Sequence[Interactions]) -> str:
    """Hash the external (user, item) pairs of each part.

    The order of the rows, the numbering of users and items, and ids that occur in no row make no
    difference.

    Args:
        users: Vocabulary of the user indices.
        items: Vocabulary of the item indices.
        parts: Train, validation and test rows.

    Returns:
        Sha256 in hexadecimal.

    Complexity:
        One sort of strings, O(n log n).
    """
    digest = hashlib.sha256()
    user_text, item_text = _prefixed(users), _prefixed(items)
    # One number a pair that sorts as the pair of strings does; far cheaper than sorting the strings
    # themselves.
    user_rank, item_rank = _text_rank(users) * len(items), _text_rank(items)
    for name, part in zip(PARTS, parts, strict=True):
        digest.update(f"{name} {len(part)}\n".encode())
        order = np.argsort(user_rank[part.user] + item_rank[part.item])
        lines = user_text.gather(part.user[order]) + item_text.gather(part.item[order])
        digest.update("".join(lines.to_list()).encode())
    return digest.hexdigest()


def _prefixed(vocabulary: Vocabulary) -> pl.Series:
    """Ids with their length in front, so that no two different pairs read the same."""
    return pl.Series([f"{len(value)}:{value}" for value in vocabulary.ids], dtype=pl.String)


def _text_rank(vocabulary: Vocabulary) -> NDArray[np.int64]:
    by_text = sorted(range(len(vocabulary)), key=vocabulary.ids.__getitem__)
    rank = np.empty(len(vocabulary), dtype=np.int64)
    rank[by_text] = np.arange(len(vocabulary))
    return rank


def write_split(dataset: "MultimodalDataset", folder: str | Path) -> Path:
    """Write the parts with external ids, so that another program can use the same split.

    The folder gets ``train.csv``, ``valid.csv``, ``test.csv`` (columns user, item and, where known,
    timestamp) and ``split.json`` (method and parameters, hash, counts). It appears whole or not at
    all.

    Args:
        dataset: A loaded data set.
        folder: A path that does not exist yet.

    Returns:
        The folder.

    Raises:
        DataError: The folder exists already or cannot be written.
    """
    target = Path(folder)
    if target.exists():
        raise DataError(f"{target}: exists already; choose a new folder for the split")
    parts = dict(zip(PARTS, (dataset.train, dataset.valid, dataset.test), strict=True))
    description = {
        "dataset": dataset.name,
        "config": dataset.split_config.model_dump(mode="json"),
        "split_hash": dataset.split_hash,
        "rows": {name: len(part) for name, part in parts.items()},
        "counts": dict(dataset.counts),
        "notes": list(dataset.notes),
    }
    text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
    try:
        with new_folder(target) as fresh:
            for name, part in parts.items():
                _part_table(dataset, part).write_csv(fresh / f"{name}.csv")
            (fresh / "split.json").write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"{target}: cannot be written ({error}); choose another folder") from None
    return target


def _part_table(dataset: "MultimodalDataset", part: Interactions) -> pl.DataFrame:
    users = pl.Series(dataset.users.ids, dtype=pl.String)
    items = pl.Series(dataset.items.ids, dtype=pl.String)
    table = pl.DataFrame({"user": users.gather(part.user), "item": items.gather(part.item)})
    if part.timestamp is not None:
        table = table.with_columns(pl.Series("timestamp", part.timestamp))
    return table
