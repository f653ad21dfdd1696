"""Vocabulary: canonical order, encoding, and its way to disk and back."""

import json
import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmgraph.data.vocabulary import Vocabulary
from mmgraph.errors import DataError


@pytest.mark.parametrize(
    ("values", "ids"),
    [
        (["10", "9", "10"], ("9", "10")),
        (["7", "07", "8", "007"], ("007", "07", "7", "8")),
        (["-1", "0", "-10"], ("-10", "-1", "0")),
        (["10", "9", "x"], ("10", "9", "x")),
        (["10", "9", "1.5"], ("1.5", "10", "9")),
        (["10", "9", "²"], ("10", "9", "²")),
        ([], ()),
    ],
)
def test_ids_are_sorted_as_numbers_when_all_are_integers(
    values: list[str], ids: tuple[str, ...]
) -> None:
    assert Vocabulary.build(values).ids == ids


def test_any_kind_of_column_is_taken() -> None:
    expected = Vocabulary(["2", "10"])
    assert Vocabulary.build(np.array([10, 2, 2])) == expected
    assert Vocabulary.build(pl.Series([10, 2], dtype=pl.Int32)) == expected
    assert Vocabulary.build(iter(["10", "2"])) == expected
    assert expected.encode(np.array([10, 2, 10])).tolist() == [1, 0, 1]
    assert expected.encode(np.array([], dtype=np.int64)).tolist() == []


@given(st.lists(st.text(max_size=4), min_size=1))
def test_encode_is_the_inverse_of_the_ids(values: list[str]) -> None:
    vocabulary = Vocabulary.build(values)
    codes = vocabulary.encode(values)
    assert codes.dtype == np.int64
    assert [vocabulary[int(code)] for code in codes] == values
    assert [vocabulary.index(value) for value in values] == codes.tolist()
    assert sorted(set(values)) == sorted(vocabulary)


@given(st.lists(st.text(max_size=4)))
def test_json_round_trip_keeps_order_and_hash(values: list[str]) -> None:
    vocabulary = Vocabulary(dict.fromkeys(values))
    again = Vocabulary.from_json(vocabulary.to_json())
    assert again == vocabulary
    assert again.hash == vocabulary.hash
    assert hash(again) == hash(vocabulary)
    assert json.loads(vocabulary.to_json()) == list(vocabulary.ids)


def test_hash_tells_order_and_borders_of_ids() -> None:
    hashes = {Vocabulary(ids).hash for ids in (["a", "b"], ["b", "a"], ["ab"], ['a","b'], [])}
    assert len(hashes) == 5
    assert Vocabulary(["a"]) != ["a"]


def test_an_unknown_id_names_the_nearest() -> None:
    vocabulary = Vocabulary.build(["alpha", "beta"])
    message = "id 'alpa' is not one of the 2 known ids; did you mean 'alpha'?"
    with pytest.raises(DataError, match=re.escape(message)):
        vocabulary.index("alpa")
    with pytest.raises(DataError, match=re.escape(message)):
        vocabulary.encode(["beta", "alpa", "gamma"])
    with pytest.raises(DataError, match=re.escape("ids look like ['alpha', 'beta']")):
        vocabulary.index("zzz")
    assert vocabulary.encode(["beta", "alpa"], unknown="mark").tolist() == [1, -1]
    assert "alpha" in vocabulary
    assert "alpa" not in vocabulary


def test_an_integer_may_be_asked_for() -> None:
    assert Vocabulary(["3", "5"]).index(5) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1]", "must be a JSON array of strings"),
        ('{"a": 1}', "must be a JSON array of strings"),
        ("[", "not valid JSON"),
        ('["a", "b", "a"]', "ids must be distinct (got 'a' again at index 2)"),
    ],
)
def test_bad_json(text: str, expected: str) -> None:
    with pytest.raises(DataError, match=re.escape(expected)):
        Vocabulary.from_json(text)
