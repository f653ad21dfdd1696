import numpy as np
import pytest
import torch

from mmgraph.config import Recipe
from mmgraph.errors import GraphError
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.graph.schema import USER_ITEM, knn_edge_type
from mmgraph.models.batch import Batch
from mmgraph.models.freedom import FREEDOM, FREEDOMConfig
from mmgraph.models.lightgcn import LightGCN, LightGCNConfig
from mmgraph.nn import drop_edges, num_kept
from mmgraph.testing import RecommenderContract, checkerboard_dataset, checkerboard_graph, oracles
from mmgraph.testing.contract import board_batch, disturb, losses

EVERYONE = torch.arange(12)


class TestFREEDOM(RecommenderContract):
    model, options = FREEDOM, {"embedding_dim": 8, "drop": 0.3}


class TestWithoutContentAndPruning(RecommenderContract):
    model, options = FREEDOM, {"embedding_dim": 8, "drop": 0.0, "modality_weight": 0.0}


class TestDeepWithPenalty(RecommenderContract):
    model, options = FREEDOM, {"embedding_dim": 8, "num_item_layers": 2, "reg_weight": 0.01}


def make(graph=None, **options):
    torch.manual_seed(0)
    graph = checkerboard_graph() if graph is None else graph
    return FREEDOM(graph, FREEDOMConfig(**{"embedding_dim": 4, **options})).double()


def train_pairs():
    train = checkerboard_dataset().train
    return np.stack([train.user, train.item], axis=1)


def board_with(*modalities, data=None, include_self=False):
    data = checkerboard_dataset() if data is None else data
    features = {name: data.features[name] for name in modalities}
    config = GraphConfig(k=3, include_self=include_self)
    return build_graph(type(data)(**{**vars(data), "features": features}), config)


def neighbours(graph, name):
    source, target = graph[knn_edge_type(name)].edge_index.tolist()
    return [[s for s, t in zip(source, target, strict=True) if t == item] for item in range(12)]


@pytest.mark.parametrize("modalities", [("text",), ("image",), ("text", "image")])
def test_any_set_of_modalities(modalities):
    model = make(board_with(*modalities))
    losses(model, board_batch()).backward()
    assert model.user_embedding.grad.isfinite().all()


def test_without_features_it_says_so():
    with pytest.raises(GraphError, match="needs item features"):
        make(board_with())


def assert_dense(model, graph, pairs, **depth):
    """Check what a model with the shares .9 and .1 encodes against the equations on some interactions."""
    lists = [neighbours(graph, name) for name in ("text", "image")]
    item_graph = oracles.freedom_item_graph(lists, [0.9, 0.1])
    tables = (model.user_embedding.detach(), model.item_embedding.detach())
    expected = oracles.freedom(*tables, pairs, item_graph=item_graph, **depth)
    for found, wanted in zip(model.encode(), expected, strict=True):
        np.testing.assert_allclose(found.detach(), wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize(("num_layers", "num_item_layers"), [(0, 0), (2, 1), (3, 2)])
def test_encode_equals_the_dense_equations(
    num_layers, num_item_layers, include_self, irregular, irregular_pairs
):
    graph = board_with("text", "image", data=irregular, include_self=include_self)
    depth = {"num_layers": num_layers, "num_item_layers": num_item_layers}
    model = make(graph, shares={"image": 0.1}, **depth).eval()
    assert_dense(model, graph, irregular_pairs, **depth)


def test_training_is_on_edges_drawn_by_degree(irregular):
    graph = board_with("text", "image", data=irregular)
    model = make(graph, shares={"image": 0.1}, drop=0.4).train()
    model.on_epoch(3)
    drawn = {
        policy: drop_edges(
            graph[USER_ITEM].edge_index,
            num_users=12,
            num_items=12,
            drop=0.4,
            policy=policy,
            seed=model.seed,
            epoch=3,
        ).edge_index
        for policy in ("degree", "uniform")
    }
    assert not torch.equal(*drawn.values())
    assert_dense(model, graph, drawn["degree"].T)


def test_the_item_graph_has_rows_that_sum_to_one_and_few_values():
    """With k = 3 and shares .9 and .1 an entry is .1/3, .9/3 or 1/3; item 0 has no image, so its row is 1/3."""
    dense = make(shares={"image": 0.1}).item_graph.to_dense()
    torch.testing.assert_close(dense.sum(dim=1), torch.ones(12).double(), rtol=0, atol=1e-6)
    values = dense[dense > 0]
    allowed = torch.tensor([0.1 / 3, 0.9 / 3, 1 / 3]).double()
    assert ((values[:, None] - allowed).abs().min(dim=1).values < 1e-7).all()
    assert torch.allclose(dense[0][dense[0] > 0], torch.tensor(1 / 3).double(), atol=1e-7)


def test_an_epoch_keeps_the_floor_of_the_edges_and_each_epoch_others():
    model = make(drop=0.3)
    full = {tuple(pair) for pair in train_pairs().tolist()}
    seen = []
    for epoch in (1, 2, 1):
        model.on_epoch(epoch)
        source, target = model._pruned.edge_index()
        pairs = [
            (s, t - 12) for s, t in zip(source.tolist(), target.tolist(), strict=True) if s < 12
        ]
        assert len(pairs) == len(set(pairs)) == num_kept(len(full), 0.3)
        assert set(pairs) <= full
        assert model._pruned.is_symmetric
        seen.append(set(pairs))
    assert seen[0] == seen[2] != seen[1]


def test_pruning_is_of_training_only():
    model, whole = make(drop=0.5), make(drop=0.0)
    model.on_epoch(1)
    assert not torch.equal(model.train().encode().user, whole.encode().user)
    assert torch.equal(model.eval().score(EVERYONE), whole.eval().score(EVERYONE))


def test_without_pruning_content_and_item_layers_it_is_lightgcn_plus_its_items():
    model = make(drop=0.0, modality_weight=0.0, num_item_layers=0).train()
    plain = LightGCN(
        checkerboard_graph(), LightGCNConfig(embedding_dim=4, num_layers=2, reg_weight=0.0)
    ).double()
    plain.load_state_dict(model.state_dict())
    model.on_epoch(1)
    user, item = plain.encode()
    assert torch.equal(model.encode().user, user)
    assert torch.equal(model.encode().item, item + plain.item_embedding)


@pytest.mark.parametrize("drop", [0.0, 0.4])
def test_the_modality_criterion_by_hand(drop):
    """Triples whose items lack a modality are left out of its mean; users are those of the thinned graph."""
    model = make(drop=drop).train()
    disturb(model)
    model.on_epoch(2)
    batch = Batch(torch.tensor([0, 1, 3]), torch.tensor([2, 3, 5]), torch.tensor([1, 0, 4]))
    user = model.encode().user[batch.user].detach().numpy()
    graph, expected = checkerboard_graph(), 0.0
    for position, (name, kept) in enumerate({"text": [0, 1, 2], "image": [0, 2]}.items()):
        linear = model.content.encoders[position].linear
        projected = linear(graph["item"][f"x_{name}"].double()).detach().numpy()
        scores = [
            (user[row] * projected[items[row]]).sum()
            for items in (batch.positive, batch.negative)
            for row in kept
        ]
        expected += oracles.bpr(scores[: len(kept)], scores[len(kept) :])
    assert model.losses(batch)["modality"].item() == pytest.approx(expected, rel=1e-12)


def test_each_item_is_projected_once_and_only_those_of_the_batch(monkeypatch):
    model, seen = make(), []
    for encoder in model.content.encoders:
        encoder.register_forward_pre_hook(lambda module, given: seen.append(len(given[1])))
    batch = Batch(torch.tensor([0, 1, 3]), torch.tensor([2, 3, 3]), torch.tensor([1, 2, 2]))
    model.losses(batch)
    assert seen == [3, 3]  # items 1, 2, 3


def test_features_are_frozen():
    model = make()
    trained = {name for name, _ in model.named_parameters()}
    assert trained == {
        "user_embedding",
        "item_embedding",
        *(f"content.encoders.{m}.linear.{part}" for m in (0, 1) for part in ("weight", "bias")),
    }
    assert "content.features.0" not in model.state_dict()


def test_an_item_is_one_of_its_neighbours_unless_the_recipe_says_otherwise():
    assert Recipe.build({"model": {"name": "freedom"}}).graph.include_self
    given = {"model": {"name": "freedom"}, "graph": {"include_self": False}}
    assert not Recipe.build(given).graph.include_self
    assert not Recipe.build({"model": {"name": "lightgcn"}}).graph.include_self
