"""mmgraph graph."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmgraph.cli.graph import graph_config
from mmgraph.errors import ConfigError
from mmgraph.graph import load_graph

Ask = Callable[..., Any]
Refused = Callable[..., None]


def test_build_saves_what_it_says(ask: Ask, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "graph"
    answer = ask("graph", "build", "--dataset", tiny, "--out", out, "--set", "graph.k=3", "--json")
    said = answer.json
    graph = load_graph(out)
    assert said["edges"] == {"__".join(t): graph[t].edge_index.size(1) for t in graph.edge_types}
    assert said["edges"]["item__knn_text__item"] == 20 * 3
    assert said["config"]["k"] == 3
    assert {"read", "features", "knn_text", "knn_image", "co_item", "assemble"} <= set(
        said["seconds"]
    )
    assert "knn_text" in answer.err


def test_build_and_inspect_show_tables(ask: Ask, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "graph"
    answer = ask("graph", "build", "--dataset", tiny, "--out", out, "--set", "k=3")
    assert answer.code == 0
    assert f"mmgraph graph inspect {out}" in answer.out
    shown = ask("graph", "inspect", out)
    assert shown.code == 0
    assert "24 users, 20 items" in shown.out
    assert "Do near items share users?" in shown.out
    for said in (answer.out, shown.out):
        assert "How neighbours were searched" in said
        assert "without edges" in said
    facts = ask("graph", "inspect", out, "--json").json
    for phase in ("knn_text", "knn_image"):
        report = facts["reports"][phase]
        assert (report["num_searched"], report["num_without_edges"]) == (20, 0)
        assert report["recall"] == 1.0
        line = rf"{phase} +{report['method']}, {report['precision']} +1.0000 +20 +0 "
        assert re.search(line, answer.out)
    assert facts["nodes"] == {"user": 24, "item": 20}
    assert facts["inputs"]["dataset"] == "tiny"


def test_a_graph_is_replaced_only_when_asked(ask: Ask, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "graph"
    words = ["graph", "build", "--dataset", tiny, "--out", out, "--set", "k=3"]
    assert ask(*words).code == 0
    before = (out / "graph.safetensors").read_bytes()
    refused = ask(*words, "--set", "k=2")
    assert (refused.code, refused.out) == (2, "")
    assert (out / "graph.safetensors").read_bytes() == before
    assert ask(*words, "--set", "k=2", "--overwrite").code == 0
    assert (out / "graph.safetensors").read_bytes() != before


def test_overwriting_never_touches_other_files(ask: Ask, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter.tex").write_text("years of work")
    answer = ask("graph", "build", "--dataset", tiny, "--out", out, "--set", "k=3", "--overwrite")
    assert answer.code == 2
    assert (out / "chapter.tex").read_text() == "years of work"


def test_what_a_limit_left_out_is_shown(ask: Ask, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "graph"
    words = ["graph", "build", "--dataset", tiny, "--out", out, "--set", "k=3"]
    assert "left out" not in ask(*words).out
    said = ask(*words, "--overwrite", "--set", "co_max_interactions=4").out
    report = ask("graph", "inspect", out, "--json").json["reports"]["co_item"]
    assert report["partners_limited"] > 0
    line = rf"co_item +{report['partners_limited']} +{report['interactions_left_out']}\n"
    for shown in (said, ask("graph", "inspect", out).out):
        assert re.search(line, shown)


def test_a_cache_gives_the_same_files_and_says_so(ask: Ask, tiny: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    words = ["graph", "build", "--dataset", tiny, "--set", "k=3", "--cache", cache]
    first = ask(*words, "--out", tmp_path / "a", "--json").json
    again = ask(*words, "--out", tmp_path / "b", "--json").json
    assert (first["cache"]["found"], again["cache"]["found"]) == (False, True)
    assert first["cache"]["key"] == again["cache"]["key"]
    assert first["edges"] == again["edges"]
    assert first["reports"] == again["reports"]
    assert "knn_text" not in again["seconds"]
    tensors = [(tmp_path / name / "graph.safetensors").read_bytes() for name in "ab"]
    assert tensors[0] == tensors[1]
    shown = ask(*words, "--out", tmp_path / "c").out
    assert f"edges from the cache: {first['cache']['key']}" in shown
    other = ask(*words, "--out", tmp_path / "d", "--set", "k=2")
    assert "edges built for the cache: " in other.out
    assert len(list(cache.iterdir())) == 2


def test_a_damaged_cache_is_told_and_mended(
    ask: Ask, tiny: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "cache"
    words = ["graph", "build", "--dataset", tiny, "--set", "k=3", "--cache", cache, "--json"]
    first = ask(*words, "--out", tmp_path / "a").json
    (file,) = cache.glob("graph-*/graph.safetensors")
    file.write_bytes(file.read_bytes()[:-3])
    answer = ask(*words, "--out", tmp_path / "b")
    assert answer.code == 0
    assert "is damaged: its sha256 must be" in answer.json["cache"]["problem"]
    assert "is damaged" in caplog.text
    assert answer.json["edges"] == first["edges"]
    assert ask(*words, "--out", tmp_path / "c").json["cache"]["found"] is True


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--set", "method=fast"], ("method: ", "'fast'")),
        (["--set", "min_recall=0"], ("min_recall: ", "greater than 0")),
        (["--set", "min_recall=2"], ("min_recall: ", "less than or equal to 1")),
        (["--set", "max_memory=abc"], ("max_memory: must be a size", "'abc'")),
        (["--set", "max_memory=-1"], ("max_memory: must be a size", "-1")),
        (["--set", "max_memory=4000000000"], ("max_memory: must be a size", '"4GB"')),
        (["--set", "max_memory=0.001MB"], ("max_memory must be at least",)),
        (["--set", "k=30"], ("k must be between",)),
        (["--cache", "{tiny}/ratings.csv"], ("cache must be a folder", "ratings.csv")),
        (["--cache", "{tiny}/ratings.csv/deep"], ("cache must be a folder", "ratings.csv")),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_lost(
    refused: Callable[..., None], tiny: Path, tmp_path: Path, words: list[str], parts: Any
) -> None:
    words = [word.replace("{tiny}", str(tiny)) for word in words]
    out = tmp_path / "out"
    refused(["graph", "build", "--dataset", tiny, "--out", out, "--set", "k=3", *words], parts)


def test_training_finds_the_graph_again(ask: Ask, tiny: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    words = ["train", "lightgcn", "--dataset", tiny, "--set", "training.max_epochs=1"]
    words += ["--set", "evaluation.ks=[5]", "--set", "evaluation.select_by=recall@5", "--quiet"]
    runs = [tmp_path / name for name in ("plain", "built", "found")]
    for run, more in zip(runs, ([], ["--cache", cache], ["--cache", cache]), strict=True):
        assert ask(*words, "--out", run, *more).code == 0
    assert len(list(cache.iterdir())) == 1
    metrics = [json.loads((run / "metrics.json").read_text()) for run in runs]
    assert metrics[0] == metrics[1] == metrics[2]


@pytest.mark.parametrize(
    ("assignment", "part"),
    [
        ("kk=3", "unknown key 'kk'"),
        ("k=x", "k: "),
        ("k", "key=value"),
        ("metric=dot", "metric: "),
        ("min_recal=0.9", "did you mean 'min_recall'"),
    ],
)
def test_wrong_settings_are_named(assignment: str, part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        graph_config([assignment])


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_built(
    refused: Refused, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmgraph.data.load_dataset", None)
    words = ["graph", "build", "--dataset", tiny, "--out", "/proc/graph"]
    refused(words, ("/proc/graph: must be a place that can be written",))
