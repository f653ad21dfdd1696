"""Table files: csv, tsv, ``.inter``, parquet and MovieLens ``.dat``, read column by column.

Only the columns that are needed are read, and text stays text: ``"007"`` is not ``7``. Rows are
counted from 1, without the header.
"""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from mmgraph.errors import DataError, nearest

_FORMAT_OF_ENDING = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".inter": "inter",
    ".parquet": "parquet",
}
_SEPARATORS = {"csv": ",", "tsv": "\t", "inter": "\t"}


def read_columns(
    folder: Path,
    file: str,
    *,
    columns: Mapping[str, str],
    kind: str,
    table: str,
    fixed: tuple[str, ...] = (),
    separator: str | None = None,
) -> pl.DataFrame:
    """Read some columns of a table file and give them new names.

    Args:
        folder: The data-set folder.
        file: File name relative to it.
        columns: New name -> column in the file.
        kind: csv, tsv, inter, parquet or movielens-dat.
        table: Table of the card that names the columns, for messages.
        fixed: Column names of the ``.dat`` format, which has no header.
        separator: Overrides the separator of the kind.

    Returns:
        The columns, strings unless the file is parquet.

    Raises:
        DataError: The file is missing or damaged or a column is unknown.
    """
    path = existing_file(folder, file)
    try:
        if kind == "movielens-dat":
            available = {name: name for name in fixed}
        elif kind == "parquet":
            available = {name: name for name in pl.read_parquet_schema(path)}
        else:
            header = _read_csv(path, kind, separator=separator, num_rows=0)
            # RecBole writes the type of a column behind a colon: user_id:token.
            available = {name.partition(":")[0]: name for name in header.columns}
            available |= {name: name for name in header.columns}
        for key, column in columns.items():
            if column not in available:
                raise DataError(
                    f"{file}: no column {column!r} ({table}.{key}){nearest(column, available)}"
                )
        sources = {key: available[column] for key, column in columns.items()}
        needed = list(dict.fromkeys(sources.values()))
        if kind == "movielens-dat":
            frame = _read_dat(path, file, names=fixed)
        elif kind == "parquet":
            frame = pl.read_parquet(path, columns=needed, glob=False)
        else:
            frame = _read_csv(path, kind, separator=separator, columns=needed)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise _unreadable(file, kind, error=error) from None
    return frame.select(pl.col(source).alias(key) for key, source in sources.items())


def read_ids(folder: Path, file: str) -> pl.Series:
    """Read the ids that key the rows of a feature file: the first column of a csv with a header.

    Args:
        folder: The data-set folder.
        file: File name relative to it.

    Returns:
        The ids as strings, in the order of the rows.

    Raises:
        DataError: The file is missing or damaged, or an id is empty or occurs twice.
    """
    kind = "tsv" if file.endswith(".tsv") else "csv"
    path = existing_file(folder, file)
    try:
        frame = _read_csv(path, kind, columns=[0])
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise _unreadable(file, kind, error=error) from None
    ids = check_ids(frame.to_series().alias("item"), file)
    check_distinct(ids, file)
    return ids


def existing_file(folder: Path, file: str) -> Path:
    """Return the path of a file of the data set.

    Args:
        folder: The data-set folder.
        file: File name relative to it.

    Returns:
        The path.

    Raises:
        DataError: There is no such file.
    """
    path = folder / file
    if not path.is_file():
        raise DataError(f"{file}: no such file in {folder}; correct the name in dataset.toml")
    return path


def check_distinct(ids: pl.Series, file: str) -> None:
    """Raise if an id stands in two rows of a file that has one row an id.

    Args:
        ids: Ids in the order of the rows.
        file: File name, for the message.

    Raises:
        DataError: An id occurs twice; it is named with both rows.
    """
    repeated = ~ids.is_first_distinct()
    if repeated.any():
        second = int(repeated.arg_true()[0])
        first = int((ids == ids[second]).arg_true()[0])
        raise DataError(
            f"{file} rows {first + 1} and {second + 1}: ids must be distinct "
            f"(got {ids[second]!r} twice); drop one of the rows"
        )


def table_format(file: str, kind: str | None, *, key: str, separator: str | None = None) -> str:
    """Tell the format of a table file: as the card says, else by its ending.

    Args:
        file: File name.
        kind: Format named by the card, if any.
        key: Key of the card that names the format, for the message.
        separator: Separator named by the card; with one, an unknown ending is read as csv.

    Returns:
        csv, tsv, inter, parquet or movielens-dat.

    Raises:
        DataError: Neither card, ending nor separator tells.
    """
    if kind is not None:
        return kind
    ending = Path(file).suffix.lower()
    if ending in _FORMAT_OF_ENDING:
        return _FORMAT_OF_ENDING[ending]
    if separator is not None:
        return "csv"
    raise DataError(
        f"{file}: the format cannot be told from the ending {ending!r}; set {key} to one of "
        "csv, tsv, inter, parquet, movielens-dat"
    )


def _read_csv(
    path: Path,
    kind: str,
    *,
    separator: str | None = None,
    columns: list[str] | list[int] | None = None,
    num_rows: int | None = None,
) -> pl.DataFrame:
    separator = separator or _SEPARATORS[kind]
    return pl.read_csv(
        path,
        columns=columns,
        n_rows=num_rows,
        separator=separator,
        # Ids stay text ("007" is not "7"), so nothing is inferred; in tab-separated files a quote
        # is an ordinary character.
        infer_schema=False,
        quote_char=None if separator == "\t" else '"',
        glob=False,
    )


def _read_dat(path: Path, file: str, *, names: tuple[str, ...]) -> pl.DataFrame:
    """Fields separated by ``::``, no header; UTF-8, or Latin-1 as in the first MovieLens sets."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    lines = split_lines(text)
    wrong = lines.str.count_matches("::", literal=True) != len(names) - 1
    if wrong.any():
        row = int(wrong.arg_true()[0])
        raise DataError(
            f"{file} row {row + 1}: must have the {len(names)} fields {'::'.join(names)} "
            f"(got {lines[row][:60]!r}); correct the line"
        )
    fields = lines.str.split_exact("::", len(names) - 1).struct.rename_fields(list(names))
    return fields.struct.unnest()


def split_lines(text: str) -> pl.Series:
    r"""Return the lines of a text; an end of line at its very end starts no further line.

    Example:
        >>> split_lines("a\r\nb\n").to_list()
        ['a', 'b']
    """
    # Not str.splitlines: a title may hold one of the rarer line separators.
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n") if text else []
    return pl.Series("line", lines, dtype=pl.String)


def check_ids(values: pl.Series, file: str) -> pl.Series:
    """Return a column of ids as strings.

    Args:
        values: Integers or strings.
        file: File name, for the message.

    Returns:
        The ids; none is empty.

    Raises:
        DataError: The column holds something else, or an id is missing.
    """
    if not (values.dtype.is_integer() or values.dtype in (pl.String, pl.Categorical)):
        raise DataError(
            f"{file}: {values.name} ids must be integers or strings (got {values.dtype}); "
            "convert the column"
        )
    ids = values.cast(pl.String)
    check_rows((ids.fill_null("") == ""), ids, file=file, rule=f"{values.name} must not be empty")
    return ids


def check_rows(mask: pl.Series, values: pl.Series, *, file: str, rule: str) -> None:
    """Raise at the first row that a mask marks.

    Args:
        mask: True where a row breaks the rule.
        values: What the rows hold.
        file: File name.
        rule: The rule, for example ``"rating must be a number"``.

    Raises:
        DataError: A row is marked; its number and its value are named.
    """
    if mask.any():
        row = int(mask.arg_true()[0])
        raise DataError(
            f"{file} row {row + 1}: {rule} (got {values[row]!r}); correct the file or drop the row"
        )


def _unreadable(file: str, kind: str, *, error: BaseException) -> DataError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return DataError(
        f"{file}: cannot be read as {kind} ({lines[0]}); correct the file or copy it again"
    )
