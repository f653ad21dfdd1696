"""mmgraph demo, on the tiny data set in place of the bundled one."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmgraph import load_dataset
from mmgraph.cli import demo

Ask = Callable[..., Any]


@pytest.fixture
def out(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(demo, "DATASET", str(tiny))
    return tmp_path / "runs" / "demo"


def test_everything_is_made_and_made_anew(ask: Ask, out: Path, tiny: Path) -> None:
    answer = ask("demo", "--out", out, "--max-epochs", 2)
    assert answer.code == 0
    facts = json.loads((out / "demo.json").read_text())
    assert facts["complete"] is True
    assert [row["model"] for row in facts["results"]] == ["lightgcn", "mm_gef"]
    for row in facts["results"]:
        stored = json.loads((out / row["model"] / "metrics.json").read_text())["test"]
        assert row["test"] == {name: stored[name] for name in row["test"]}
        assert row["epochs"] <= 2
    assert (out / "graph" / "graph.safetensors").is_file()
    assert (out / "comparison.png").read_bytes()[:4] == b"\x89PNG"
    dataset = load_dataset(tiny)
    counts = np.bincount(dataset.test.user)
    assert counts[dataset.users.index(facts["user"])] == counts.max()
    assert facts["liked"][0] in answer.out
    for row in facts["recommendations"]:
        assert row["title"] in answer.out
    (out / "mine.txt").write_text("kept")
    again = ask("demo", "--out", out, "--max-epochs", 1, "--json")
    assert again.code == 0
    assert again.json["results"][0]["epochs"] == 1
    assert (out / "mine.txt").read_text() == "kept"


def test_what_is_no_demo_is_not_replaced(ask: Ask, out: Path) -> None:
    out.mkdir(parents=True)
    for name, text in (("demo.json", '{"made_by": "somebody"}'), ("thesis.tex", "x")):
        (out / name).write_text(text)
        answer = ask("demo", "--out", out)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.count("\n") == 1
    assert sorted(path.name for path in out.iterdir()) == ["demo.json", "thesis.tex"]


def test_wrong_options_leave_an_earlier_demo_alone(ask: Ask, out: Path) -> None:
    demo.prepare(out)
    (out / "graph").mkdir()
    assert ask("demo", "--out", out, "--max-epochs", 0).code == 2
    assert (out / "graph").is_dir()


def test_an_interrupted_demo_can_be_begun_again(
    ask: Ask, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mmgraph.experiment.train", stop)
        answer = ask("demo", "--out", out, "--max-epochs", 1)
    assert answer.code == 130
    assert f"mmgraph demo --out {out}" in answer.err.splitlines()[-1]
    demo.prepare(out)
    assert [path.name for path in out.iterdir()] == ["demo.json"]


def test_without_matplotlib_there_is_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert demo._picture({}, [], tmp_path / "comparison.png") is None
    assert "No picture: " in (said := capsys.readouterr().err)
    assert "pip install 'mmgraph[report]'" in " ".join(said.split())
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused_first(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmgraph.data.load_dataset", None)
    answer = ask("demo", "--out", "/proc/demo")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: /proc/demo: must be a place that can be written")
