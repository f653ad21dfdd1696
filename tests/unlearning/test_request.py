"""What is to be forgotten: files, ids, and what is refused."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mmgraph.data import MultimodalDataset
from mmgraph.errors import DataError
from mmgraph.unlearning.request import Request, read_request


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "txt"])
def test_ids_come_from_tables_and_lists(
    board: MultimodalDataset, tmp_path: Path, ending: str
) -> None:
    path, table = tmp_path / f"some.{ending}", pl.DataFrame({"user": ["5", "2", "5"], "why": "xyz"})
    if ending == "parquet":
        table.write_parquet(path)
    elif ending == "txt":
        path.write_text("5\n 2 \n\n5\n")
    else:
        table.write_csv(path, separator="\t" if ending == "tsv" else ",")
    request = read_request(board, users=path)
    assert (request.users.tolist(), request.kind) == ([2, 5], "users")
    assert read_request(board, users=str(path)).users.tolist() == [2, 5]


def test_pairs_of_any_part_are_found(board: MultimodalDataset, tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("item,user\n2,0\n5,5\n2,0\n")  # (5, 5) is a test row
    request = read_request(board, interactions=path)
    assert (request.user.tolist(), request.item.tolist()) == ([0, 5], [2, 5])
    assert request.covers(board.train, 12).sum() == 1
    assert np.flatnonzero(request.covers(board.test, 12)).tolist() == [5]


def test_kinds_are_joined(board: MultimodalDataset) -> None:
    request = read_request(board, users=["1"], items=["3"], interactions=[("0", "2")])
    assert request.kind == "users and items and interactions"
    lost = request.covers(board.train, 12)
    expected = (board.train.user == 1) | (board.train.item == 3)
    expected |= (board.train.user == 0) & (board.train.item == 2)
    assert np.array_equal(lost, expected)


def test_nothing_is_covered_by_an_empty_request(board: MultimodalDataset) -> None:
    nobody = np.empty(0, dtype=np.int64)
    assert not Request(nobody, nobody, nobody, nobody).covers(board.train, 12).any()


@pytest.mark.parametrize(
    ("asked", "parts"),
    [
        ({}, ("something to forget is needed",)),
        ({"users": []}, ("--users", "names nothing")),
        ({"interactions": []}, ("--interactions", "names nothing")),
        ({"users": ["44"]}, ("--users", "'44'", "did you mean '4'")),
        ({"items": ["77"]}, ("--items", "'77'", "did you mean '7'")),
        ({"interactions": [("0", "1")]}, ("'0', '1'", "no interaction", "such as with '2'")),
        ({"interactions": [("0", "99")]}, ("--interactions", "'99'", "did you mean '9'")),
        ({"users": [str(n) for n in range(12)]}, ("--users", "names all 12")),
        ({"items": [str(n) for n in range(12)]}, ("--items", "names all 12")),
    ],
    ids=str,
)  # fmt: skip
def test_wrong_requests_are_refused(
    board: MultimodalDataset, asked: dict[str, list[str]], parts: tuple[str, ...]
) -> None:
    with pytest.raises(DataError) as caught:
        read_request(board, **asked)  # type: ignore[arg-type]
    assert all(part in str(caught.value) for part in parts)
    assert "\n" not in str(caught.value)


def test_all_interactions_are_too_many(board: MultimodalDataset) -> None:
    rows = [
        (board.users[user], board.items[item])
        for part in (board.train, board.test)
        for user, item in zip(part.user, part.item, strict=True)
    ]
    with pytest.raises(DataError, match="names all 72"):
        read_request(board, interactions=rows)


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("x.xlsx", "", ("must end in", ".csv")),
        ("missing.csv", None, ("no such file",)),
        ("x.csv", "person\n1\n", ("no column 'user'",)),
        ("x.csv", "user\n1\n\n2\n", ("row 2", "must not be empty")),
        ("x.txt", "\n\n", ("names nothing",)),
        ("x.txt", "\udcff", ("cannot be read",)),
    ],
)
def test_wrong_files_are_refused(
    board: MultimodalDataset, tmp_path: Path, name: str, text: str | None, parts: tuple[str, ...]
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError) as caught:
        read_request(board, users=path)
    assert all(part in str(caught.value) for part in parts), str(caught.value)


def test_pairs_do_not_come_from_plain_lists(board: MultimodalDataset, tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text("0 2\n")
    with pytest.raises(DataError, match="must end in"):
        read_request(board, interactions=path)
