"""Table files: the formats, and what a damaged file is answered with."""

import re
from pathlib import Path

import polars as pl
import pytest

from mmgraph.data.tables import check_distinct, read_columns, read_ids, split_lines, table_format
from mmgraph.errors import DataError


def read(folder: Path, file: str, **options: object) -> dict[str, list[object]]:
    kind = table_format(file, None, key="interactions.format")
    columns = {"a": "x", "b": "y"}
    frame = read_columns(folder, file, columns=columns, kind=kind, table="t", **options)
    return frame.to_dict(as_series=False)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("f.csv", "z,y,x\n0,2,007\n0,,7\n"),
        ("f.csv", '\ufeffz,y,x\r\n0,"2",007\r\n0,,7\r\n'),
        ("f.tsv", "z\ty\tx\n0\t2\t007\n0\t\t7\n"),
        ("f.inter", "z:float\ty:token\tx:token\n0\t2\t007\n0\t\t7\n"),
    ],
)
def test_columns_are_chosen_by_name_and_text_stays_text(
    tmp_path: Path, file: str, content: str
) -> None:
    (tmp_path / file).write_bytes(content.encode())
    assert read(tmp_path, file) == {"a": ["007", "7"], "b": ["2", None]}


def test_the_typed_name_of_a_column_is_accepted_too(tmp_path: Path) -> None:
    (tmp_path / "f.inter").write_text("x:token\ty:token\n1\t2\n")
    columns = {"a": "x:token"}
    frame = read_columns(tmp_path, "f.inter", columns=columns, kind="inter", table="t")
    assert frame["a"].to_list() == ["1"]


def test_a_separator_overrides_the_ending(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text('x|y\n1|"a|b"\n')
    assert read(tmp_path, "f.csv", separator="|") == {"a": ["1"], "b": ["a|b"]}


def test_a_quote_in_a_tab_separated_file_is_an_ordinary_character(tmp_path: Path) -> None:
    (tmp_path / "f.tsv").write_text('x\ty\n"1\t12" disc\n2\tb\n')
    assert read(tmp_path, "f.tsv") == {"a": ['"1', "2"], "b": ['12" disc', "b"]}


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    pl.DataFrame({"y": [1.5, None], "x": [1, 2], "z": ["", ""]}).write_parquet(
        tmp_path / "f.parquet"
    )
    assert read(tmp_path, "f.parquet") == {"a": [1, 2], "b": [1.5, None]}


def test_dat_is_utf8_or_latin_1(tmp_path: Path) -> None:
    for encoding in ("utf-8", "latin-1"):
        (tmp_path / "m.dat").write_bytes("1::Léon: a\x85b::C|D\n2::::\n".encode(encoding))
        frame = read_columns(
            tmp_path,
            "m.dat",
            columns={"id": "id", "title": "title"},
            kind="movielens-dat",
            fixed=("id", "title", "genres"),
            table="items",
        )
        assert frame.rows() == [("1", "Léon: a\x85b"), ("2", "")]


def test_a_dat_line_with_too_few_fields_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.dat").write_text("1::a::b\n2::a\n")
    with pytest.raises(
        DataError,
        match=re.escape("m.dat row 2: must have the 3 fields id::title::genres (got '2::a')"),
    ):
        read_columns(
            tmp_path,
            "m.dat",
            columns={"id": "id"},
            kind="movielens-dat",
            fixed=("id", "title", "genres"),
            table="items",
        )


def damaged_parquet(kind: str) -> bytes:
    import io

    stream = io.BytesIO()
    pl.DataFrame({"x": list(range(9999)), "y": list(range(9999))}).write_parquet(stream)
    data = stream.getvalue()
    if kind == "truncated":
        return data[: len(data) // 2]
    if kind == "garbled":
        return data[:8] + bytes(byte ^ 0x5A for byte in data[8:300]) + data[300:]
    return b"" if kind == "empty" else b"PAR1 is not enough"


@pytest.mark.parametrize("kind", ["truncated", "garbled", "empty", "short"])
def test_damaged_parquet_is_one_line(tmp_path: Path, kind: str) -> None:
    (tmp_path / "f.parquet").write_bytes(damaged_parquet(kind))
    with pytest.raises(DataError, match=r"^f\.parquet: cannot be read as parquet \(.*\); [^\n]*$"):
        read(tmp_path, "f.parquet")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty CSV"),
        (b"x,y\n1,2,3\n", "found more fields"),
        (b"x,y\n\xff\xfe,2\n", "invalid utf-8"),
    ],
)
def test_a_damaged_csv_is_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "f.csv").write_bytes(content)
    with pytest.raises(DataError, match=rf"^f\.csv: cannot be read as csv \({reason}[^\n]*$"):
        read(tmp_path, "f.csv")


def test_missing_file_unknown_column_unknown_ending(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^f\.csv: no such file in .*correct the name in dataset"):
        read(tmp_path, "f.csv")
    (tmp_path / "f.csv").write_text("x,yy\n1,2\n")
    with pytest.raises(
        DataError, match=re.escape("f.csv: no column 'y' (t.b); did you mean 'yy'?")
    ):
        read(tmp_path, "f.csv")
    with pytest.raises(
        DataError, match=re.escape("f.dat: the format cannot be told from the endin")
    ):
        read(tmp_path, "f.dat")


def test_a_separator_or_the_card_tells_the_format() -> None:
    assert table_format("f.txt", None, key="k", separator=" ") == "csv"
    assert table_format("f.csv", "movielens-dat", key="k") == "movielens-dat"
    assert table_format("F.CSV", None, key="k") == "csv"


def test_ids_are_the_first_column(tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("movieId,note\n07,a\n7,b\n")
    assert read_ids(tmp_path, "ids.csv").to_list() == ["07", "7"]
    (tmp_path / "ids.tsv").write_text("movieId\tnote\n1,2\ta\n")
    assert read_ids(tmp_path, "ids.tsv").to_list() == ["1,2"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("id\n1\n2\n3\n2\n", "ids.csv rows 2 and 4: ids must be distinct (got '2' twice)"),
        ("id,n\n1,a\n,b\n", "ids.csv row 2: item must not be empty (got None)"),
        ('id,n\n1,a\n"",b\n', "ids.csv row 2: item must not be empty (got '')"),
        ("", "ids.csv: cannot be read as csv (empty CSV)"),
    ],
)
def test_bad_ids_files(tmp_path: Path, content: str, expected: str) -> None:
    (tmp_path / "ids.csv").write_text(content)
    with pytest.raises(DataError, match="^" + re.escape(expected)):
        read_ids(tmp_path, "ids.csv")


def test_check_distinct_is_silent_on_distinct_ids() -> None:
    check_distinct(pl.Series(["1", "01", " 1"]), "f")


@pytest.mark.parametrize(
    ("text", "lines"),
    [("", []), ("a", ["a"]), ("a\n\nb\n", ["a", "", "b"]), ("a\u2028b", ["a\u2028b"])],
)
def test_split_lines(text: str, lines: list[str]) -> None:
    assert split_lines(text).to_list() == lines
