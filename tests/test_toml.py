"""Recipes as text and as tables."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from mmgraph.errors import ConfigError
from mmgraph.toml import copy_tables, parse_value, read_toml, set_keys, to_toml


def test_keys_are_set_in_a_copy_one_after_the_other() -> None:
    values = {"model": {"name": "lightgcn"}}
    changes = [("model.backbone", {"name": "x"}), ("model.backbone.k", 3), ("seed", None)]
    backbone = {"name": "x", "k": 3}
    assert set_keys(values, changes) == {
        "model": {"name": "lightgcn", "backbone": backbone},
        "seed": None,
    }
    assert values == {"model": {"name": "lightgcn"}}
    assert changes[0] == ("model.backbone", {"name": "x"})
    with pytest.raises(ConfigError, match=r"w/o x: model.name.k: 'name' is a value, not a table"):
        set_keys(values, [("model.name.k", 1)], origin="w/o x:")


def test_tables_are_copied_to_their_depth() -> None:
    values: dict[str, Any] = {"a": {"b": {"c": 1}}}
    copied = copy_tables(values)
    copied["a"]["b"]["c"] = 2
    assert values == {"a": {"b": {"c": 1}}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-4", 1e-4),
        ("true", True),
        ("[10, 20]", [10, 20]),
        ("'x'", "x"),
        ("normal0.1", "normal0.1"),
        ("[text]", "[text]"),
        ("", ""),
    ],
)
def test_a_value_is_toml_or_the_text_itself(text: str, value: object) -> None:
    assert parse_value(text) == value


def test_what_is_written_reads_back() -> None:
    values = {
        "seed": 3,
        "model": {"name": 'a "b" é', "rate": 1e-05, "deep": {"list": [1.5, "x"], "on": False}},
        "ablations": {"w/o CF": {"model.k": 3}},
    }
    text = to_toml(values)
    assert tomllib.loads(text) == values
    assert '[ablations."w/o CF"]\n"model.k" = 3\n' in text


def test_files_that_cannot_be_read_are_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    with pytest.raises(ConfigError, match="no such recipe"):
        read_toml(path)
    path.write_text("[model\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        read_toml(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_toml(path)
