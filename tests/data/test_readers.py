"""Interactions and titles out of every format, and the row of each mistake."""

import datetime
import json
import re
from pathlib import Path

import polars as pl
import pytest

from mmgraph.data.card import InteractionsCard, ItemsCard
from mmgraph.data.readers import read_interactions, read_titles
from mmgraph.errors import DataError


def csv_card(**keys: object) -> InteractionsCard:
    return InteractionsCard.model_validate({"file": "r.csv", "user": "u", "item": "i", **keys})


def rows_of(folder: Path, card: InteractionsCard) -> list[tuple[object, ...]]:
    raw = read_interactions(folder, card)
    assert raw.rows_read == raw.frame.height
    return raw.frame.rows()


def test_csv_gives_the_canonical_columns(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("s,t,r,i,u\ntrain,5,4.5,07,a\nval,6,1e0,7,b\n2,7,3,7,a\n")
    card = csv_card(rating="r", timestamp="t", split="s")
    raw = read_interactions(tmp_path, card)
    assert dict(raw.frame.schema) == {
        "user": pl.String,
        "item": pl.String,
        "rating": pl.Float64,
        "timestamp": pl.Int64,
        "split": pl.Int8,
    }
    assert raw.frame.rows() == [
        ("a", "07", 4.5, 5, 0),
        ("b", "7", 1.0, 6, 1),
        ("a", "7", 3.0, 7, 2),
    ]


def test_parquet_ids_become_text_and_dates_become_numbers(tmp_path: Path) -> None:
    day = datetime.datetime(1970, 1, 2)
    table = pl.DataFrame({"u": [1, 2], "i": ["a", "b"], "r": [1, 2], "t": [day, day], "s": [0, 2]})
    table.write_parquet(tmp_path / "r.parquet")
    card = csv_card(file="r.parquet", rating="r", timestamp="t", split="s")
    assert rows_of(tmp_path, card) == [
        ("1", "a", 1.0, 86_400_000_000, 0),
        ("2", "b", 2.0, 86_400_000_000, 2),
    ]


def test_times_with_a_fraction_stay_fractions(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("u,i,t\n1,1,5\n1,2,5.5\n")
    assert [row[2] for row in rows_of(tmp_path, csv_card(timestamp="t"))] == [5.0, 5.5]


@pytest.mark.parametrize(
    ("content", "keys", "expected"),
    [
        (
            "u,i,r\n1,1,4\n1,2,abc\n",
            {"rating": "r"},
            "r.csv row 2: rating must be a number (got 'abc'); correct the file or drop the row",
        ),
        ("u,i,r\n1,1,\n", {"rating": "r"}, "r.csv row 1: rating must be a number (got None)"),
        ("u,i,r\n1,1,nan\n", {"rating": "r"}, "r.csv row 1: rating must be a number (got 'nan')"),
        ("u,i,r\n1,1,inf\n", {"rating": "r"}, "r.csv row 1: rating must be a number (got 'inf')"),
        (
            "u,i,t\n1,1,2020-01-01\n",
            {"timestamp": "t"},
            "r.csv row 1: timestamp must be a number (got '2020-01-01')",
        ),
        (
            "u,i,t\n1,1,5\n1,2,\n",
            {"timestamp": "t"},
            "r.csv row 2: timestamp must be a number (got None)",
        ),
        (
            "u,i,s\n1,1,0\n1,2,3\n",
            {"split": "s"},
            "r.csv row 2: split must be 0, 1, 2 or train, valid, test (got '3')",
        ),
        (
            "u,i,s\n1,1,\n",
            {"split": "s"},
            "r.csv row 1: split must be 0, 1, 2 or train, valid, test (got None)",
        ),
        ("u,i\n1,1\n,2\n", {}, "r.csv row 2: user must not be empty (got None)"),
        ("u,i\n1,1\n1\n", {}, "r.csv row 2: item must not be empty (got None)"),
        ("u,i\n1,1\n\n", {}, "r.csv row 2: user must not be empty (got None)"),
        (
            "u,i\n1,1\n",
            {"rating": "stars"},
            "r.csv: no column 'stars' (interactions.rating); known: i, u",
        ),
        (
            "u,item_id\n1,1\n",
            {"item": "itemid"},
            "r.csv: no column 'itemid' (interactions.item); did you mean 'item_id'?",
        ),
        (
            "u,i\n1,1\n",
            {"item": None},
            "r.csv: interactions.item is missing; name the column that holds the item ids",
        ),
    ],
)
def test_a_bad_row_is_named(
    tmp_path: Path, content: str, keys: dict[str, object], expected: str
) -> None:
    (tmp_path / "r.csv").write_text(content)
    with pytest.raises(DataError, match="^" + re.escape(expected)) as caught:
        read_interactions(tmp_path, csv_card(**keys))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ({"u": [1.0, 2.0]}, "r.parquet: user ids must be integers or strings (got Float64)"),
        ({"i": [1, None]}, "r.parquet row 2: item must not be empty (got None)"),
        ({"r": [True, False]}, "r.parquet row 1: rating must be a number (got True)"),
        ({"r": [1.0, float("nan")]}, "r.parquet row 2: rating must be a number (got nan)"),
        ({"s": [0.0, 1.0]}, "r.parquet: split labels must be integers or strings (got Float64)"),
        ({"s": [0, 7]}, "r.parquet row 2: split must be 0, 1, 2 or train, valid, test (got 7)"),
    ],
)
def test_bad_parquet_columns(
    tmp_path: Path, column: dict[str, list[object]], expected: str
) -> None:
    columns = {"u": [1, 2], "i": [1, 2], "r": [1, 2], "s": [0, 1], **column}
    pl.DataFrame(columns).write_parquet(tmp_path / "r.parquet")
    with pytest.raises(DataError, match="^" + re.escape(expected)):
        read_interactions(tmp_path, csv_card(file="r.parquet", rating="r", split="s"))


def test_movielens_ratings_need_no_column_names(tmp_path: Path) -> None:
    (tmp_path / "ratings.dat").write_text("1::1193::5::978300760\n1::661::3::978302109\n")
    card = InteractionsCard(file="ratings.dat", format="movielens-dat", min_rating=4.0)
    assert rows_of(tmp_path, card) == [
        ("1", "1193", 5.0, 978300760),
        ("1", "661", 3.0, 978302109),
    ]


def lightgcn_card(folder: Path, train: str, test: str) -> InteractionsCard:
    (folder / "train.txt").write_text(train)
    (folder / "test.txt").write_text(test)
    return InteractionsCard(format="lightgcn", train="train.txt", test="test.txt")


def test_lightgcn_lines_may_be_empty_or_hold_only_a_user(tmp_path: Path) -> None:
    card = lightgcn_card(tmp_path, "0 5 6 \n1\n\n2  7\n", "0 8\n")
    assert rows_of(tmp_path, card) == [("0", "5", 0), ("0", "6", 0), ("2", "7", 0), ("0", "8", 2)]


def test_lightgcn_takes_integers_only(tmp_path: Path) -> None:
    card = lightgcn_card(tmp_path, "0 5 6\n1 x\n", "0 8\n")
    with pytest.raises(DataError, match=re.escape("train.txt row 2: each line must be a user and")):
        read_interactions(tmp_path, card)


def lattice_card(folder: Path, **parts: object) -> InteractionsCard:
    (folder / "5-core").mkdir()
    for name, content in {"train": {}, "val": {}, "test": {}, **parts}.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / "5-core" / f"{name}.json").write_text(text)
    return InteractionsCard(format="lattice-json", file="5-core")


def test_lattice_json(tmp_path: Path) -> None:
    card = lattice_card(tmp_path, train={"0": [1, "2"], "1": []}, val={"0": [3]}, test={"1": [1]})
    assert card.has_given_split
    assert rows_of(tmp_path, card) == [
        ("0", "1", 0),
        ("0", "2", 0),
        ("0", "3", 1),
        ("1", "1", 2),
    ]


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        ('{"0": [1', "5-core/train.json: not valid JSON ("),
        ("[" * 100_000, "5-core/train.json: not valid JSON ("),
        ("[[1, 2]]", "5-core/train.json: must be one JSON object {user: [items]} (got '[[1, 2]]')"),
        ("3", "5-core/train.json: must be one JSON object {user: [items]} (got '3')"),
        ('{"0": [1.5]}', "5-core/train.json: must be one JSON object {user: [items]} with ids as"),
        ('{"0": [true]}', "5-core/train.json: must be one JSON object {user: [items]} with ids as"),
        ('{"0": 3}', "5-core/train.json: must be one JSON object {user: [items]} with ids as text"),
        ('{"0": [1], "0": [2]}', "5-core/train.json: user '0' occurs twice; join the two lists"),
    ],
)
def test_bad_lattice_json(tmp_path: Path, train: str, expected: str) -> None:
    card = lattice_card(tmp_path, train=train)
    with pytest.raises(DataError, match="^" + re.escape(expected)):
        read_interactions(tmp_path, card)


def test_lattice_needs_all_three_files(tmp_path: Path) -> None:
    card = lattice_card(tmp_path)
    (tmp_path / "5-core" / "val.json").unlink()
    with pytest.raises(DataError, match=r"^5-core/val\.json: no such file"):
        read_interactions(tmp_path, card)


def test_titles(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text('id,t\n1,"A, b"\n2,\n')
    titles = read_titles(tmp_path, ItemsCard(file="m.csv", id="id", title="t"))
    assert titles is not None
    assert titles.rows() == [("1", "A, b"), ("2", "")]
    assert read_titles(tmp_path, ItemsCard(file="m.csv", id="id")) is None
    (tmp_path / "m.dat").write_bytes("3::Misérables::Drama\n".encode("latin-1"))
    titles = read_titles(tmp_path, ItemsCard(file="m.dat", format="movielens-dat"))
    assert titles is not None
    assert titles.rows() == [("3", "Misérables")]


def test_bad_titles(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("id,t\n1,a\n2,b\n1,c\n")
    with pytest.raises(DataError, match=re.escape("m.csv rows 1 and 3: ids must be distinct (got")):
        read_titles(tmp_path, ItemsCard(file="m.csv", id="id", title="t"))
    with pytest.raises(DataError, match=re.escape("m.csv: items.id is missing")):
        read_titles(tmp_path, ItemsCard(file="m.csv", title="t"))
    with pytest.raises(DataError, match=re.escape("m.csv: no column 'name' (items.title)")):
        read_titles(tmp_path, ItemsCard(file="m.csv", id="id", title="name"))
