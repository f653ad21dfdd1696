"""mmgraph analyze."""

import errno
import json
import shutil
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from mmgraph.cli import main
from mmgraph.cli.analyze import file_name
from mmgraph.models import MODELS
from mmgraph.models.bpr_mf import BPRMF, BPRMFConfig

Ask = Callable[..., Any]
Refused = Callable[..., None]


class WeighingConfig(BPRMFConfig):
    name: Literal["weighing"] = "weighing"


class Weighing(BPRMF):
    """Weighs the modalities in a way that is known beforehand."""

    Config = WeighingConfig

    def modality_weights(self) -> dict[str, Tensor]:
        text = torch.arange(self.num_items) / self.num_items
        return {"text": text, "image": 1 - text}

    def modality_influence(self, users: Tensor, items: Tensor) -> dict[str, Tensor]:
        text = (users + items) / 100
        return {"interactions": torch.full_like(text, 0.5), "text": text, "image": 0.5 - text}


@pytest.fixture(scope="module")
def weighing(trained: Path) -> Iterator[Path]:
    """Return a run of a model with weights, beside the other run; it is known within this module only."""
    module = types.ModuleType("weighing_models")
    module.Weighing = Weighing  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "weighing_models", module)
        patch.setitem(MODELS, "weighing", "weighing_models:Weighing")
        out = trained.parent / "weighing"
        words = ["train", "weighing", "--dataset", trained.parent / "tiny", "--out", out, "--quiet"]
        words += ["--set", "training.max_epochs=1"]
        assert main([str(word) for word in words]) == 0
        yield out


@pytest.fixture
def weighing_run(weighing: Path, tmp_path: Path) -> Path:
    """Return a copy of that run, to be changed at will."""
    return Path(shutil.copytree(weighing, tmp_path / "weighing"))


def check_files(said: dict[str, Any], stem: Path) -> dict[Path, bytes]:
    files = [Path(path) for path in said.pop("files")]
    assert files == [Path(f"{stem}{ending}") for ending in (".json", ".png", ".svg")]
    contents = {path: path.read_bytes() for path in files}
    assert json.loads(contents[files[0]]) == said
    assert contents[files[1]].startswith(b"\x89PNG")
    assert b"<svg" in contents[files[2]]
    return contents


def test_preservation(ask: Ask, run: Path) -> None:
    said = ask("analyze", "preservation", run, "--json").json
    contents = check_files(said, run / "analysis" / "preservation")
    assert list(said["modalities"]) == ["text", "image"]
    assert said["runs"] == [{"run": str(run), "seed": 2026}]
    answer = ask("analyze", "preservation", run)
    mean = said["modalities"]["image"]["all"]["mean"]
    assert ["image", "all", "20", f"{mean:.4f}", "-"] in [
        x.split() for x in answer.out.splitlines()
    ]
    assert "One seed says little" in answer.out
    assert answer.out.count("written: ") == 3
    # The same numbers, the same pictures, byte for byte.
    assert {path: path.read_bytes() for path in contents} == contents
    assert sorted((run / "analysis").iterdir()) == sorted(contents)


def test_preservation_over_seeds(ask: Ask, run: Path, trained: Path, tmp_path: Path) -> None:
    words = ["train", "lightgcn", "--dataset", trained.parent / "tiny", "--seed", 7, "--quiet"]
    words += ["--set", "training.max_epochs=2", "--out", tmp_path / "second"]
    assert ask(*words).code == 0
    said = ask("analyze", "preservation", run, tmp_path / "second", "--json").json
    check_files(said, run / "analysis" / "preservation")
    assert not (tmp_path / "second" / "analysis").exists()
    text = said["modalities"]["text"]["all"]
    assert text["mean"] == pytest.approx(sum(text["means"]) / 2)
    assert text["spread"] > 0
    shown = ask("analyze", "preservation", run, tmp_path / "second", "--quiet")
    assert "2 seeds" in shown.out
    assert "One seed" not in shown.out
    assert shown.err == ""


def test_weights(
    ask: Ask, weighing_run: Path, weighing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")  # paths of temporary folders are long
    said = ask("analyze", "weights", weighing_run, "-k", 2, "--json").json
    check_files(said, weighing_run / "analysis" / "weights")
    assert said["runs"][0]["modalities"]["text"]["mean"] == pytest.approx(9.5 / 20)
    best = said["items"]["text"]["most"][0]
    assert best["title"] == f"[bold]Item {best['item'][1:]}[/oops]"
    answer = ask("analyze", "weights", weighing_run, "--against", weighing, "-k", 2)
    rows = [line.split() for line in answer.out.splitlines()]
    assert [
        best["item"],
        *best["title"].split(),
        str(best["degree"]),
        f"{best['weight']:.4f}",
    ] in rows
    assert sum(row[1:2] == ["text"] and row[2:3] == ["20"] for row in rows) == 2
    assert "the most reliable text is the least reliable image" in answer.out


def test_attention(ask: Ask, weighing_run: Path) -> None:
    said = ask("analyze", "attention", weighing_run, "--user", "u3", "-k", 4, "--json").json
    check_files(said, weighing_run / "analysis" / "attention-u3")
    lists = ask("recommend", weighing_run, "--user", "u3", "-k", 4, "--json").json
    assert [e["item"] for e in said["recommended"]] == [e["item"] for e in lists["recommendations"]]
    answer = ask("analyze", "attention", weighing_run, "--user", "u3", "-k", 4)
    assert f"User u3, training items, 4 of {len(said['history'])}: share of influence" in answer.out
    entry = said["recommended"][0]
    shares = [f"{share:.4f}" for share in entry["shares"].values()]
    row = [entry["item"], *entry["title"].split(), *shares]
    assert row in [line.split() for line in answer.out.splitlines()]


def test_a_model_without_an_answer_is_refused(
    refused: Refused, run: Path, weighing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    able = "give a run of "
    refused(["analyze", "weights", run], (str(run), "got lightgcn", able, "weighing"))
    refused(["analyze", "attention", run, "--user", "u1"], ("got lightgcn", able, "weighing"))
    words = ["analyze", "preservation", run, "--final", "per_modality"]
    refused(words, ("vectors of each modality", "got lightgcn", able))
    refused(["analyze", "weights", weighing, "--against", run], (str(run), "got lightgcn"))


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["preservation", "{run}", "--final", "both"], ("--final", "both", "fused")),
        (["preservation", "{run}", "--high-degree", "1"], ("less than 1", "got 1")),
        (["preservation", "{run}", "{run}"], ("seed 2026 is given twice",)),
        (["preservation", "{run}", "{weighing}"], ("differ in their seed only",)),
        (["preservation", "gone"], ("gone", "not a run folder")),
        (["preservation"], ("missing argument", "RUN")),
        (["weights", "{weighing}", "-k", "0"], ("k must be at least 1",)),
        (["weights", "{weighing}", "--min-degree", "-1"], ("min_degree must be at least 0",)),
        (["attention", "{weighing}", "--user", "u33"], ("'u33'", "did you mean")),
        (["attention", "{weighing}"], ("--user",)),
        (["attention", "{weighing}", "--user", "u3", "-k", "21"], ("k must be", "21")),
        (["attention", "{weighing}", "--user", "u3", "--device", "gpu"], ("--device", "gpu")),
    ],
    ids=lambda value: "",
)
def test_wrong_questions(
    refused: Refused, run: Path, weighing_run: Path, words: list[str], parts: tuple[str, ...]
) -> None:
    filled = [word.format(run=run, weighing=weighing_run) for word in words]
    refused(["analyze", *filled], parts)


def test_an_interrupted_run_is_refused(refused: Refused, run: Path) -> None:
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "complete": False}))
    refused(["analyze", "preservation", run], ("complete run", "--resume"))


def test_a_place_that_is_taken_is_left_alone(refused: Refused, run: Path) -> None:
    (run / "analysis").write_text("years of work")
    refused(["analyze", "preservation", run], ("analysis",))


def test_without_matplotlib_nothing_begins(
    refused: Refused, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    refused(["analyze", "preservation", run], ("pip install 'mmgraph[report]'",))


def test_names_of_files_are_safe_and_differ() -> None:
    users = ["u1", "a/b", "a%2Fb", "..", "ü" * 300, "ü" * 299 + "u", "x" * 300]
    names = [file_name(user) for user in users]
    assert len(set(names)) == len(users)
    assert names[0] == "u1"
    assert all("/" not in name and len(name) <= 100 for name in names)


@pytest.mark.parametrize("json_too", [False, True])
def test_an_answer_that_cannot_be_written_is_shown(
    ask: Ask, run: Path, monkeypatch: pytest.MonkeyPatch, json_too: bool
) -> None:
    def read_only(target: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(target))

    monkeypatch.setattr("mmgraph.report.figure.new_file", read_only)
    answer = ask("analyze", "preservation", run, "--quiet", *(["--json"] if json_too else []))
    assert answer.code == 1
    if json_too:
        assert (answer.json["files"], set(answer.json["modalities"])) == ([], {"text", "image"})
    else:
        assert "Change of item similarities" in answer.out
        assert "written:" not in answer.out
    assert answer.err.startswith("error: the files could not be written (")
    assert "Read-only file system" in answer.err
    assert answer.err.count("\n") == 1
