"""What is to be forgotten: ids from files or lists, checked against the data set of a run."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mmgraph.data import Interactions, MultimodalDataset, Vocabulary
from mmgraph.data.interactions import IndexArray
from mmgraph.data.tables import check_ids, read_columns, split_lines, table_format
from mmgraph.errors import DataError

Ids = str | Path | Iterable[str]
"""A file, or the external ids themselves."""

NamedPairs = str | Path | Iterable[tuple[str, str]]
"""A file, or external ids of users and items."""

_TABLES = (".csv", ".tsv", ".inter", ".parquet")


@dataclass(frozen=True, eq=False)
class Request:
    """Users, items and single interactions to be forgotten, in the indices of a data set.

    Attributes:
        users: Of whom nothing is to stay.
        items: Of which nothing is to stay.
        user: User of each single interaction.
        item: Item of each single interaction.
    """

    users: IndexArray
    items: IndexArray
    user: IndexArray
    item: IndexArray

    def covers(self, part: Interactions, num_items: int) -> NDArray[np.bool_]:
        """Return which rows are to be forgotten."""
        single = np.isin(part.user * num_items + part.item, self.user * num_items + self.item)
        return np.isin(part.user, self.users) | np.isin(part.item, self.items) | single

    @property
    def kind(self) -> str:
        """Name what is to be forgotten, such as ``users`` or ``users and items``."""
        asked = {"users": self.users, "items": self.items, "interactions": self.user}
        return " and ".join(name for name, rows in asked.items() if len(rows))


def read_request(
    data: MultimodalDataset,
    *,
    users: Ids | None = None,
    items: Ids | None = None,
    interactions: NamedPairs | None = None,
) -> Request:
    """Return what is to be forgotten, the union of what is given.

    A file is a table with the columns ``user`` or ``item``, or both for interactions (csv, tsv, inter, parquet), or for
    users and items a ``.txt`` with one id a line.

    Args:
        data: The data set that holds all of it.
        users: Of whom everything is forgotten.
        items: Of which everything is forgotten.
        interactions: Single interactions, of any part of the split.

    Raises:
        DataError: nothing or everything is named, an id or an interaction is unknown, or a file cannot be read.

    Example:
        >>> from mmgraph.testing import checkerboard_dataset
        >>> request = read_request(checkerboard_dataset(), users=["3"], interactions=[("0", "2")])
        >>> request.users.tolist(), request.user.tolist(), request.item.tolist(), request.kind
        ([3], [0], [2], 'users and interactions')
    """
    if users is None and items is None and interactions is None:
        raise DataError(
            "something to forget is needed (got nothing); give --users, --items or --interactions"
        )
    nobody = np.empty(0, dtype=np.int64)
    chosen_users = nobody if users is None else _indices(users, "user", data.users)
    chosen_items = nobody if items is None else _indices(items, "item", data.items)
    pairs = (nobody, nobody) if interactions is None else _pairs(interactions, data)
    return Request(chosen_users, chosen_items, *pairs)


def _indices(source: Ids, column: str, known: Vocabulary) -> IndexArray:
    origin = f"--{column}s"
    if isinstance(source, str | Path):
        origin = f"--{column}s {source}"
        ids = _read(Path(source), (column,))[column]
    else:
        ids = pl.Series([str(value) for value in source], dtype=pl.String)
    _check_some(ids, origin)
    found = np.unique(_encode(known, ids, origin))
    if len(found) == len(known):
        raise DataError(
            f"{origin}: must leave {column}s to retain (names all {len(known)}); name fewer"
        )
    return found


def _pairs(source: NamedPairs, data: MultimodalDataset) -> tuple[IndexArray, IndexArray]:
    origin = "--interactions"
    if isinstance(source, str | Path):
        origin = f"--interactions {source}"
        table = _read(Path(source), ("user", "item"))
        ids = (table["user"], table["item"])
    else:
        given = list(source)
        user_ids, item_ids = ([str(pair[side]) for pair in given] for side in (0, 1))
        ids = (pl.Series(user_ids, dtype=pl.String), pl.Series(item_ids, dtype=pl.String))
    _check_some(ids[0], origin)
    user, item = (
        _encode(known, of, origin) for known, of in zip((data.users, data.items), ids, strict=True)
    )
    parts = (data.train, data.valid, data.test)
    known_pairs = np.concatenate([part.user * data.num_items + part.item for part in parts])
    pairs = user * data.num_items + item
    unknown = np.flatnonzero(~np.isin(pairs, known_pairs))
    if len(unknown):
        row = int(unknown[0])
        theirs = known_pairs[known_pairs // data.num_items == user[row]] % data.num_items
        raise DataError(
            f"{origin}: the pair {ids[0][row]!r}, {ids[1][row]!r} is no interaction of the data set; user "
            f"{ids[0][row]!r} has {len(theirs)}, such as with {data.items.ids[theirs[0]]!r}"
        )
    pairs = np.unique(pairs)
    if len(pairs) == len(known_pairs):
        raise DataError(
            f"{origin}: must leave interactions to retain (names all {len(pairs)}); name fewer"
        )
    return pairs // data.num_items, pairs % data.num_items


def _check_some(ids: pl.Series, origin: str) -> None:
    if not len(ids):
        raise DataError(f"{origin}: must name something to forget (names nothing); add a row")


def _encode(known: Vocabulary, ids: pl.Series, origin: str) -> IndexArray:
    try:
        return known.encode(ids)
    except DataError as error:
        raise DataError(f"{origin}: {error}") from None


def _read(path: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    endings = [*_TABLES, ".txt"] if len(columns) == 1 else [*_TABLES]
    if path.suffix.lower() not in endings:
        raise DataError(f"{path}: the file must end in {', '.join(endings)}; rename or convert it")
    if not path.is_file():
        raise DataError(f"{path}: no such file; check the path")
    if path.suffix.lower() == ".txt":
        lines = split_lines(_text_of(path)).str.strip_chars()
        table = pl.DataFrame({columns[0]: lines.filter(lines != "")})
    else:
        table = read_columns(
            path.parent,
            path.name,
            columns={name: name for name in columns},
            kind=table_format(path.name, None, key="the file"),
            table="file",
        )
    return table.select(check_ids(table[name], path.name) for name in columns)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); save it as UTF-8 text") from None
