"""mmgraph ablate."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Ask = Callable[..., Any]
Refused = Callable[[list[object], tuple[str, ...]], None]

RECIPE = """[model]
name = "lightgcn"
embedding_dim = 4

[training]
max_epochs = 1

[ablations."w/o layers"]
model.num_layers = 0

[ablations.narrow]
"model.embedding_dim" = 2
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(RECIPE)
    return path


def test_the_whole_is_first_and_the_others_are_tested_against_it(
    ask: Ask, tiny: Path, tmp_path: Path, recipe: Path
) -> None:
    out = tmp_path / "study"
    words = ["ablate", recipe, "--dataset", tiny, "--seeds", 2, "--out", out]
    answer = ask(*words, "-q")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[1].split()[0] == "mine"
    assert "- full" in lines[1]
    assert [line[:10].strip() for line in lines[3:6]] == ["full", "w/o layers", "narrow"]
    assert f"w/o layers: {recipe} with model.num_layers = 0, 2 seeds" in answer.out
    part = ask(*words, "--json", "--only", "narrow")
    assert [row["label"] for row in part.json["rows"]] == ["full", "narrow"]
    assert "4 runs, 4 of them complete" in part.err
    assert {
        **json.loads((out / "ablation.json").read_text()),
        "files": part.json["files"],
    } == part.json


def test_a_model_without_ablations(
    ask: Ask, refused: Refused, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmgraph.models.bpr_mf.BPRMF.ablations", {})
    words: list[object] = ["ablate", "bpr_mf", "--dataset", tiny, "--out", tmp_path / "out"]
    refused(words, ("bpr_mf has no ablations", "[ablations."))


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--only", "narow"], ("--only", "'narow'", "did you mean 'narrow'")),
        (["--seeds", "0"], ("--seeds must be at least 1",)),
        (["--set", 'ablations.narrow."x"=1'], ("unknown key",)),
        (["--set", "ablations.deep.model.depth=1"], ("deep: unknown key 'model.depth'",)),
        (["--set", "model.name=bpr_mf"], ("w/o layers: unknown key 'model.num_layers'",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input(
    refused: Refused,
    tiny: Path,
    tmp_path: Path,
    recipe: Path,
    words: list[object],
    parts: tuple[str, ...],
) -> None:
    refused(["ablate", recipe, "--dataset", tiny, "--out", tmp_path / "out", *words], parts)
