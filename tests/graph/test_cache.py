"""The graph cache: a fresh build and a found graph are one, every change misses, damage is seen."""

import json
import logging
import multiprocessing
import os
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmgraph.errors import GraphError
from mmgraph.files import sha256_of
from mmgraph.graph import cache as cache_module
from mmgraph.graph.build import BuildRecord, GraphConfig, build_graph
from mmgraph.graph.cache import CacheEntry
from mmgraph.graph.schema import check_graph
from mmgraph.graph.store import load_graph, save_graph

CONFIG = GraphConfig(k=3, co_user_top_k=2, ui_norm="rw_self")
OTHER = {"user": "item", "item": "user"}


def assert_same(a, b):
    """Same stores, attributes and bytes, in the same order."""
    assert (a.node_types, a.edge_types) == (b.node_types, b.edge_types)
    for left, right in zip(a.stores, b.stores, strict=True):
        assert list(left.keys()) == list(right.keys())
        for key, value in left.items():
            if not torch.is_tensor(value):
                assert value == right[key]
            else:
                assert value.dtype == right[key].dtype
                assert value.numpy().tobytes() == right[key].numpy().tobytes(), key


def build(dataset, folder, config=CONFIG):
    record = BuildRecord()
    return build_graph(dataset, config, cache=folder, record=record), record


def found(dataset, folder, config=CONFIG):
    return build(dataset, folder, config)[1].cache["found"]


def entry_of(folder):
    (entry,) = folder.glob("graph-*")
    return entry


def with_feature(dataset, name, **changes):
    feature = SimpleNamespace(**{**vars(dataset.features[name]), **changes})
    return replace(dataset, features={**dataset.features, name: feature})


def without_first_pair(dataset):
    train = SimpleNamespace(user=dataset.train.user[1:], item=dataset.train.item[1:])
    return replace(dataset, train=train)


def with_another_partner(dataset, side):
    """Move the last pair to a node of one side that it was not with before."""
    pairs = {"user": dataset.train.user.copy(), "item": dataset.train.item.copy()}
    other = np.setdiff1d(pairs[side], pairs[side][pairs[OTHER[side]] == pairs[OTHER[side]][-1]])
    pairs[side][-1] = other[0]
    return replace(dataset, train=SimpleNamespace(**pairs))


def with_one_bit_changed(dataset):
    x = dataset.features["text"].x.copy()
    x.view(np.uint8)[7, 4] ^= 1
    return with_feature(dataset, "text", x=x)


def with_one_item_missing(dataset):
    present = dataset.features["text"].present.copy()
    present[4] = False
    return with_feature(dataset, "text", present=present)


@pytest.mark.parametrize("edges", [("knn", "co_item", "co_user"), ("co_item",), ()])
def test_a_found_graph_is_the_fresh_one_byte_by_byte(dataset, tmp_path, edges):
    config = CONFIG.model_copy(update={"edges": edges})
    fresh = build_graph(dataset, config)
    first, built = build(dataset, tmp_path / "c", config)
    again, loaded = build(dataset, tmp_path / "c", config)
    assert (built.cache["found"], loaded.cache["found"]) == (False, True)
    assert built.cache["key"] == loaded.cache["key"]
    assert_same(first, fresh)
    assert_same(again, fresh)
    check_graph(again)
    save_graph(fresh, tmp_path / "fresh")
    save_graph(again, tmp_path / "again")
    files = [tmp_path / name / "graph.safetensors" for name in ("fresh", "again")]
    assert sha256_of(files[0]) == sha256_of(files[1])


def test_nothing_is_searched_again_and_the_reports_are_those_of_the_search(
    dataset, tmp_path, monkeypatch
):
    _, built = build(dataset, tmp_path)
    monkeypatch.delattr("mmgraph.graph.build.knn_search")
    monkeypatch.delattr("mmgraph.graph.build.cointeraction_graph")
    _, loaded = build(dataset, tmp_path)
    assert list(loaded.seconds) == ["cache", "features"]
    assert loaded.reports == built.reports
    assert set(loaded.reports) == {"knn_text", "knn_image", "co_item", "co_user"}


def test_a_kept_graph_can_be_looked_at_and_holds_no_features(dataset, tmp_path):
    build(dataset, tmp_path)
    kept = load_graph(entry_of(tmp_path))
    check_graph(kept)
    assert sorted(kept["item"].keys()) == ["num_nodes", "self_weight"]


@pytest.mark.parametrize(
    "change",
    [
        with_one_bit_changed,
        with_one_item_missing,
        without_first_pair,
        lambda d: with_another_partner(d, "user"),
        lambda d: with_another_partner(d, "item"),
        lambda d: replace(d, split_hash="e" * 64),
        lambda d: replace(d, content_hash="e" * 64),
        lambda d: replace(d, num_users=d.num_users + 1),
        lambda d: replace(d, features={"text": d.features["text"]}),
        lambda d: replace(d, features=dict(reversed(d.features.items()))),
        lambda d: with_feature(d, "text", x=d.features["text"].x.astype(np.float64)),
    ],
)
def test_other_inputs_miss(dataset, tmp_path, change):
    build(dataset, tmp_path)
    other = change(dataset)
    graph, record = build(other, tmp_path)
    assert record.cache["found"] is False
    assert_same(graph, build_graph(other, CONFIG))
    assert len(list(tmp_path.glob("graph-*"))) == 2
    assert found(dataset, tmp_path)
    assert found(other, tmp_path)


OTHER_VALUES = {
    "k": 4,
    "metric": "l2",
    "method": "exact",
    "min_recall": 0.9,
    "max_memory": "2GB",
    "seed": 1,
    "include_self": True,
    "edges": ("knn",),
    "ui_norm": "sym",
    "knn_norm": "sym",
    "co_normalize": "jaccard",
    "co_item_top_k": 2,
    "co_user_top_k": 3,
    "co_max_interactions": 2,
}


def test_every_key_of_the_config_is_tried():
    assert set(OTHER_VALUES) == set(GraphConfig.model_fields)


@pytest.mark.parametrize(("key", "value"), OTHER_VALUES.items())
def test_another_config_misses(dataset, tmp_path, key, value):
    config = GraphConfig.model_validate({**CONFIG.model_dump(), key: value})
    assert config != CONFIG
    assert CacheEntry(tmp_path, dataset, config).key != CacheEntry(tmp_path, dataset, CONFIG).key


@pytest.mark.parametrize("method", ["ivf", "hnsw", "nndescent"])
def test_approximate_graphs_are_told_apart_by_seed_recall_and_libraries(
    dataset, tmp_path, monkeypatch, method
):
    config = GraphConfig(k=3, method=method, min_recall=0.9)
    configs = [config.model_copy(update=c) for c in ({}, {"seed": 1}, {"min_recall": 0.8})]
    exact = CacheEntry(tmp_path, dataset, CONFIG).key
    keys = {CacheEntry(tmp_path, dataset, c).key for c in configs}
    monkeypatch.setattr("faiss.__version__", "0.0.0")
    keys.add(CacheEntry(tmp_path, dataset, config).key)
    # With the library of another method `auto` may choose otherwise.
    versions = {"pynndescent": "0.0.0", "numba": None}
    monkeypatch.setattr(cache_module, "installed_versions", lambda packages: versions)
    keys.add(CacheEntry(tmp_path, dataset, config).key)
    assert len(keys) == 5
    # Neither can change an exact graph.
    assert CacheEntry(tmp_path, dataset, CONFIG).key == exact


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("mmgraph.graph.cache.__version__", "99.0.0"),
        ("mmgraph.graph.cache.FORMAT_VERSION", 99),
        ("mmgraph.graph.cache._BUILDERS", "other builders"),
        ("numpy.__version__", "0.0.0"),
        ("torch.__version__", "0.0.0"),
    ],
)
def test_another_version_misses(dataset, tmp_path, monkeypatch, place, value):
    before = CacheEntry(tmp_path, dataset, CONFIG).key
    monkeypatch.setattr(place, value)
    assert CacheEntry(tmp_path, dataset, CONFIG).key != before


def test_another_builder_is_another_version(tmp_path):
    folder = tmp_path / "graph"
    shutil.copytree(os.path.dirname(cache_module.__file__), folder)
    before = cache_module._hash_sources(folder)
    assert cache_module._hash_sources(folder) == before
    with (folder / "knn" / "rows.py").open("a") as file:
        file.write("# changed\n")
    assert cache_module._hash_sources(folder) != before


def test_memory_layout_and_medium_of_features_do_not_matter(dataset, tmp_path):
    x = dataset.features["text"].x
    np.save(tmp_path / "x.npy", x)
    key = CacheEntry(tmp_path, dataset, CONFIG).key
    for same in (np.asfortranarray(x), np.load(tmp_path / "x.npy", mmap_mode="r")):
        other = with_feature(dataset, "text", x=same)
        assert CacheEntry(tmp_path, other, CONFIG).key == key


def flip(name, place):
    def damage(entry):
        data = bytearray((entry / name).read_bytes())
        data[place % len(data)] ^= 1
        (entry / name).write_bytes(data)

    return damage


def change_manifest(entry):
    """Change a value so that the file is still sound JSON of the right form."""
    file = entry / "graph.json"
    raw = json.loads(file.read_text())
    raw["nodes"][0]["num_nodes"] += 1
    file.write_text(json.dumps(raw))


def swap_with_another(entry):
    """Put the graph of another configuration, sound in itself, under this name."""
    save_graph(load_graph(entry), entry, overwrite=True, metadata={"cache": {}, "reports": {}})


@pytest.mark.parametrize(
    "damage",
    [
        flip("graph.safetensors", -1),
        flip("graph.safetensors", 20),
        flip("graph.json", 30),
        change_manifest,
        swap_with_another,
        lambda entry: (entry / "graph.safetensors").unlink(),
        lambda entry: (entry / "graph.json").unlink(),
        lambda entry: (entry / "graph.json").write_text(""),
        lambda entry: [path.unlink() for path in entry.iterdir()],
    ],
)
def test_a_damaged_entry_is_reported_and_built_again(dataset, tmp_path, caplog, damage):
    fresh, _ = build(dataset, tmp_path)
    other = CONFIG.model_copy(update={"k": 2})
    build(dataset, tmp_path, other)
    entry = CacheEntry(tmp_path, dataset, CONFIG).path
    damage(entry)
    rest = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    rest = {path: content for path, content in rest.items() if entry not in path.parents}
    with caplog.at_level(logging.WARNING):
        graph, record = build(dataset, tmp_path)
    assert record.cache["found"] is False
    assert record.cache["problem"].startswith("an entry is damaged and the graph is built anew: ")
    assert str(entry) in record.cache["problem"]
    assert [line.levelname for line in caplog.records] == ["WARNING"]
    assert record.cache["problem"] in caplog.text
    assert_same(graph, fresh)
    assert {path: path.read_bytes() for path in rest} == rest
    assert len(list(tmp_path.iterdir())) == 2
    again, record = build(dataset, tmp_path)
    assert (record.cache["found"], record.cache["problem"]) == (True, None)
    assert_same(again, fresh)


def test_other_things_in_the_folder_are_left_alone(dataset, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    (tmp_path / "graph-of-mine").mkdir()
    (tmp_path / "graph-of-mine" / "picture.png").write_bytes(b"x")
    assert not found(dataset, tmp_path)
    assert found(dataset, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    assert os.listdir(tmp_path / "graph-of-mine") == ["picture.png"]
    assert len(os.listdir(tmp_path)) == 3


def test_what_lies_in_a_damaged_entry_is_not_thrown_away(dataset, tmp_path):
    build(dataset, tmp_path)
    entry = entry_of(tmp_path)
    (entry / "notes.txt").write_text("mine")
    assert found(dataset, tmp_path)
    flip("graph.safetensors", -1)(entry)
    with pytest.raises(GraphError, match=r"nothing else \(it holds notes\.txt\); move it away"):
        build(dataset, tmp_path)
    assert (entry / "notes.txt").read_text() == "mine"
    shutil.rmtree(entry)
    entry.write_text("a file")
    with pytest.raises(GraphError, match="it is a file"):
        build(dataset, tmp_path)
    assert entry.read_text() == "a file"


@pytest.mark.parametrize("below", ["", "deep/cache"])
def test_a_file_in_the_way_is_named_before_anything_is_built(dataset, tmp_path, below):
    (tmp_path / "file").write_text("x")
    lines = []
    with pytest.raises(GraphError, match=r"cache must be a folder \(got the file .*file\)"):
        build_graph(dataset, CONFIG, cache=tmp_path / "file" / below, progress=lines.append)
    assert lines == []
    assert (tmp_path / "file").read_text() == "x"


def test_a_graph_that_cannot_be_kept_is_not_lost(dataset, tmp_path, monkeypatch, caplog):
    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr("mmgraph.files.flush", fail)
    graph, record = build(dataset, tmp_path / "c")
    assert record.cache["problem"] == "the graph could not be kept: disk full"
    assert "disk full" in caplog.text
    assert_same(graph, build_graph(dataset, CONFIG))
    assert list((tmp_path / "c").iterdir()) == []


def test_a_failed_build_keeps_nothing(dataset, tmp_path):
    with pytest.raises(GraphError, match="k must be"):
        build(dataset, tmp_path / "c", GraphConfig(k=50))
    assert not (tmp_path / "c").exists()


def test_whoever_comes_second_leaves_the_first_entry(dataset, tmp_path):
    graph, record = build(dataset, tmp_path)
    entry = entry_of(tmp_path)
    before = [path.stat().st_ino for path in sorted(entry.iterdir())]
    late = CacheEntry(tmp_path, dataset, CONFIG)
    late.save(graph, {"reports": record.reports})
    assert late.problem is None
    assert [path.stat().st_ino for path in sorted(entry.iterdir())] == before
    assert list(tmp_path.iterdir()) == [entry]


def _build_many(dataset, folder, start, answers):
    start.wait()
    results = []
    for k in (1, 2, 3, 4):
        record = BuildRecord()
        graph = build_graph(dataset, GraphConfig(k=k), cache=folder, record=record)
        edges = graph["item", "knn_text", "item"].edge_index
        results.append((record.cache["problem"], edges.sum().item()))
    answers.put(results)


@pytest.mark.slow
def test_processes_that_build_the_same_graph_at_once_do_no_harm(dataset, tmp_path):
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(3, timeout=600), context.Queue()
    arguments = (dataset, tmp_path / "c", start, answers)
    workers = [context.Process(target=_build_many, args=arguments, daemon=True) for _ in range(3)]
    for worker in workers:
        worker.start()
    results = [answers.get(timeout=600) for _ in workers]
    for worker in workers:
        worker.join(timeout=600)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert results[0] == results[1] == results[2]
    assert all(problem is None for problem, _ in results[0])
    assert len(list((tmp_path / "c").iterdir())) == 4
    for k in (1, 2, 3, 4):
        assert found(dataset, tmp_path / "c", GraphConfig(k=k))
