"""mmgraph data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

Ask = Callable[..., Any]


def test_list_names_the_bundled_data_set(ask: Ask) -> None:
    (found,) = ask("data", "list", "--json").json["datasets"]
    assert found["name"] == "movielens-small"
    assert found["modalities"] == ["text", "image"]
    answer = ask("data", "list")
    assert answer.code == 0
    assert "movielens-small" in answer.out


def test_describe_counts_what_is_in_the_files(ask: Ask, tiny: Path) -> None:
    facts = ask("data", "describe", tiny, "--json").json
    table = pl.read_csv(tiny / "ratings.csv")
    pairs = table.select("user", "item").n_unique()
    assert facts["num_interactions"] == pairs
    assert facts["duplicates_dropped"] == table.height - pairs > 0
    assert sum(facts["split"]["rows"].values()) == pairs
    assert facts["modalities"]["text"]["dim"] == 4


def test_describe_shows_the_same_to_people(ask: Ask, tiny: Path) -> None:
    facts = ask("data", "describe", tiny, "--json").json
    answer = ask("data", "describe", tiny)
    assert (answer.code, answer.err) == (0, "")
    for word in ("tiny", "text", "image", "Leakage", facts["split"]["hash"][:16]):
        assert word in answer.out
    dropped = next(line for line in answer.out.splitlines() if "repeated rows" in line)
    assert dropped.split()[-1] == str(facts["duplicates_dropped"])


def test_the_split_is_written_once(ask: Ask, tiny: Path, tmp_path: Path) -> None:
    target = tmp_path / "split"
    answer = ask("data", "describe", tiny, "--split-out", target, "--json")
    rows = answer.json["split"]["rows"]
    assert {part: pl.read_csv(target / f"{part}.csv").height for part in rows} == rows
    again = ask("data", "describe", tiny, "--split-out", target)
    assert (again.code, again.out) == (2, "")
    assert again.err.count("\n") == 1


def test_a_split_is_not_made_for_a_place_that_cannot_be_written(ask: Ask, tiny: Path) -> None:
    answer = ask("data", "describe", tiny, "--split-out", "/proc/split")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: /proc/split: must be a place that can be written")
