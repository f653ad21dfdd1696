"""mmgraph graph."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmgraph.cli.graph import graph_config
from mmgraph.errors import ConfigError
from mmgraph.graph import load_graph

Ask = Callable[..., Any]


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
    facts = ask("graph", "inspect", out, "--json").json
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


@pytest.mark.parametrize(
    ("assignment", "part"),
    [("kk=3", "unknown key 'kk'"), ("k=x", "k: "), ("k", "key=value"), ("metric=dot", "metric: ")],
)
def test_wrong_settings_are_named(assignment: str, part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        graph_config([assignment])
