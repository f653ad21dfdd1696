"""build_graph: the contract, no leak, the record, memory, and life inside PyTorch Geometric."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch_geometric import transforms
from torch_geometric.loader import LinkNeighborLoader

from mmgraph.data import load_dataset
from mmgraph.errors import GraphError
from mmgraph.graph.build import (
    BuildRecord,
    GraphConfig,
    build_graph,
    graph_metadata,
)
from mmgraph.graph.cointeraction import cointeraction_graph
from mmgraph.graph.knn import knn_graph, knn_search
from mmgraph.graph.normalize import normalize_edges
from mmgraph.graph.schema import (
    CO_ITEM,
    CO_USER,
    ITEM_USER,
    USER_ITEM,
    check_graph,
    knn_edge_type,
)

CONFIG = GraphConfig(k=3, co_user_top_k=2)


def tensors_of(data):
    return {
        (str(store._key), key): value
        for store in data.stores
        for key, value in store.items()
        if torch.is_tensor(value)
    }


def assert_same(a, b):
    assert list(tensors_of(a)) == list(tensors_of(b))
    for key, value in tensors_of(a).items():
        assert torch.equal(value, tensors_of(b)[key]), key


def test_every_part_is_there_and_sound(dataset):
    data = build_graph(dataset, CONFIG)
    assert data.edge_types == [
        USER_ITEM,
        ITEM_USER,
        knn_edge_type("text"),
        knn_edge_type("image"),
        CO_ITEM,
        CO_USER,
    ]
    assert (data["user"].num_nodes, data["item"].num_nodes) == (12, 20)
    assert data.validate()
    check_graph(data)
    np.testing.assert_array_equal(data["item"].x_image, dataset.features["image"].x)
    np.testing.assert_array_equal(data["item"].has_image, dataset.features["image"].present)


def test_parts_equal_the_functions(dataset):
    config = GraphConfig(k=4, metric="l2", include_self=True, knn_norm="sym", co_item_top_k=3)
    data = build_graph(dataset, config)
    image = dataset.features["image"]
    index, weight = knn_graph(image.x, 4, metric="l2", include_self=True, mask=image.present)
    assert torch.equal(data[knn_edge_type("image")].edge_index, index)
    expected = normalize_edges(index, weight, 20, "sym")
    assert torch.equal(data[knn_edge_type("image")].edge_weight, expected)
    index, weight = cointeraction_graph(
        dataset.train.user, dataset.train.item, num_users=12, num_items=20, top_k=3
    )
    assert torch.equal(data[CO_ITEM].edge_index, index)
    assert torch.equal(data[CO_ITEM].edge_weight, weight)


def test_user_item_edges_are_the_training_pairs(dataset):
    pairs = set(zip(dataset.train.user.tolist(), dataset.train.item.tolist(), strict=True))
    data = build_graph(dataset, CONFIG)
    assert set(zip(*data[USER_ITEM].edge_index.tolist(), strict=True)) == pairs
    assert data[USER_ITEM].edge_index.size(1) == len(pairs)


def test_a_planted_test_pair_changes_no_byte(dataset, planted):
    assert_same(build_graph(dataset, CONFIG), build_graph(planted, CONFIG))


def test_a_training_pair_does_change_the_graph(dataset):
    user, item = dataset.train.user, dataset.train.item
    smaller = replace(dataset, train=SimpleNamespace(user=user[1:], item=item[1:]))
    full, less = build_graph(dataset, CONFIG), build_graph(smaller, CONFIG)
    assert full[USER_ITEM].num_edges == less[USER_ITEM].num_edges + 1


def test_the_graph_does_not_share_memory_with_the_data_set(dataset):
    data = build_graph(dataset, CONFIG)
    data["item"].x_text.zero_()
    assert dataset.features["text"].x.any()


def test_self_weights_only_with_rw_self(dataset):
    assert "self_weight" not in build_graph(dataset, CONFIG)["user"]
    data = build_graph(dataset, GraphConfig(k=3, ui_norm="rw_self"))
    row = data["item"].self_weight.double()
    row = row.index_add(0, data[USER_ITEM].edge_index[1], data[USER_ITEM].edge_weight.double())
    assert row.tolist() == pytest.approx([1.0] * 20)
    assert data["user"].self_weight.shape == (12,)


def test_only_the_wanted_edges(dataset):
    data = build_graph(dataset, GraphConfig(k=3, edges=("co_user",)))
    assert data.edge_types == [USER_ITEM, ITEM_USER, CO_USER]


def test_without_features_there_is_still_a_graph(dataset):
    data = build_graph(replace(dataset, features={}), GraphConfig(k=3))
    assert data.edge_types == [USER_ITEM, ITEM_USER, CO_ITEM, CO_USER]
    check_graph(data)


def test_seconds_and_progress(dataset):
    record = BuildRecord()
    lines: list[str] = []
    build_graph(dataset, CONFIG, record=record, progress=lines.append)
    phases = ["features", "knn_text", "knn_image", "co_item", "co_user", "assemble"]
    assert list(record.seconds) == phases
    assert all(seconds > 0 for seconds in record.seconds.values())
    assert [line.partition(":")[0] for line in lines] == phases
    assert lines[2] == "knn_image: 15 of 20 items, k=3"
    assert record.cache is None


def test_reports_say_how_and_who_has_no_edges(dataset):
    x = dataset.features["image"].x.copy()
    x[np.flatnonzero(dataset.features["image"].present)[:2]] = 0
    features = {**dataset.features, "image": SimpleNamespace(**vars(dataset.features["image"]))}
    features["image"].x = x
    record = BuildRecord()
    data = build_graph(replace(dataset, features=features), CONFIG, record=record)
    text, image = record.reports["knn_text"], record.reports["knn_image"]
    assert (text["num_searched"], text["num_without_edges"]) == (20, 0)
    # Five items without the feature and two rows of zeros.
    assert (image["num_searched"], image["num_without_edges"]) == (13, 7)
    with_edges = data[knn_edge_type("image")].edge_index.unique()
    assert len(with_edges) == 13
    assert not x[~np.isin(np.arange(20), with_edges.numpy())].any()
    assert text["recall"] == 1.0
    assert {"method", "precision", "memory", "seconds"} <= set(text)
    assert graph_metadata(dataset, CONFIG, record=record)["reports"] == record.reports


def test_the_limit_of_interactions_is_kept_and_recorded(dataset):
    config = GraphConfig(k=3, co_max_interactions=2, seed=5, co_normalize="pmi")
    record = BuildRecord()
    data = build_graph(dataset, config, record=record)
    train, sizes = dataset.train, {"num_users": 12, "num_items": 20}
    for side, partner, edge_type in (("item", train.user, CO_ITEM), ("user", train.item, CO_USER)):
        index, weight = cointeraction_graph(
            train.user,
            train.item,
            **sizes,
            side=side,
            top_k=10 if side == "user" else None,
            normalize="pmi",
            max_interactions=2,
            seed=5,
        )
        assert torch.equal(data[edge_type].edge_index, index)
        assert torch.equal(data[edge_type].edge_weight, weight)
        degree = np.bincount(partner)
        report = record.reports[f"co_{side}"]
        assert report["partners_limited"] == (degree > 2).sum() > 0
        assert report["interactions_left_out"] == np.maximum(degree - 2, 0).sum()


def test_options_of_the_search_arrive(dataset, monkeypatch):
    seen = []

    def spy(*args, **options):
        seen.append(options)
        return knn_search(*args, **options)

    monkeypatch.setattr("mmgraph.graph.build.knn_search", spy)
    values = {"method": "exact", "min_recall": 0.5, "seed": 7, "include_self": True, "metric": "l2"}
    shares: list[float] = []
    advance = shares.append
    build_graph(dataset, GraphConfig(k=2, max_memory="3GB", **values), advance=advance)
    assert len(seen) == 2
    assert all(options["progress"] is advance for options in seen)
    assert all(values.items() <= options.items() for options in seen)
    assert {options["max_memory"] for options in seen} == {3 * 10**9}


def test_too_little_memory_is_refused_with_the_number_needed(dataset):
    with pytest.raises(GraphError, match=r"modality 'text': max_memory must be at least \d+ bytes"):
        build_graph(dataset, GraphConfig(k=3, max_memory="0.001MB"))


MEMORY = """
import sys
from dataclasses import replace
from mmgraph.data import ModalityFeatures
from mmgraph.graph import GraphConfig, build_graph, check_graph
from mmgraph.testing import checkerboard_dataset

def build_and_find():
    for _ in range(2):
        graph = None
        graph = build_graph(board, GraphConfig(edges=("co_item",)), cache=sys.argv[2])
        check_graph(graph)
    assert graph["item"].x_wide.shape == x.shape

x = np.load(sys.argv[1], mmap_mode="r")
board = checkerboard_dataset()
check_graph(build_graph(board, GraphConfig(k=3)))
wide = ModalityFeatures("wide", x, np.ones(len(x), dtype=bool), {})
board = replace(board, items=type(board.items)([str(i) for i in range(len(x))]), features={"wide": wide})
print(growth(build_and_find)[0])
"""


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_mapped_matrix_is_copied_once(tmp_path, dtype, run_python):
    x = np.random.default_rng(0).standard_normal((20_000, 1_024)).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    (used,) = run_python(MEMORY, tmp_path / "x.npy", tmp_path / "cache")
    # The pages of the file that were read count as well; a second copy would not fit.
    assert int(used) < x.nbytes + 1.5 * 4 * x.size


def test_k_that_does_not_fit_names_the_modality(dataset):
    with pytest.raises(GraphError) as caught:
        build_graph(dataset, GraphConfig(k=15))
    assert str(caught.value) == (
        "modality 'image': k must be between 1 and the number of items that have the feature - 1 "
        "(got 15 with 15 items that have the feature); lower graph.k"
    )
    with pytest.raises(GraphError, match=r"num_items - 1 \(got 50 with 20 items\); lower graph.k"):
        build_graph(dataset, GraphConfig(k=50))


@pytest.mark.parametrize(
    "values",
    [
        {"kk": 3},
        {"metric": "cos"},
        {"co_item_top_k": 0},
        {"co_max_interactions": 0},
        {"k": "x"},
        {"k": 0},
        {"k": True},
        {"method": "fast"},
        {"min_recall": 0},
        {"min_recall": 2},
        {"min_recall": float("nan")},
        {"seed": -1},
        {"max_memory": "abc"},
        {"max_memory": "-1GB"},
        {"max_memory": "4"},
        {"max_memory": "0GB"},
        {"max_memory": "4GiB"},
        {"max_memory": -1},
        {"max_memory": 4_000_000_000},
    ],
)
def test_config_refuses_what_it_does_not_know(values):
    with pytest.raises(ValidationError):
        GraphConfig(**values)


@pytest.mark.parametrize(
    ("text", "size"), [("500MB", 5 * 10**8), ("4 GB", 4 * 10**9), ("1.5TB", 15 * 10**11)]
)
def test_sizes(text, size):
    assert GraphConfig(max_memory=text).max_memory_bytes == size
    assert GraphConfig().max_memory_bytes is None


def test_metadata_names_inputs_and_config(dataset):
    metadata = graph_metadata(dataset, CONFIG, record=BuildRecord({"features": 0.5}))
    assert metadata["config"]["k"] == 3
    assert GraphConfig(**metadata["config"]) == CONFIG
    assert metadata["inputs"]["content_hash"] == "c" * 64
    assert metadata["inputs"]["features"]["text"] == {"file": "text.npy"}
    assert metadata["seconds"] == {"features": 0.5}
    other = graph_metadata(dataset, GraphConfig(k=4))
    assert other["config_hash"] != metadata["config_hash"]
    assert graph_metadata(dataset, CONFIG)["config_hash"] == metadata["config_hash"]


def test_to_homogeneous(dataset):
    data = build_graph(dataset, GraphConfig(k=3, ui_norm="rw_self"))
    flat = data.to_homogeneous()
    assert flat.num_nodes == 32
    assert flat.edge_index.size(1) == sum(
        data[edge_type].num_edges for edge_type in data.edge_types
    )
    assert flat.edge_weight.shape == (flat.edge_index.size(1),)
    assert flat.self_weight.shape == (32,)


def test_to_undirected(dataset):
    data = transforms.ToUndirected()(build_graph(dataset, CONFIG))
    source, target = data[knn_edge_type("image")].edge_index
    edges = set(zip(source.tolist(), target.tolist(), strict=True))
    assert {(t, s) for s, t in edges} == edges
    assert data.validate()


@pytest.mark.sparse
@pytest.mark.filterwarnings("ignore:Using 'NeighborSampler' without a 'pyg-lib'")
def test_link_neighbor_loader(dataset):
    data = build_graph(dataset, CONFIG)
    pairs = data[USER_ITEM].edge_index
    loader = LinkNeighborLoader(
        data, num_neighbors=[2, 2], edge_label_index=(USER_ITEM, pairs), batch_size=8, shuffle=False
    )
    seen = []
    for batch in loader:
        user, item = batch[USER_ITEM].edge_label_index
        seen.append(torch.stack([batch["user"].n_id[user], batch["item"].n_id[item]]))
        assert torch.equal(batch["item"].x_text, data["item"].x_text[batch["item"].n_id])
    assert torch.equal(torch.cat(seen, dim=1), pairs)


def test_a_bundled_data_set():
    dataset = load_dataset("movielens-small")
    data = build_graph(dataset)
    check_graph(data)
    for modality, features in dataset.features.items():
        edge_index = data[knn_edge_type(modality)].edge_index
        assert edge_index.size(1) == 10 * int(features.present.sum())
