"""check_graph names each rule that is broken, and accepts what the builders make."""

import pytest
import torch
from torch_geometric.data import HeteroData

from mmgraph.errors import GraphError
from mmgraph.graph.build import GraphConfig, build_graph
from mmgraph.graph.schema import (
    CO_ITEM,
    ITEM_USER,
    USER_ITEM,
    check_graph,
    edge_name,
    feature_key,
    item_features,
    knn_edge_type,
    modalities_of,
    presence_key,
)
from mmgraph.testing import checkerboard_graph

KNN = knn_edge_type("image")


@pytest.fixture
def graph(dataset):
    return build_graph(dataset, GraphConfig(k=3, ui_norm="rw_self"))


def test_names():
    assert knn_edge_type("audio") == ("item", "knn_audio", "item")
    assert edge_name(CO_ITEM) == "item__co_interacts__item"
    assert (feature_key("text"), presence_key("text")) == ("x_text", "has_text")


def test_modalities_in_stored_order(graph):
    assert modalities_of(graph) == ("text", "image")
    assert modalities_of(HeteroData()) == ()


def test_a_built_graph_is_sound(graph):
    assert check_graph(graph) is None


def drop_node(data):
    del data["user"]


def float_index(data):
    data[CO_ITEM].edge_index = data[CO_ITEM].edge_index.float()


def int_index(data):
    data[CO_ITEM].edge_index = data[CO_ITEM].edge_index.int()


def flat_index(data):
    data[CO_ITEM].edge_index = data[CO_ITEM].edge_index[0]


def out_of_range(data):
    data[KNN].edge_index[0, 0] = 20


def negative(data):
    data[KNN].edge_index[1, 0] = -1


def unsorted(data):
    data[CO_ITEM].edge_index = data[CO_ITEM].edge_index.flip(1)


def duplicate(data):
    data[CO_ITEM].edge_index[:, 1] = data[CO_ITEM].edge_index[:, 0]


def no_weight(data):
    del data[CO_ITEM].edge_weight


def double_weight(data):
    data[CO_ITEM].edge_weight = data[CO_ITEM].edge_weight.double()


def short_weight(data):
    data[CO_ITEM].edge_weight = data[CO_ITEM].edge_weight[1:]


def nan_weight(data):
    data[CO_ITEM].edge_weight[4] = float("nan")


def one_way(data):
    del data[ITEM_USER]


def other_reverse(data):
    data[ITEM_USER].edge_index = data[ITEM_USER].edge_index[:, 1:]
    data[ITEM_USER].edge_weight = data[ITEM_USER].edge_weight[1:]


def moved_reverse(data):
    index = data[ITEM_USER].edge_index
    last_user = index[0, index[1] == 11]
    free = [i for i in range(20) if i not in last_user.tolist() and i > int(last_user.max())]
    index[0, -1] = free[0]


def infinite_feature(data):
    data["item"].x_text[7, 2] = float("inf")


def short_feature(data):
    data["item"].x_text = data["item"].x_text[1:]


def half_feature(data):
    data["item"].x_text = data["item"].x_text.half()


def number_mask(data):
    data["item"].has_text = data["item"].has_text.long()


def lonely_mask(data):
    del data["item"].x_text


def absent_neighbour(data):
    data["item"].has_image = torch.zeros(20, dtype=torch.bool)


def nan_self_weight(data):
    data["item"].self_weight[3] = float("nan")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop_node, "node type 'user' must exist"),
        (float_index, "item__co_interacts__item.edge_index must be an int64 tensor (got float32"),
        (int_index, "edge_index must be an int64 tensor (got int32"),
        (flat_index, "edge_index must have shape (2, num_edges)"),
        (out_of_range, "item__knn_image__item.edge_index source must be between 0 and 19 (got 20)"),
        (negative, "item__knn_image__item.edge_index target must be between 0 and 19 (got -1)"),
        (unsorted, "must be sorted by target then source (edge 1 is out of order)"),
        (duplicate, "must not hold an edge twice"),
        (no_weight, "item__co_interacts__item.edge_weight must be a float32 tensor of shape"),
        (double_weight, "(got float64"),
        (short_weight, "edge_weight must be a float32 tensor of shape"),
        (nan_weight, "item__co_interacts__item.edge_weight must be finite (row 4 is not)"),
        (one_way, "edge type item__rev_interacts__user is missing"),
        (other_reverse, "must be user__interacts__item reversed"),
        (moved_reverse, "must be user__interacts__item reversed"),
        (infinite_feature, "item.x_text must be finite (row 7 is not)"),
        (short_feature, "item.x_text must have shape (20, dim) (got float32 (19, 6))"),
        (half_feature, "item.x_text must be a float32 tensor of shape (20, 6) (got float16"),
        (number_mask, "item.has_text must be a bool tensor of shape (20,) (got int64"),
        (lonely_mask, "item.has_text has no item.x_text beside it"),
        (absent_neighbour, "must touch only items that have the feature"),
        (nan_self_weight, "item.self_weight must be finite (row 3 is not)"),
    ],
)
def test_each_broken_rule_is_named(graph, damage, message):
    damage(graph)
    with pytest.raises(GraphError) as caught:
        check_graph(graph)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_interactions_may_be_empty():
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = 2, 3
    for edge_type in (USER_ITEM, ITEM_USER):
        data[edge_type].edge_index = torch.empty(2, 0, dtype=torch.int64)
        data[edge_type].edge_weight = torch.empty(0)
    check_graph(data)


def test_item_features_are_those_of_the_item_store_in_order():
    graph = checkerboard_graph()
    found = item_features(graph)
    assert tuple(found) == modalities_of(graph) == ("text", "image")
    assert found["image"][0] is graph["item"].x_image
    assert found["image"][1].tolist() == [False] + [True] * 11
    del graph["item"].x_text, graph["item"].x_image
    assert item_features(graph) == {}
