"""Graphs on disk: exact, whole or not at all, and clear about damage."""

import hashlib
import json
import os

import pytest
import torch
from safetensors import SafetensorError

from mmgraph.errors import GraphError
from mmgraph.files import sha256_of
from mmgraph.graph.build import BuildRecord, GraphConfig, build_graph, graph_metadata
from mmgraph.graph.schema import CO_ITEM, check_graph
from mmgraph.graph.store import load_graph, read_graph_metadata, save_graph

CONFIG = GraphConfig(k=3, ui_norm="rw_self")
RECORD = BuildRecord({"a": 1.0}, {"knn_text": {"recall": 1.0}})


@pytest.fixture
def graph(dataset):
    return build_graph(dataset, CONFIG)


@pytest.fixture
def saved(graph, dataset, tmp_path):
    save_graph(graph, tmp_path / "g", metadata=graph_metadata(dataset, CONFIG, record=RECORD))
    return tmp_path / "g"


def assert_same(a, b):
    assert a.node_types == b.node_types
    assert a.edge_types == b.edge_types
    for left, right in zip(a.stores, b.stores, strict=True):
        assert list(left.keys()) == list(right.keys())
        for key, value in left.items():
            if isinstance(value, torch.Tensor):
                assert value.dtype == right[key].dtype
                assert torch.equal(value, right[key])
            else:
                assert value == right[key]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_round_trip_is_exact(graph, saved):
    loaded = load_graph(saved)
    assert_same(loaded, graph)
    check_graph(loaded)
    assert sorted(contents(saved)) == ["graph.json", "graph.safetensors"]


def test_same_graph_same_bytes(graph, saved, dataset, tmp_path):
    save_graph(graph, tmp_path / "h", metadata=graph_metadata(dataset, CONFIG, record=RECORD))
    assert contents(saved) == contents(tmp_path / "h")


def test_manifest_carries_config_hashes_counts_and_seconds(saved):
    facts = read_graph_metadata(saved)
    assert facts["format_version"] == 2
    assert facts["config"]["ui_norm"] == "rw_self"
    assert facts["inputs"]["split_hash"] == "d" * 64
    assert facts["seconds"] == {"a": 1.0}
    assert facts["reports"] == {"knn_text": {"recall": 1.0}}
    assert "cache" not in facts
    assert {node["type"]: node["num_nodes"] for node in facts["nodes"]} == {"user": 12, "item": 20}
    assert facts["edges"][0]["num_edges"] > 0
    assert len(facts["sha256"]) == 64


def test_the_saved_graph_may_be_reloaded_moved_and_shared(graph, tmp_path):
    graph[CO_ITEM].edge_weight = graph[CO_ITEM].edge_weight.requires_grad_()
    graph["item"].self_weight = graph["item"].x_text[:, 0]
    graph["item"].x_copy = graph["item"].x_text
    graph["item"].has_copy = graph["item"].has_text
    save_graph(graph, tmp_path / "deep" / "folder")
    loaded = load_graph(tmp_path / "deep" / "folder")
    assert torch.equal(loaded["item"].x_copy, graph["item"].x_text)
    assert torch.equal(loaded["item"].self_weight, graph["item"].x_text[:, 0])


def test_a_graph_is_replaced_only_when_asked(graph, saved, dataset):
    before = contents(saved)
    with pytest.raises(GraphError, match="already holds a graph"):
        save_graph(graph, saved)
    assert contents(saved) == before
    other = build_graph(dataset, GraphConfig(k=2))
    save_graph(other, saved, overwrite=True)
    assert_same(load_graph(saved), other)
    assert [path.name for path in saved.parent.iterdir()] == ["g"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("also_graph", [False, True])
def test_a_folder_with_anything_else_is_never_touched(graph, saved, overwrite, also_graph):
    if not also_graph:
        (saved / "graph.json").unlink()
        (saved / "graph.safetensors").unlink()
    (saved / "thesis.txt").write_text("years of work")
    before = contents(saved)
    with pytest.raises(GraphError, match=r"must be empty or hold a graph .*thesis\.txt"):
        save_graph(graph, saved, overwrite=overwrite)
    assert contents(saved) == before


def test_an_empty_folder_is_used(graph, tmp_path):
    (tmp_path / "empty").mkdir()
    save_graph(graph, tmp_path / "empty")
    assert_same(load_graph(tmp_path / "empty"), graph)


def test_a_file_in_the_way_is_named(graph, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(GraphError, match=r"must be a folder \(got a file\)"):
        save_graph(graph, tmp_path / "file")
    with pytest.raises(GraphError, match=r"must be a folder \(got a file\)"):
        load_graph(tmp_path / "file")


def test_a_failed_write_leaves_the_old_graph_and_nothing_else(graph, saved, monkeypatch):
    def fail(*args):
        raise OSError("disk full")

    before = contents(saved)
    monkeypatch.setattr("mmgraph.files.flush", fail)
    with pytest.raises(OSError, match="disk full"):
        save_graph(graph, saved, overwrite=True)
    assert contents(saved) == before
    assert os.listdir(saved.parent) == ["g"]


def test_a_failed_rename_puts_the_old_graph_back(graph, saved, monkeypatch):
    before = contents(saved)
    rename = type(saved).rename

    def fail_for_new(self, target):
        if self.name.startswith(".partial"):
            raise OSError("no such luck")
        return rename(self, target)

    monkeypatch.setattr(type(saved), "rename", fail_for_new)
    with pytest.raises(OSError, match="no such luck"):
        save_graph(graph, saved, overwrite=True)
    assert contents(saved) == before
    assert os.listdir(saved.parent) == ["g"]


def test_a_broken_graph_is_not_saved(graph, tmp_path):
    graph[CO_ITEM].edge_weight[0] = float("nan")
    with pytest.raises(GraphError, match="must be finite"):
        save_graph(graph, tmp_path / "g")
    assert not (tmp_path / "g").exists()


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"sha256": "x"}, "metadata must not use sha256"),
        ({"manifest_sha256": "x"}, "metadata must not use manifest_sha256"),
        ({"seconds": {1, 2}}, "metadata must be made of JSON values"),
        ({"seconds": float("nan")}, "metadata must be made of JSON values"),
    ],
)
def test_metadata_that_cannot_be_kept(graph, tmp_path, metadata, message):
    with pytest.raises(GraphError, match=message):
        save_graph(graph, tmp_path / "g", metadata=metadata)
    assert list(tmp_path.iterdir()) == []


def test_metadata_is_hashed_as_it_is_read(graph, tmp_path):
    metadata = {"numbers": {10: "a", 9: "b"}, "pair": (1, 2.5), "text": "\u00e4\u4e2d"}
    save_graph(graph, tmp_path / "g", metadata=metadata)
    facts = read_graph_metadata(tmp_path / "g")
    assert facts["numbers"] == {"10": "a", "9": "b"}
    assert (facts["pair"], facts["text"]) == ([1, 2.5], "\u00e4\u4e2d")


def test_values_that_are_no_tensors_are_refused(graph, tmp_path):
    graph["item"].title = ["a"] * 20
    with pytest.raises(GraphError, match="item/title must be a tensor"):
        save_graph(graph, tmp_path / "g")


def set_manifest(folder, **values):
    """Change values and the checksum with them, as a faulty program would."""
    file = folder / "graph.json"
    manifest = {**json.loads(file.read_text()), **values}
    del manifest["manifest_sha256"]
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    checksum = hashlib.sha256(text.encode()).hexdigest()
    file.write_text(json.dumps({**manifest, "manifest_sha256": checksum}))


def change_manifest(folder):
    """Change one digit, so that the file is still JSON of the right form."""
    file = folder / "graph.json"
    text = file.read_text()
    assert '"num_nodes": 12' in text
    file.write_text(text.replace('"num_nodes": 12', '"num_nodes": 13'))


def truncate(folder):
    file = folder / "graph.safetensors"
    file.write_bytes(file.read_bytes()[:-10])


def flip(folder):
    file = folder / "graph.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def drop_tensor(folder):
    nodes = json.loads((folder / "graph.json").read_text())["nodes"]
    nodes[1]["tensors"]["x_gone"] = "item/x_gone"
    set_manifest(folder, nodes=nodes)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, r"graph\.safetensors is damaged: its sha256 must be"),
        (flip, r"graph\.safetensors is damaged"),
        (lambda f: (f / "graph.safetensors").unlink(), r"graph\.safetensors must exist"),
        (lambda f: (f / "graph.json").unlink(), r"must be a folder with graph\.json"),
        (lambda f: (f / "graph.json").write_text("{"), r"graph\.json must be JSON"),
        (lambda f: (f / "graph.json").write_text("[]"), r"graph\.json: content: "),
        (lambda f: (f / "graph.json").write_bytes(b"\xff\xfe"), r"graph\.json must be JSON"),
        (change_manifest, r"graph\.json is damaged: its manifest_sha256 must be"),
        (lambda f: set_manifest(f, format_version=3), r"must be 2 \(got 3\); a newer mmgraph"),
        (lambda f: set_manifest(f, format_version=1), r"must be 2 \(got 1\); an older mmgraph"),
        (lambda f: set_manifest(f, nodes="x"), r"graph\.json: nodes: "),
        (drop_tensor, r"does not hold what graph\.json lists"),
    ],
)
def test_damage_is_named_in_one_line(saved, damage, message):
    damage(saved)
    with pytest.raises(GraphError, match=message) as caught:
        load_graph(saved)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_with_a_matching_hash_is_still_one_line(saved):
    truncate(saved)
    set_manifest(saved, sha256=sha256_of(saved / "graph.safetensors"))
    with pytest.raises(GraphError, match="does not hold what") as caught:
        load_graph(saved)
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_an_error_of_the_system(graph, tmp_path, monkeypatch):
    def full(*_):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("mmgraph.graph.store.save_file", full)
    with pytest.raises(OSError, match=r"g: the graph cannot be written .*No space left"):
        save_graph(graph, tmp_path / "g")
    assert not list(tmp_path.iterdir())
