"""mmgraph recommend."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

Ask = Callable[..., Any]


def pairs(run: Path, part: str, user: str) -> set[str]:
    table = pl.read_csv(run / "split" / f"{part}.csv")
    return set(table.filter(pl.col("user") == user)["item"])


def test_lists_leave_out_the_history_and_mark_what_was_held_out(ask: Ask, trained: Path) -> None:
    said = ask("recommend", trained, "--user", "u3", "--user", "u4", "-k", 12, "--json").json
    assert said["k"] == 12
    for user in ("u3", "u4"):
        mine = [entry for entry in said["recommendations"] if entry["user"] == user]
        items = [entry["item"] for entry in mine]
        history = pairs(trained, "train", user) | pairs(trained, "valid", user)
        assert len(items) == min(12, 20 - len(history))
        assert not set(items) & history
        assert [entry["rank"] for entry in mine] == list(range(1, len(items) + 1))
        assert [entry["score"] for entry in mine] == sorted(
            (entry["score"] for entry in mine), reverse=True
        )
        held = {entry["item"] for entry in mine if entry["held_out"]}
        assert held == pairs(trained, "test", user) & set(items)
        assert all(e["title"] == f"[bold]Item {e['item'][1:]}[/oops]" for e in mine)


def test_people_see_titles_as_they_are(ask: Ask, trained: Path) -> None:
    said = ask("recommend", trained, "--user", "u3", "-k", 9, "--json").json
    answer = ask("recommend", trained, "--user", "u3", "--user", "u3", "-k", 9)
    assert answer.out.count("For user u3") == 1
    rows = [line for line in answer.out.splitlines() if "[bold]Item" in line]
    assert [row.split()[:2] for row in rows] == [
        [str(e["rank"]), e["item"]] for e in said["recommendations"]
    ]
    hits = [e["held_out"] for e in said["recommendations"]]
    assert any(hits)
    assert [" hit " in row for row in rows] == hits


@pytest.mark.parametrize("ending", ["csv", "parquet", "json"])
def test_files_hold_the_same(ask: Ask, trained: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"lists.{ending}"
    said = ask("recommend", trained, "--user", "u3", "-k", 5, "--out", out, "--json").json
    if ending == "json":
        assert json.loads(out.read_text()) == said
    else:
        table = pl.read_csv(out) if ending == "csv" else pl.read_parquet(out)
        assert table.to_dicts() == said["recommendations"]
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_a_file_is_replaced_only_when_asked(ask: Ask, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "lists.csv"
    out.write_text("mine")
    words = ["recommend", trained, "--user", "u3", "--out", out]
    answer = ask(*words)
    assert (answer.code, answer.out, out.read_text()) == (2, "", "mine")
    assert ask(*words, "--overwrite").code == 0
    assert out.read_text().startswith("user,rank,item")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--user", "u33"], "u3"),
        (["--user", "u3", "-k", "0"], "k must be"),
        (["--user", "u3", "-k", "21"], "k must be"),
        (["--user", "u3", "--out", "x.xlsx"], "--out must end in"),
        (["--user", "u3", "--out", "missing/x.csv"], "must exist"),
        ([], "--user"),
    ],
    ids=" ".join,
)
def test_wrong_questions_are_refused(ask: Ask, trained: Path, words: list[str], part: str) -> None:
    answer = ask("recommend", trained, *words)
    assert (answer.code, answer.out) == (2, "")
    assert part in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("name", ["/proc/lists.csv", "x" * 246 + ".csv"])
def test_a_place_that_cannot_be_written_is_refused_first(
    ask: Ask, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("mmgraph.experiment.load_run", None)
    answer = ask("recommend", trained, "--user", "u3", "--out", tmp_path / name)
    assert (answer.code, answer.out) == (2, "")
    assert "must be a place that can be written" in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("ending", ["csv", "parquet", "json"])
def test_a_full_disk_is_a_failure_in_one_line(
    ask: Ask, trained: Path, tmp_path: Path, ending: str
) -> None:
    # The name beside the target that is written first; this device is always full.
    (tmp_path / f".partial.lists.{ending}").symlink_to("/dev/full")
    answer = ask("recommend", trained, "--user", "u3", "--out", tmp_path / f"lists.{ending}")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("error: ")
    assert "No space left on device; make room there and try again" in answer.err
    assert answer.err.count("\n") == 1
