"""mmgraph unlearn."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmgraph.errors import FitError

Ask = Callable[..., Any]
Refused = Callable[[list[object], tuple[str, ...]], None]

FEW = ["--set", "max_epochs=2"]


@pytest.fixture
def leaving(tmp_path: Path) -> Path:
    """Return a file with two users."""
    path = tmp_path / "leaving.csv"
    path.write_text("user\nu3\nu7\n")
    return path


def test_the_report_as_json_and_the_run_after_it(
    ask: Ask, run: Path, leaving: Path, tmp_path: Path
) -> None:
    words = [
        "unlearn",
        run,
        "--users",
        leaving,
        "--gold",
        "--out",
        tmp_path / "new",
        *FEW,
        "--quiet",
    ]
    answer = ask(*words, "--json")
    said = answer.json
    assert answer.err == ""
    assert (said["request"], said["model"]) == ("users", "lightgcn")
    assert (said["unlearned"], said["gold"]) == (str(tmp_path / "new"), str(tmp_path / "new-gold"))
    assert said["distance"]["membership_auc"].keys() == {"original", "unlearned", "closer"}
    evaluated = ask("evaluate", tmp_path / "new", "--json").json
    assert evaluated["equals_stored"] is True
    refused = ask("recommend", tmp_path / "new", "--user", "u3")
    assert (refused.code, "'u3' is not one of the 22 known ids" in refused.err) == (2, True)
    for name in ("new", "new-gold"):
        vocabulary = json.loads((tmp_path / name / "vocabulary.json").read_text())
        assert {"u3", "u7"}.isdisjoint(vocabulary["users"])


def test_people_see_figures_seconds_and_what_is_next(ask: Ask, run: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    rows = (run / "split" / "train.csv").read_text().splitlines()[1:6]
    pairs.write_text("user,item\n" + "\n".join(",".join(row.split(",")[:2]) for row in rows) + "\n")
    answer = ask("unlearn", run, "--interactions", pairs, "--out", tmp_path / "new", *FEW)
    assert answer.code == 0
    assert "interactions to be forgotten: 5 training interactions" in answer.out
    assert "membership_auc" in answer.out
    assert "nearer to gold" not in answer.out
    assert f"mmgraph evaluate {tmp_path / 'new'}" in answer.out
    assert "unlearning lightgcn" in answer.err


def test_lists_one_id_a_line(ask: Ask, run: Path, tmp_path: Path) -> None:
    path = tmp_path / "items.txt"
    path.write_text("i4\n")
    said = ask("unlearn", run, "--items", path, "--out", tmp_path / "new", *FEW, "--json").json
    assert "exposure@19" in said["figures"]["unlearned"]
    # The catalogue of the tiny data set has shrunk below the longest list.
    assert "recall@19" not in said["figures"]["unlearned"]


def test_an_interrupt_says_how_the_retrained_run_goes_on(
    ask: Ask, run: Path, leaving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, out: Path, observer: Any, **__: Any) -> None:
        observer.started(out)
        raise KeyboardInterrupt

    monkeypatch.setattr("mmgraph.unlearning.procedure.train", interrupted)
    out = tmp_path / "new"
    answer = ask("unlearn", run, "--users", leaving, "--out", out, "--gold", *FEW, "--quiet")
    assert answer.code == 130
    assert f"mmgraph train --resume {out}-gold" in answer.err
    # The unlearned run was whole before the retrained one began.
    assert ask("evaluate", out, "--json").json["equals_stored"] is True


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([], ("something to forget is needed",)),
        (["--users", "USERS", "--set", "mix=2"], ("--set", "mix", "less than or equal to 1")),
        (["--users", "USERS", "--set", "mixx=0.2"], ("unknown key 'mixx'", "did you mean 'mix'")),
        (["--items", "USERS"], ("no column 'item'",)),
        (["--users", "UNKNOWN"], ("'u33'", "did you mean 'u3")),
        (["--users", "ALL"], ("names all 24",)),
        (["--users", "NOTHING"], ("names nothing",)),
        (["--users", "GONE"], ("no such file",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_requests_are_refused(
    refused: Refused, run: Path, tmp_path: Path, words: list[str], parts: tuple[str, ...]
) -> None:
    files = {
        "USERS": "user\nu3\n",
        "UNKNOWN": "user\nu33\n",
        "ALL": "user\n" + "".join(f"u{n}\n" for n in range(24)),
        "NOTHING": "user\n",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text)
    given = [tmp_path / f"{word}.csv" if word.isupper() else word for word in words]
    refused(["unlearn", run, *given, "--out", tmp_path / "out"], parts)


def test_runs_that_cannot_unlearn_are_refused(refused: Refused, run: Path, leaving: Path) -> None:
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "num_parameters": 0}))
    refused(["unlearn", run, "--users", leaving], ("needs a model that is trained",))
    (run / "run.json").write_text(json.dumps({**facts, "complete": False}))
    refused(["unlearn", run, "--users", leaving], ("needs a complete run",))
    refused(["unlearn", run.parent, "--users", leaving], ("not a run folder",))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), FitError("too far")], ids=["130", "1"])
def test_what_is_known_before_the_retrained_run_is_not_lost(
    ask: Ask,
    run: Path,
    leaving: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
) -> None:
    def ended(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("mmgraph.unlearning.procedure.train", ended)
    words = ["unlearn", run, "--users", leaving, "--gold", *FEW, "--quiet"]
    code = 130 if isinstance(error, KeyboardInterrupt) else 1
    answer = ask(*words, "--out", tmp_path / "new")
    assert answer.code == code
    assert "users to be forgotten" in answer.out
    assert "membership_auc" in answer.out
    said = ask(*words, "--out", tmp_path / "other", "--json")
    assert said.code == code
    assert said.json["figures"].keys() == {"original", "unlearned"}
    assert said.json["unlearned"] == str(tmp_path / "other")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--seed", "-1"], ("seed", "greater than or equal to 0 (got -1)")),
        (["--seed", str(2**70)], ("seed", f"(got {2**70})")),
        (["--out", ""], ("a run needs a new or empty folder", "choose another --out")),
        (["--out", "/proc/new"], ("/proc/new: must be a place that can be written",)),
        (["--out", "x" * 250], ("must be a place that can be written (File name too long)",)),
    ],
    ids=["negative", "huge", "no name", "no place", "long name"],
)
def test_what_is_wrong_with_the_options_is_said_before_any_work(
    refused: Refused,
    run: Path,
    leaving: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[object],
    parts: tuple[str, ...],
) -> None:
    monkeypatch.setattr("mmgraph.unlearning.procedure.read_request", None)
    monkeypatch.chdir(leaving.parent)
    refused(["unlearn", run, "--users", leaving, "--gold", *words], parts)


def test_a_request_that_leaves_a_user_with_every_item_is_refused_by_name(
    refused: Refused, run: Path, tmp_path: Path
) -> None:
    path = tmp_path / "all.txt"
    path.write_text("".join(f"u{number}\n" for number in range(23)))
    refused(["unlearn", run, "--users", path, "--quiet"], ("forgetting users", "'u23' has all"))


def test_a_full_folder_is_refused_without_advice_to_resume(
    ask: Ask, run: Path, leaving: Path
) -> None:
    answer = ask("unlearn", run, "--users", leaving, "--out", run)
    assert answer.code == 2
    assert answer.err.endswith("(this one has files); choose another --out\n")


def test_help_names_every_ending_and_breaks_no_sentence(ask: Ask, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    said = ask("unlearn", "--help").out
    assert said.count(".inter") == 3
    assert "in none of its files, only in the report printed here." in said
