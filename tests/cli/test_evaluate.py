"""mmgraph evaluate."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmgraph.cli.evaluate import largest_difference

Ask = Callable[..., Any]


def test_the_stored_metrics_come_out_again(ask: Ask, trained: Path) -> None:
    said = ask("evaluate", trained, "--json").json
    stored = json.loads((trained / "metrics.json").read_text())["test"]
    assert said["test"] == stored
    assert said["equals_stored"] is True
    assert (said["model"], said["dataset"], said["num_users"]) == ("lightgcn", "tiny", 24)


def test_lengths_and_metrics_are_chosen(ask: Ask, trained: Path) -> None:
    words = ["--k", 3, "-k", 10, "--metric", "recall", "--metric", "hit"]
    answer = ask("evaluate", trained, *words, "--json")
    assert list(answer.json["test"]) == ["recall@3", "recall@10", "hit@3", "hit@10"]
    shown = ask("evaluate", trained, *words)
    assert shown.out.splitlines()[1].split() == ["metric", "test", "@3", "test", "@10"]
    assert "Equal to the metrics stored" in shown.out


def test_masking_validation_changes_the_question(ask: Ask, trained: Path) -> None:
    plain = ask("evaluate", trained, "--json").json
    masked = ask("evaluate", trained, "--mask-valid-at-test", "--json").json
    assert masked["equals_stored"] is None
    assert masked["mask_valid_at_test"] is True
    assert masked["test"] != plain["test"]
    # Fewer candidates can only move the rest up.
    assert all(masked["test"][name] >= plain["test"][name] for name in plain["test"])


def test_cold_candidates_are_asked_for_and_refused_where_there_are_none(
    ask: Ask, trained: Path
) -> None:
    answer = ask("evaluate", trained, "--candidates", "cold", "--quiet")
    assert (answer.code, answer.out) == (2, "")
    assert "evaluation.candidates 'cold' needs items with and items without" in answer.err
    answer = ask("evaluate", trained, "--candidates", "some", "--quiet")
    assert answer.code == 2
    assert "candidates" in answer.err


def test_one_cold_start_run_answers_both_questions(ask: Ask, tiny: Path, tmp_path: Path) -> None:
    words = ["--set", "data.split={method='cold_start', cold_share=0.4}", "--out", tmp_path / "run"]
    said = ask("train", "cb", "--dataset", tiny, *words)
    assert "Cold start: cold items are ranked among all items." in said.err
    everything = ask("evaluate", tmp_path / "run", "--json").json
    cold = ask("evaluate", tmp_path / "run", "--candidates", "cold", "--json").json
    assert (everything["candidates"], cold["candidates"]) == ("all", "cold")
    assert (everything["equals_stored"], cold["equals_stored"]) == (True, None)
    # Fewer candidates can only move the rest up, and eight cold items fill no list of ten.
    assert all(cold["test"][name] >= value for name, value in everything["test"].items())
    assert cold["test"]["recall@10"] == 1
    shown = ask("evaluate", tmp_path / "run", "--candidates", "cold").out
    assert "Not compared with the stored metrics: those ranked all items." in shown


def test_a_difference_is_reported(ask: Ask, run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["test"]["recall@10"] += 0.25
    (run / "metrics.json").write_text(json.dumps(metrics))
    assert ask("evaluate", run, "--json").json["equals_stored"] is False
    assert "by 0.25 at most" in ask("evaluate", run).out


def test_difference_of_nothing_is_none() -> None:
    assert largest_difference({"recall@1": 1.0}, {"hit@1": 1.0}) is None


@pytest.mark.parametrize(
    "words",
    [
        ["--k", "0"],
        ["--k", "21"],
        ["--k", "5", "--k", "5"],
        ["--metric", "recal"],
    ],
    ids=" ".join,
)
def test_impossible_questions_are_refused(ask: Ask, trained: Path, words: list[str]) -> None:
    answer = ask("evaluate", trained, *words, "--quiet")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("name", ["cuda:99", "foo"])
def test_a_device_that_is_not_there_is_refused(ask: Ask, trained: Path, name: str) -> None:
    answer = ask("evaluate", trained, "--device", name)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"error: --device must be usable here (got '{name}'")
    assert answer.err.count("\n") == 1


def test_an_unfinished_run_is_named_with_the_command_that_finishes_it(ask: Ask, run: Path) -> None:
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "complete": False}))
    (run / "metrics.json").unlink()
    answer = ask("evaluate", run)
    assert (answer.code, answer.out) == (2, "")
    assert f"`mmgraph train --resume {run}`" in answer.err
