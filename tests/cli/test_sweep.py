"""mmgraph sweep."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Ask = Callable[..., Any]
Refused = Callable[[list[object], tuple[str, ...]], None]
QUICK = ("--set", "training.max_epochs=1", "--set", "model.embedding_dim=4")


def test_settings_stand_in_the_order_of_their_validation(
    ask: Ask, tiny: Path, tmp_path: Path
) -> None:
    out, chosen = tmp_path / "study", tmp_path / "chosen.toml"
    words = ["sweep", "lightgcn", "--dataset", tiny, "--seeds", 2, *QUICK, "--out", out]
    words += ["--grid", "model.num_layers=1,2", "--grid", "training.learning_rate=0.001,0.1"]
    answer = ask(*words, "--write", chosen, "-q")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0].startswith("lightgcn on tiny: validation part, 4 settings, 2 seeds")
    means = [float(line.split()[5]) for line in lines[3:7]]
    assert means == sorted(means, reverse=True)
    assert f"Recipe: {chosen}" in answer.out
    assert "test" not in answer.out.replace(str(tmp_path), "")
    again = ask(*words, "--json")
    assert again.code == 0
    assert "8 runs, 8 of them complete" in again.err
    assert again.json["written"] is None
    stored = json.loads((out / "sweep.json").read_text())
    assert {**stored, "files": again.json["files"]} == again.json
    trained = ask("train", chosen, "--out", tmp_path / "run", "-q", "--json")
    assert trained.code == 0
    label = again.json["rows"][0]["label"].replace(", ", "-")
    first = json.loads((out / label / "seed-2026" / "metrics.json").read_text())
    assert trained.json["valid"] == first["valid"]


def test_settings_that_failed_are_not_counted(ask: Ask, tiny: Path, tmp_path: Path) -> None:
    words = ["sweep", "bpr_mf", "--dataset", tiny, "--seeds", 1, *QUICK, "--out", tmp_path / "out"]
    answer = ask(*words, "--grid", "training.learning_rate=0.01,0.02,1e38", "-q")
    assert answer.code == 1
    assert answer.out.startswith("bpr_mf on tiny: validation part, 2 of 3 settings, 1 seed")
    assert answer.err.startswith("failed: learning_rate=1e+38, seed 2026: ")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([], ("'--grid'",)),
        (["--grid", "model.num_layers"], ("--grid takes key=value,value",)),
        (["--grid", "model.num_layers="], ("at least one value",)),
        (["--grid", "model.depth=1,2"], ("unknown key 'model.depth'", "num_layers")),
        (["--grid", "seed=1,2"], ("seed", "--set")),
        (["--grid", "model.num_layers=1", "--grid", "model.num_layers=2"], ("twice",)),
        (["--grid", "model.num_layers=1,1"], ("must differ",)),
        (["--grid", "model.num_layers=1", "--trials", "0"], ("--trials must be at least 1",)),
        (["--grid", "model.num_layers=1", "--seeds", "-2"], ("--seeds must be at least 1",)),
        (["--grid", "model.num_layers=1", "--write", "x.json"], ("--write must name a .toml",)),
        (["--grid", "model.num_layers=1", "--write", "/no/x.toml"], ("folder must exist",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input(
    refused: Refused, tiny: Path, tmp_path: Path, words: list[object], parts: tuple[str, ...]
) -> None:
    refused(["sweep", "lightgcn", "--dataset", tiny, "--out", tmp_path / "out", *words], parts)
