"""build_graph: the contract, no leak, timings, and life inside PyTorch Geometric."""

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
from mmgraph.graph.build import GraphConfig, build_graph, graph_metadata
from mmgraph.graph.cointeraction import cointeraction_graph
from mmgraph.graph.knn import knn_graph
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


def test_timings_and_progress(dataset):
    timings: dict[str, float] = {}
    lines: list[str] = []
    build_graph(dataset, CONFIG, timings=timings, progress=lines.append)
    phases = ["features", "knn_text", "knn_image", "co_item", "co_user", "assemble"]
    assert list(timings) == phases
    assert all(seconds > 0 for seconds in timings.values())
    assert [line.partition(":")[0] for line in lines] == phases
    assert lines[2] == "knn_image: 15 of 20 items, k=3"


def test_k_that_does_not_fit_names_the_modality(dataset):
    with pytest.raises(GraphError) as caught:
        build_graph(dataset, GraphConfig(k=15))
    assert str(caught.value) == (
        "modality 'image': k must be between 1 and the number of items that have the feature - 1 "
        "(got 15 with 15 items that have the feature); lower graph.k"
    )
    with pytest.raises(GraphError, match=r"num_items - 1 \(got 50 with 20 items\); lower graph.k"):
        build_graph(dataset, GraphConfig(k=50))


@pytest.mark.parametrize("values", [{"kk": 3}, {"metric": "cos"}, {"co_item_top_k": 0}, {"k": "x"}])
def test_config_refuses_what_it_does_not_know(values):
    with pytest.raises(ValidationError):
        GraphConfig(**values)


def test_metadata_names_inputs_and_config(dataset):
    metadata = graph_metadata(dataset, CONFIG, timings={"features": 0.5})
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
