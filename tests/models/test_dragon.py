import numpy as np
import pytest
import torch

from mmgraph.config import Recipe
from mmgraph.errors import GraphError
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.graph.schema import knn_edge_type
from mmgraph.models.dragon import DRAGON, DRAGONConfig
from mmgraph.testing import RecommenderContract, checkerboard_dataset, oracles
from mmgraph.testing.contract import board_batch, disturb

EVERYONE = torch.arange(12)
SMALL = {"embedding_dim": 4, "hidden_dim": 8}


class TestDRAGON(RecommenderContract):
    model, options = DRAGON, {"embedding_dim": 8, "hidden_dim": 16}


class TestWithoutUserWeights(RecommenderContract):
    model, options = DRAGON, {"embedding_dim": 8, "hidden_dim": 16, "user_weights": False}


def board(*modalities, data=None, **options):
    data = checkerboard_dataset() if data is None else data
    features = {name: data.features[name] for name in modalities}
    config = GraphConfig(**{"k": 3, "co_user_top_k": 4, "co_normalize": "none", **options})
    return build_graph(type(data)(**{**vars(data), "features": features}), config)


def make(graph=None, **options):
    torch.manual_seed(0)
    graph = board("text", "image") if graph is None else graph
    return DRAGON(graph, DRAGONConfig(**{**SMALL, **options})).double()


def neighbours(graph, name):
    source, target = graph[knn_edge_type(name)].edge_index.tolist()
    return [[s for s, t in zip(source, target, strict=True) if t == item] for item in range(12)]


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("depths", [(1, 1, 1), (2, 2, 2), (0, 2, 1)])
def test_encode_equals_the_dense_equations(depths, include_self, irregular, irregular_pairs):
    depth = dict(zip(("num_layers", "num_user_layers", "num_item_layers"), depths, strict=True))
    graph = board("text", "image", data=irregular, include_self=include_self)
    model = make(graph, shares={"image": 0.1}, **depth).eval()
    disturb(model)
    content = [rows.detach() for rows in model.gcn.content().values()]
    expected = oracles.dragon(
        model.gcn.user_preference.detach().split(4, dim=1),
        content,
        model.user_weight.detach(),
        irregular_pairs,
        user_graph=oracles.cointeraction_softmax(irregular_pairs, num_users=12, num_items=12, k=4),
        item_graph=oracles.freedom_item_graph(
            [neighbours(graph, "text"), neighbours(graph, "image")], [0.9, 0.1]
        ),
        **depth,
    )
    for found, dense in zip(model.encode(), expected, strict=True):
        np.testing.assert_allclose(found.detach(), dense, rtol=1e-5, atol=1e-6)


def test_without_user_weights_they_are_one():
    model, plain = make(reg_weight=0.1), make(reg_weight=0.1, user_weights=False)
    with torch.no_grad():
        model.user_weight.fill_(1.0)
    assert "user_weight" not in plain.state_dict()
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if k != "user_weight"})
    torch.testing.assert_close(
        plain.eval().score(EVERYONE), model.eval().score(EVERYONE), rtol=1e-14, atol=1e-14
    )
    # The penalty on weights that are all 1 is 1.
    ours, theirs = (m.losses(board_batch())["reg"].item() for m in (plain, model))
    assert theirs - ours == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("modalities", [("text",), ("image",), ("text", "image")])
def test_the_score_is_the_sum_of_the_modalities_scores(modalities):
    model = make(board(*modalities)).eval()
    parts = model.modality_embeddings()
    assert tuple(parts) == modalities
    total = sum(part.user @ part.item.T for part in parts.values())
    torch.testing.assert_close(total, model.score(EVERYONE), rtol=1e-12, atol=1e-12)


def test_a_modalitys_score_is_made_of_its_own_columns_alone():
    """By the equations, one modality at a time, on the graphs that all share."""
    model = make(board("text", "image", include_self=True), shares={"image": 0.1}).eval()
    disturb(model)
    user, item = model.gcn()
    of_users, of_items = model.user_graph.to_dense(), model.item_graph.to_dense()
    for place, (name, found) in enumerate(model.modality_embeddings().items()):
        columns = slice(4 * place, 4 * place + 4)
        own = user[:, columns] * model.user_weight[:, place, None]
        score = (own + of_users @ own) @ (item[:, columns] + of_items @ item[:, columns]).T
        torch.testing.assert_close(found.user @ found.item.T, score, rtol=1e-9, atol=1e-9, msg=name)


def test_an_items_neighbours_have_weights_that_sum_to_one():
    graph = board("text", "image", include_self=True)
    sums = make(graph, shares={"image": 0.1}).item_graph.to_dense().sum(dim=1)
    torch.testing.assert_close(sums, torch.ones(12).double(), rtol=0, atol=1e-6)


def test_a_users_neighbours_have_weights_that_sum_to_one():
    sums = make().user_graph.to_dense().sum(dim=1)
    torch.testing.assert_close(sums, torch.ones(12).double(), rtol=0, atol=1e-6)


def test_a_user_without_neighbours_keeps_its_own_row():
    data = checkerboard_dataset()
    keep = data.train.user != 5
    train = type(data.train)(data.train.user[keep], data.train.item[keep])
    options = GraphConfig(k=3, co_user_top_k=4, co_normalize="none")
    model = make(build_graph(type(data)(**{**vars(data), "train": train}), options)).eval()
    own = torch.nn.functional.normalize(model.gcn.user_preference[5].view(2, 4), dim=1)
    expected = (own * model.user_weight[5][:, None]).flatten()
    torch.testing.assert_close(model.encode().user[5], expected)


def test_weights_start_as_a_softmax():
    weight = make().user_weight
    torch.testing.assert_close(weight.sum(dim=1), torch.ones(12).double(), rtol=0, atol=1e-6)
    assert (weight > 0).all()


def test_shares_change_the_item_graph():
    one, other = (make(shares={"image": share}).item_graph.to_dense() for share in (0.1, 0.5))
    assert not torch.equal(one, other)


def test_losses_by_hand():
    model = make(reg_weight=0.1)
    disturb(model)
    batch = board_batch()
    user, item = (x.detach().numpy() for x in model.encode())
    positive, negative = ((user[batch.user] * item[rows]).sum(axis=1) for rows in batch[1:3])
    terms = model.losses(batch)
    expected = oracles.bpr(positive, negative) / np.log(2)
    assert terms["bpr"].item() == pytest.approx(expected, rel=1e-12)
    own = model.gcn.user_preference.detach()[batch.user]
    blocks = [own[:, :4], own[:, 4:], model.user_weight.detach()]
    assert terms["reg"].item() == pytest.approx(oracles.mean_squared_penalty(blocks), rel=1e-12)
    natural = make(reg_weight=0.1, bpr_base="e")
    natural.load_state_dict(model.state_dict())
    assert natural.losses(batch)["bpr"].item() == pytest.approx(expected * np.log(2), rel=1e-12)


def test_the_graph_it_asks_for():
    graph = Recipe.build({"model": {"name": "dragon"}}).graph
    assert graph.edges == ("knn", "co_user")
    assert (graph.include_self, graph.co_user_top_k, graph.co_normalize) == (True, 40, "none")


def test_without_features_it_says_so():
    with pytest.raises(GraphError, match="needs item features"):
        make(board())
