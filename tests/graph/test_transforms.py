"""The builders as transforms: same edges as the functions, input untouched."""

import pytest
import torch
from torch_geometric.transforms import BaseTransform, Compose

from mmgraph.errors import GraphError
from mmgraph.graph.build import GraphConfig, build_graph
from mmgraph.graph.schema import CO_ITEM, CO_USER, USER_ITEM, check_graph, knn_edge_type
from mmgraph.graph.transforms import AddCointeraction, AddKNNGraph


def assert_same_edges(a, b, edge_type):
    assert torch.equal(a[edge_type].edge_index, b[edge_type].edge_index)
    assert torch.equal(a[edge_type].edge_weight, b[edge_type].edge_weight)


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
    with pytest.raises(GraphError, match="no user__interacts__item edges"):
        AddCointeraction("item")(data)


def test_repr():
    assert repr(AddKNNGraph("text", 5)) == "AddKNNGraph('text', k=5)"
    assert repr(AddCointeraction("user", top_k=3)) == "AddCointeraction('user', top_k=3)"
