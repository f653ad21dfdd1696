import pytest
import torch

from mmgraph.errors import ConfigError, GraphError
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.models import MODELS, get_model
from mmgraph.models.base import (
    Batch,
    Embeddings,
    IdRecommender,
    ModelConfig,
    Recommender,
    content_graph,
    distinct_items,
    ranking_losses,
    required_features,
    user_item_adjacency,
)
from mmgraph.testing import checkerboard_dataset, checkerboard_graph


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_name_leads_to_a_class_whose_config_bears_it(name):
    model = get_model(name)
    assert issubclass(model, Recommender)
    assert model.Config().name == name


def test_an_unknown_name_is_refused():
    with pytest.raises(ConfigError, match=r"model.name must be a known model \(got 'light_gcn'\)"):
        get_model("light_gcn")


def test_a_model_must_say_how_it_encodes_and_loses():
    bare = Recommender(checkerboard_graph(), ModelConfig(name="bare"))
    with pytest.raises(TypeError, match=r"must define encode\(\)"):
        bare.encode()
    with pytest.raises(TypeError, match=r"must define losses\(\)"):
        bare.losses(Batch(*(torch.zeros(1, dtype=torch.long),) * 3))


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


def test_losses_by_hand():
    """One triple: scores 1 and 0 give ln(1 + e^-1); rows of squared length 1, 1, 4 give (1 + 1 + 4) / 2."""
    final = Embeddings(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    zero = Embeddings(torch.zeros(1, 2), torch.zeros(2, 2))
    batch = Batch(torch.tensor([0]), torch.tensor([0]), torch.tensor([1]))
    penalty = {}
    for rows in ("final", "ego"):
        config = ModelConfig(name="x", reg_rows=rows)
        terms = ranking_losses(batch, final=final, ego=zero, config=config)
        assert terms["bpr"].item() == pytest.approx(0.3132617)
        penalty[rows] = terms["reg"].item()
    assert penalty == {"final": 3.0, "ego": 0.0}


def test_id_rows_are_drawn_users_first():
    torch.manual_seed(3)
    model = IdRecommender(
        checkerboard_graph(), ModelConfig(name="x", embedding_dim=4), init="normal0.1"
    )
    torch.manual_seed(3)
    for table in (model.ego.user, model.ego.item):
        assert torch.equal(table, torch.empty(12, 4).normal_(std=0.1))
    assert model.ego.user is model.user_embedding
    assert model.ego.item is model.item_embedding


def test_distinct_items_lead_back_to_the_batch():
    batch = Batch(torch.tensor([5, 5, 1]), torch.tensor([8, 2, 8]), torch.tensor([2, 0, 4]))
    items, place = distinct_items(batch)
    assert items.tolist() == [0, 2, 4, 8]
    assert items[place].tolist() == [batch.positive.tolist(), batch.negative.tolist()]


def test_the_content_graph_mixes_the_modalities_by_name():
    graph = checkerboard_graph()
    only_text = content_graph(graph, {"image": 0.0}).to_dense()
    source, target = graph["item", "knn_text", "item"].edge_index
    expected = torch.zeros(12, 12)
    expected[target, source] = 1 / 3
    torch.testing.assert_close(only_text, expected)
    assert not torch.equal(content_graph(graph, {}).to_dense(), expected)


def test_a_graph_without_features_is_refused_by_the_models_name():
    graph = build_graph(checkerboard_dataset(), GraphConfig(edges=()))
    config = ModelConfig(name="seer")
    assert tuple(required_features(graph, config)) == ("text", "image")
    for name in ("text", "image"):
        del graph["item"][f"x_{name}"]
    with pytest.raises(GraphError, match="seer needs item features"):
        required_features(graph, config)
