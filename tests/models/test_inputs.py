import pytest
import torch
from pydantic import ValidationError

from mmgraph.errors import GraphError
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.models.base import EmbeddingConfig
from mmgraph.models.inputs import (
    SharesConfig,
    content_graph,
    item_content_graph,
    items_of_users,
    required_features,
    user_item_adjacency,
)
from mmgraph.testing import checkerboard_dataset, checkerboard_graph


def test_shares_are_no_less_than_zero_and_no_more_than_one_together():
    assert SharesConfig(name="x", shares={"a": 0.1, "b": 0.2, "c": 0.7}).shares["b"] == 0.2
    with pytest.raises(ValidationError, match=r"must not be above 1 together \(got 1.1\)"):
        SharesConfig(name="x", shares={"a": 0.6, "b": 0.5})
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        SharesConfig(name="x", shares={"a": -0.1})


def test_the_joint_matrix_is_symmetric_under_sym_and_stochastic_under_rw():
    data = checkerboard_dataset()
    sym = user_item_adjacency(build_graph(data, GraphConfig(edges=(), ui_norm="sym")))
    rw = user_item_adjacency(build_graph(data, GraphConfig(edges=(), ui_norm="rw")))
    assert sym.is_symmetric
    assert not sym.to_dense()[:12, :12].any()
    torch.testing.assert_close(rw.to_dense().sum(dim=1), torch.ones(24))


def test_self_loops_of_the_operator_reach_the_matrix():
    graph = build_graph(checkerboard_dataset(), GraphConfig(edges=(), ui_norm="rw_self"))
    dense = user_item_adjacency(graph).to_dense()
    torch.testing.assert_close(dense.sum(dim=1), torch.ones(24))
    torch.testing.assert_close(
        dense.diagonal(), torch.full((24,), 1 / 6)
    )  # five neighbours and itself


def test_the_content_graph_mixes_the_modalities_by_name():
    graph = checkerboard_graph()
    only_text = content_graph(graph, {"image": 0.0}).to_dense()
    source, target = graph["item", "knn_text", "item"].edge_index
    expected = torch.zeros(12, 12)
    expected[target, source] = 1 / 3
    torch.testing.assert_close(only_text, expected)
    assert not torch.equal(content_graph(graph, {}).to_dense(), expected)


def test_the_content_graph_of_a_modality_has_the_weights_of_the_build():
    graph = build_graph(checkerboard_dataset(), GraphConfig(k=3, knn_norm="sym"))
    edges = graph["item", "knn_image", "item"]
    dense = item_content_graph(graph, "image").to_dense()
    source, target = edges.edge_index
    assert torch.equal(dense[target, source], edges.edge_weight)
    assert int((dense != 0).sum()) == edges.edge_weight.numel()


def test_items_of_users_are_the_joint_matrixs_block_or_ones():
    graph = checkerboard_graph()
    block = user_item_adjacency(graph).to_dense()[:12, 12:]
    assert torch.equal(items_of_users(graph).to_dense(), block)
    assert torch.equal(items_of_users(graph, weighted=False).to_dense(), (block > 0).float())


def test_a_graph_without_features_is_refused_by_the_models_name():
    graph = build_graph(checkerboard_dataset(), GraphConfig(edges=()))
    config = EmbeddingConfig(name="seer")
    assert tuple(required_features(graph, config)) == ("text", "image")
    for name in ("text", "image"):
        del graph["item"][f"x_{name}"]
    with pytest.raises(GraphError, match="seer needs item features"):
        required_features(graph, config)
