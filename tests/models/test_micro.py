import numpy as np
import pytest
import torch

from mmgraph.config import Recipe
from mmgraph.errors import GraphError
from mmgraph.graph.schema import item_features
from mmgraph.models.batch import Batch
from mmgraph.models.lattice import LATTICE, LATTICEConfig
from mmgraph.models.micro import MICRO, MICROConfig
from mmgraph.testing import RecommenderContract, oracles
from mmgraph.testing.contract import board_batch, disturb, losses

EVERYONE = torch.arange(12)
SETS = [("image",), ("text", "image"), ("text", "image", "sound")]


class TestMICRO(RecommenderContract):
    model, options = MICRO, {"embedding_dim": 8, "k": 3}


class TestContrastOfTheBatch(RecommenderContract):
    model, options = MICRO, {"embedding_dim": 8, "k": 3, "skip": 0.5, "contrast_items": "batch"}


class TestOnTheRawGraphs(RecommenderContract):
    model, options = MICRO, {"embedding_dim": 8, "k": 3, "skip": 1.0}


def make(graph, **options):
    torch.manual_seed(0)
    config = MICROConfig(**{"embedding_dim": 4, "feature_dim": 5, "k": 3, **options})
    model = MICRO(graph, config).double()
    disturb(model)
    return model


def dense(model, graph, pairs):
    """Return what the oracle makes of the model's weights."""
    graphs, skip = [], model.config.skip
    features, content = item_features(graph).values(), model.content().values()
    for (x, has), projected in zip(features, content, strict=True):
        raw = oracles.mm_gef_content_graph(x.double(), k=3, present=has)
        learned = oracles.mm_gef_content_graph(projected.detach(), k=3, present=has)
        raw, learned = (oracles.normalized_graph(g, norm="sym") for g in (raw, learned))
        graphs.append(skip * raw + (1 - skip) * learned)
    hidden = query = None
    if model.attention.query is not None:
        hidden = [p.detach() for p in model.attention.query[0].parameters()]
        query = model.attention.query[2].weight.detach()
    return oracles.micro(
        model.user_embedding.detach(),
        model.item_embedding.detach(),
        pairs,
        item_graphs=graphs,
        present=[has for _, has in features],
        hidden=hidden,
        query=query,
        num_item_layers=model.config.num_item_layers,
    )


@pytest.mark.parametrize("modalities", SETS)
@pytest.mark.parametrize(("skip", "num_item_layers"), [(0.0, 1), (0.7, 2), (1.0, 1)])
def test_encode_equals_the_dense_equations(modalities, skip, num_item_layers, board, train_pairs):
    graph = board(*modalities)
    model = make(graph, skip=skip, num_item_layers=num_item_layers).eval()
    expected = dense(model, graph, train_pairs)
    for found, wanted in zip(model.encode(), expected, strict=False):
        np.testing.assert_allclose(found.detach(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("modalities", SETS)
@pytest.mark.parametrize("items", ["all", "batch"])
def test_the_contrast_equals_the_dense_equation(modalities, items, board, train_pairs):
    graph, batch = board(*modalities), Batch(*torch.tensor([[0, 0, 1], [0, 2, 2], [8, 5, 8]]))
    model = make(graph, contrast_items=items)
    _, _, messages, fused = dense(model, graph, train_pairs)
    rows = slice(None) if items == "all" else [0, 2, 5, 8]
    expected = sum(
        oracles.info_nce(
            own[rows], fused[rows], temperature=0.5, intra=True, present=has.numpy()[rows]
        )
        for own, (_, has) in zip(messages, item_features(graph).values(), strict=True)
    )
    model.on_epoch(1)
    assert model.losses(batch)["contrast"].item() == pytest.approx(expected, rel=1e-5)


def test_with_one_modality_and_without_contrast_it_is_lattice(board):
    graph = board("text")
    model = make(graph, contrast_weight=0.0, reg_weight=1e-4, skip=0.3)
    other = LATTICE(graph, LATTICEConfig(embedding_dim=4, feature_dim=5, k=3, skip=0.3)).double()
    other.load_state_dict(model.state_dict())
    for one in (model, other):
        one.on_epoch(1)
    for batch in range(2):
        found, expected = model.losses(board_batch()), other.losses(board_batch())
        assert list(found) == list(expected), batch
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model.eval().encode(), other.eval().encode())


def test_equal_graphs_make_equal_messages_whatever_the_query_says(board):
    graph = board("text", "image")
    for name in ("x_", "has_"):
        graph["item"][f"{name}image"] = graph["item"][f"{name}text"]
    graph["item", "knn_image", "item"].update(graph["item", "knn_text", "item"])
    model = make(graph, skip=1.0)
    _, messages, fused = model._encode(model.item_graphs())
    torch.testing.assert_close(messages[0], messages[1], rtol=0, atol=0)
    torch.testing.assert_close(fused, messages[0])


def test_an_item_without_the_modality_gets_no_message(board):
    model = make(board("image")).eval()
    _, item = model.encode()
    _, plain = model.propagation(*model.ego)
    assert torch.equal(item[0], plain[0])
    assert not torch.equal(item[1], plain[1])


def test_without_a_weight_there_is_no_contrast(board):
    model = make(board("text", "image"), contrast_weight=0.0)
    assert set(model.losses(board_batch())) == {"bpr", "reg"}


def test_projections_learn_from_the_first_batch_of_an_epoch_only(board):
    model, found = make(board("text", "image"), skip=0.5).train(), []
    for epoch in (1, 2):
        model.on_epoch(epoch)
        for _ in range(2):
            model.zero_grad()
            losses(model, board_batch()).backward()
            weight = model.content.encoders[0].linear.weight
            found.append(weight.grad is not None and bool(weight.grad.any()))
    assert found == [True, False] * 2


def test_two_steps_by_the_dense_equations(board, train_pairs):
    """The loss of the second step is that of the weights after the first, over the graphs of the first."""
    graph, batch = board("text", "image"), board_batch()
    model = make(graph, skip=1.0, reg_weight=0.01)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.on_epoch(1)
    for _ in range(2):
        user, item, messages, fused = dense(model, graph, train_pairs)
        chosen = user[batch.user], item[batch.positive], item[batch.negative]
        scores = [(chosen[0] * other).sum(axis=1) for other in chosen[1:]]
        expected = oracles.bpr(*scores) + 0.01 * oracles.half_squared_penalty(chosen)
        for own, (_, has) in zip(messages, item_features(graph).values(), strict=True):
            given = {"temperature": 0.5, "intra": True, "present": has.tolist()}
            expected += 0.03 * oracles.info_nce(own, fused, **given)
        optimizer.zero_grad()
        loss = losses(model, batch)
        assert loss.item() == pytest.approx(expected, rel=1e-6)
        loss.backward()
        optimizer.step()


def test_the_graph_it_asks_for():
    paper = Recipe.build({"model": {"name": "micro"}, "graph": {"k": 7}})
    assert (paper.graph.edges, paper.graph.include_self) == (("knn",), True)
    assert (paper.graph.knn_norm, paper.graph.ui_norm, paper.model.k) == ("sym", "sym", 7)
    released = Recipe.build({"model": {"name": "micro", "preset": "as_released"}}).graph
    assert released.ui_norm == "rw_self"


def test_without_features_it_says_so(board):
    with pytest.raises(GraphError, match="micro needs item features"):
        make(board())
