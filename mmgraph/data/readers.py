"""Raw files of several formats, read into one table of strings and numbers.

Whatever the format, the result has the columns ``user`` and ``item`` (strings) and, where the file
has them, ``rating``, ``timestamp`` and ``split``.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from mmgraph.data.card import InteractionsCard, ItemsCard
from mmgraph.data.tables import (
    check_distinct,
    check_ids,
    check_rows,
    existing_file,
    read_columns,
    split_lines,
    table_format,
)
from mmgraph.errors import DataError

_DAT_RATINGS = ("user", "item", "rating", "timestamp")
_DAT_ITEMS = ("id", "title", "genres")
_LATTICE_PARTS = ("train", "val", "test")
_PART_LABELS = {
    **{"0": 0, "train": 0},
    **{"1": 1, "valid": 1, "validation": 1, "val": 1},
    **{"2": 2, "test": 2},
}


@dataclass(frozen=True)
class RawInteractions:
    """Interactions as the files say, before any filter.

    Attributes:
        frame: Columns user, item (String), and where known rating (Float64), timestamp (Int64 or
            Float64), split (Int8: 0 train, 1 valid, 2 test).
        rows_read: Rows in the files.
    """

    frame: pl.DataFrame
    rows_read: int


def read_interactions(folder: Path, card: InteractionsCard) -> RawInteractions:
    """Read the interactions that a card describes.

    Args:
        folder: The data-set folder.
        card: Its ``[interactions]`` table.

    Returns:
        The raw table and the number of rows read.

    Raises:
        DataError: A file is missing or damaged, a column is unknown, an id is empty, a rating or a
            time is not a number, or a split label is none of the known ones.
    """
    if card.format == "lightgcn":
        frame = _read_lightgcn(folder, card)
    elif card.format == "lattice-json":
        frame = _read_lattice(folder, card)
    else:
        frame = _read_table_interactions(folder, card)
    return RawInteractions(frame, frame.height)


def read_titles(folder: Path, card: ItemsCard) -> pl.DataFrame | None:
    """Read the titles of the items.

    Args:
        folder: The data-set folder.
        card: Its ``[items]`` table.

    Returns:
        Columns id and title (String, "" where empty), or None when the card names no title column.

    Raises:
        DataError: The file or a column is missing, or an id is empty or occurs twice.
    """
    kind = table_format(card.file, card.format, key="items.format")
    fixed = kind == "movielens-dat"
    title = card.title or ("title" if fixed else None)
    identifier = card.id or ("id" if fixed else None)
    if title is None:
        return None
    if identifier is None:
        raise DataError(
            f"{card.file}: items.id is missing; name the column that holds the item ids"
        )
    columns = {"id": identifier, "title": title}
    frame = read_columns(
        folder, card.file, columns=columns, kind=kind, fixed=_DAT_ITEMS, table="items"
    )
    frame = frame.select(check_ids(frame["id"], card.file), pl.col("title").cast(pl.String))
    check_distinct(frame["id"], card.file)
    return frame.with_columns(pl.col("title").fill_null(""))


def _read_table_interactions(folder: Path, card: InteractionsCard) -> pl.DataFrame:
    file = card.file or ""
    kind = table_format(file, card.format, separator=card.separator, key="interactions.format")
    keys = ("user", "item", "rating", "timestamp", "split")
    columns = {key: getattr(card, key) for key in keys if getattr(card, key) is not None}
    if kind == "movielens-dat":
        columns = {name: name for name in _DAT_RATINGS} | columns
    for key in ("user", "item"):
        if key not in columns:
            raise DataError(
                f"{file}: interactions.{key} is missing; name the column that holds the {key} ids"
            )
    frame = read_columns(
        folder,
        file,
        columns=columns,
        kind=kind,
        fixed=_DAT_RATINGS,
        separator=card.separator,
        table="interactions",
    )
    result = [check_ids(frame["user"], file), check_ids(frame["item"], file)]
    if "rating" in columns:
        result.append(_numbers(frame["rating"], file))
    if "timestamp" in columns:
        result.append(_times(frame["timestamp"], file))
    if "split" in columns:
        result.append(_parts(frame["split"], file))
    return pl.DataFrame(result)


def _numbers(values: pl.Series, file: str) -> pl.Series:
    text_or_number = values.dtype == pl.String or values.dtype.is_numeric()
    numbers = (
        values.cast(pl.Float64, strict=False)
        if text_or_number
        else pl.Series(values.name, [None] * len(values), dtype=pl.Float64)
    )
    bad = ~numbers.is_finite().fill_null(False)
    check_rows(bad, values, file=file, rule=f"{values.name} must be a number")
    return numbers


def _times(values: pl.Series, file: str) -> pl.Series:
    if values.dtype in (pl.Date, pl.Datetime):
        # Any unit would do, only the order counts; microseconds lose nothing that a Datetime column
        # holds.
        epoch = values.dt.epoch("us")
        check_rows(epoch.is_null(), values, file=file, rule="timestamp must not be empty")
        return epoch
    if values.dtype.is_integer() or values.dtype == pl.String:
        whole = values.cast(pl.Int64, strict=False)
        if not whole.has_nulls():
            return whole
    return _numbers(values, file)


def _parts(values: pl.Series, file: str) -> pl.Series:
    if not (values.dtype.is_integer() or values.dtype == pl.String):
        raise DataError(
            f"{file}: split labels must be integers or strings (got {values.dtype}); "
            "convert the column"
        )
    parts = values.cast(pl.String).replace_strict(_PART_LABELS, default=None, return_dtype=pl.Int8)
    rule = "split must be 0, 1, 2 or train, valid, test"
    check_rows(parts.is_null(), values, file=file, rule=rule)
    return parts


def _read_lightgcn(folder: Path, card: InteractionsCard) -> pl.DataFrame:
    frames = []
    for part, file in ((0, card.train or ""), (2, card.test or "")):
        path = existing_file(folder, file)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{file}: cannot be read ({error}); copy the file again") from None
        lines = split_lines(text)
        wrong = ~lines.str.contains(r"^\s*(?:-?[0-9]+(?:\s+|$))*$")
        rule = "each line must be a user and its items, integers between blanks"
        check_rows(wrong, lines.str.slice(0, 60), file=file, rule=rule)
        fields = lines.str.extract_all(r"\S+")
        pairs = pl.DataFrame({"user": fields.list.first(), "item": fields.list.slice(1)})
        # A line with a user and no items explodes into a row without item; it says nothing.
        pairs = pairs.explode("item").drop_nulls("item")
        frames.append(pairs.with_columns(split=pl.lit(part, dtype=pl.Int8)))
    return pl.concat(frames)


def _read_lattice(folder: Path, card: InteractionsCard) -> pl.DataFrame:
    frames = []
    for part, name in enumerate(_LATTICE_PARTS):
        file = f"{card.file}/{name}.json"
        users: list[str] = []
        items: list[str] = []
        for user, listed in _read_json_lists(existing_file(folder, file), file):
            users.extend([user] * len(listed))
            items.extend(listed)
        pairs = pl.DataFrame(
            {"user": users, "item": items},
            schema_overrides=dict.fromkeys(("user", "item"), pl.String),
        )
        frames.append(pairs.with_columns(split=pl.lit(part, dtype=pl.Int8)))
    return pl.concat(frames)


def _read_json_lists(path: Path, file: str) -> Iterable[tuple[str, list[str]]]:
    """Users and their items; the pairs are kept as a list so that a user named twice is seen."""
    try:
        pairs = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=list)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{file}: not valid JSON ({error}); copy the file again") from None
    rule = "must be one JSON object {user: [items]}"
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        raise DataError(f"{file}: {rule} (got {str(pairs)[:40]!r}); correct the file")
    seen: set[str] = set()
    for user, listed in pairs:
        if user in seen:
            raise DataError(f"{file}: user {user!r} occurs twice; join the two lists")
        seen.add(user)
        plain = isinstance(listed, list) and all(
            isinstance(item, str | int) and not isinstance(item, bool) and item != ""
            for item in listed
        )
        if not plain or user == "":
            raise DataError(
                f"{file}: {rule} with ids as text or integers "
                f"(got {str(listed)[:40]!r} for user {user!r}); correct the file"
            )
        yield user, [str(item) for item in listed]
