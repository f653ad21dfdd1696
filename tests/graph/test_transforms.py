"""The builders as transforms: same edges as the functions, input untouched."""

import numpy as np
import pytest
import torch
from torch_geometric.data import HeteroData
from torch_geometric.transforms import BaseTransform, Compose

from mmgraph.errors import GraphError
from mmgraph.graph.build import GraphConfig, build_graph
from mmgraph.graph.schema import (
    CO_ITEM,
    CO_USER,
    ITEM_USER,
    USER_ITEM,
    check_graph,
    knn_edge_type,
)
from mmgraph.graph.store import save_graph
from mmgraph.graph.transforms import AddBipartite, AddCointeraction, AddKNNGraph


def assert_same_edges(a, b, edge_type):
    assert torch.equal(a[edge_type].edge_index, b[edge_type].edge_index)
    assert torch.equal(a[edge_type].edge_weight, b[edge_type].edge_weight)


def made_by_hand(dataset):
    """The nodes, features and pairs of a data set, put together with nothing of the library."""
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = dataset.num_users, dataset.num_items
    for name, features in dataset.features.items():
        data["item"][f"x_{name}"] = torch.from_numpy(features.x.copy())
        data["item"][f"has_{name}"] = torch.from_numpy(features.present.copy())
    order = np.random.default_rng(3).permutation(len(dataset.train.user))
    pairs = np.stack([dataset.train.user, dataset.train.item])[:, order]
    data["user", "interacts", "item"].edge_index = torch.from_numpy(pairs)
    return data


@pytest.mark.parametrize("ui_norm", ["sym", "rw_self", "none"])
@pytest.mark.parametrize("knn_norm", ["none", "sym"])
@pytest.mark.parametrize("method", ["auto", "flat"])
def test_composed_on_a_graph_made_by_hand_they_give_the_bytes_of_build(
    dataset, tmp_path, ui_norm, knn_norm, method
):
    config = GraphConfig(
        k=3,
        ui_norm=ui_norm,
        knn_norm=knn_norm,
        method=method,
        max_memory="2GB",
        metric="l2",
        co_normalize="cosine",
        co_item_top_k=4,
        co_user_top_k=2,
        co_max_interactions=3,
        seed=5,
    )
    co = {"normalize": "cosine", "max_interactions": 3, "seed": 5}
    knn = {"metric": "l2", "norm": knn_norm, "method": method, "max_memory": 2 * 10**9}
    steps = [
        AddBipartite(norm=ui_norm),
        AddKNNGraph("text", 3, **knn),
        AddKNNGraph("image", 3, **knn),
        AddCointeraction("item", top_k=4, **co),
        AddCointeraction("user", top_k=2, **co),
    ]
    found, expected = Compose(steps)(made_by_hand(dataset)), build_graph(dataset, config)
    assert found.edge_types == expected.edge_types
    check_graph(found)
    save_graph(found, tmp_path / "found")
    save_graph(expected, tmp_path / "expected")
    files = [tmp_path / name / "graph.safetensors" for name in ("found", "expected")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_order_of_the_steps_does_not_matter(dataset):
    steps = [AddCointeraction("user", top_k=2), AddKNNGraph("text", 3), AddBipartite()]
    one, other = (Compose(s)(made_by_hand(dataset)) for s in (steps, steps[::-1]))
    for edge_type in (USER_ITEM, ITEM_USER, CO_USER, knn_edge_type("text")):
        assert_same_edges(one, other, edge_type)


def test_bipartite_takes_other_attributes_along_and_leaves_the_input(dataset):
    data = made_by_hand(dataset)
    before = data[USER_ITEM].edge_index.clone()
    data[USER_ITEM].time = before[0] * 1000 + before[1]
    data[USER_ITEM].note = "as given"
    data[USER_ITEM].edge_weight = torch.zeros(before.size(1))
    found = AddBipartite()(data)
    user, item = found[USER_ITEM].edge_index
    assert torch.equal(found[USER_ITEM].time, user * 1000 + item)
    assert found[USER_ITEM].note == "as given"
    assert bool((found[USER_ITEM].edge_weight > 0).all())
    assert "time" not in found[ITEM_USER]
    assert torch.equal(data[USER_ITEM].edge_index, before)
    assert ITEM_USER not in data.edge_types


def test_bipartite_can_be_changed_to_another_norm(dataset):
    first = AddBipartite(norm="rw_self")(made_by_hand(dataset))
    assert "self_weight" in first["user"]
    second = AddBipartite(norm="sym")(first)
    assert "self_weight" not in second["user"]
    assert "self_weight" not in second["item"]
    assert "self_weight" in first["item"]
    for edge_type in (USER_ITEM, ITEM_USER):
        assert_same_edges(second, build_graph(dataset, GraphConfig(edges=())), edge_type)


@pytest.mark.parametrize("norm", ["none", "row", "sym"])
def test_transforms_give_the_graph_that_build_gives(dataset, norm):
    bare = build_graph(dataset, GraphConfig(edges=()))
    steps = [
        AddKNNGraph("text", 3, include_self=True, norm=norm),
        AddKNNGraph("image", 3, include_self=True, norm=norm),
        AddCointeraction("item", normalize="jaccard"),
        AddCointeraction("user", top_k=2, normalize="jaccard"),
    ]
    assert all(isinstance(step, BaseTransform) for step in steps)
    config = GraphConfig(
        k=3, include_self=True, knn_norm=norm, co_normalize="jaccard", co_user_top_k=2
    )
    found, expected = Compose(steps)(bare), build_graph(dataset, config)
    assert set(found.edge_types) == set(expected.edge_types)
    for edge_type in expected.edge_types:
        assert_same_edges(found, expected, edge_type)
    check_graph(found)


def test_input_is_left_untouched(dataset):
    bare = build_graph(dataset, GraphConfig(edges=()))
    before = {key: value.clone() for key, value in bare["item"].items() if torch.is_tensor(value)}
    AddCointeraction("user")(AddKNNGraph("text", 2)(bare))
    assert len(bare.edge_types) == 2
    assert {key for key in bare["item"] if key != "num_nodes"} == set(before)
    assert all(torch.equal(bare["item"][key], value) for key, value in before.items())


def test_mask_of_the_graph_is_obeyed(dataset):
    data = AddKNNGraph("image", 2)(build_graph(dataset, GraphConfig(edges=())))
    ends = data[knn_edge_type("image")].edge_index.flatten()
    assert bool(data["item"].has_image[ends].all())


def test_sides(dataset):
    data = AddCointeraction("user")(build_graph(dataset, GraphConfig(edges=())))
    assert CO_USER in data.edge_types
    assert CO_ITEM not in data.edge_types


def test_what_is_missing_is_named(dataset):
    data = build_graph(dataset, GraphConfig(edges=()))
    with pytest.raises(GraphError, match="no modality 'txt'; did you mean 'text'"):
        AddKNNGraph("txt", 2)(data)
    del data[USER_ITEM]
    for step in (AddCointeraction("item"), AddBipartite()):
        with pytest.raises(GraphError, match="no user__interacts__item edges; set data"):
            step(data)


def test_nodes_that_cannot_be_counted_are_named(dataset):
    data = made_by_hand(dataset)
    del data["user"].num_nodes, data["item"].num_nodes
    with pytest.raises(GraphError, match=r'data\["user"\]\.num_nodes must be set'):
        AddBipartite()(data)
    data["user"].num_nodes = dataset.num_users
    assert_same_edges(AddBipartite()(data), build_graph(dataset, GraphConfig(edges=())), USER_ITEM)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (AddKNNGraph("text", 3, method="fast"), "method must be one of"),
        (AddKNNGraph("text", 3, min_recall=0.0), "min_recall must be"),
        (AddKNNGraph("text", 3, max_memory=10), "max_memory must be at least"),
        (AddBipartite(norm="max"), "must be one of"),
        (AddCointeraction("item", normalize="mean"), "must be one of"),
    ],
)
def test_wrong_options_are_refused(dataset, step, message):
    with pytest.raises(GraphError, match=message):
        step(made_by_hand(dataset))


def test_repr():
    assert repr(AddBipartite(norm="rw")) == "AddBipartite(norm='rw')"
    assert repr(AddKNNGraph("text", 5)) == "AddKNNGraph('text', k=5)"
    assert repr(AddCointeraction("user", top_k=3)) == "AddCointeraction('user', top_k=3)"
