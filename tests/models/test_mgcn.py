import numpy as np
import pytest
import torch

from mmgraph.config import Recipe
from mmgraph.errors import GraphError
from mmgraph.graph.schema import item_features
from mmgraph.models.batch import Batch
from mmgraph.models.lightgcn import LightGCN, LightGCNConfig
from mmgraph.models.mgcn import MGCN, MGCNConfig
from mmgraph.testing import RecommenderContract, oracles
from mmgraph.testing.contract import board_batch, disturb, losses

SETS = [("image",), ("text", "image"), ("text", "image", "sound")]
REPEATED = Batch(*torch.tensor([[3, 3, 1, 0], [5, 1, 5, 2], [8, 5, 8, 0]]))


class TestMGCN(RecommenderContract):
    model, options = MGCN, {"embedding_dim": 8}


class TestAsReleased(RecommenderContract):
    model, options = MGCN, {"embedding_dim": 8, "preset": "as_released"}


def make(graph, **options):
    torch.manual_seed(0)
    model = MGCN(graph, MGCNConfig(**{"embedding_dim": 4, **options})).double()
    disturb(model)
    return model


def affine(linear):
    return linear.weight.detach(), linear.bias.detach()


def dense(model, graph, pairs):
    """Return behaviour and side as the oracle makes them of the model's weights."""
    features = item_features(graph).values()
    raw = [oracles.mm_gef_content_graph(x.double(), k=3, present=has) for x, has in features]
    hidden = query = None
    if model.attention.query is not None:
        hidden = affine(model.attention.query[0])
        query = model.attention.query[2].weight.detach()
    return oracles.mgcn(
        model.user_embedding.detach(),
        model.item_embedding.detach(),
        pairs,
        content=[x.detach() for x in model.content().values()],
        item_graphs=[oracles.normalized_graph(g, norm="sym") for g in raw],
        present=[has for _, has in features],
        purifiers=[affine(gate.linear) for gate in model.purifiers],
        preferences=[affine(gate.linear) for gate in model.preferences],
        hidden=hidden,
        query=query,
        num_item_layers=model.config.num_item_layers,
        released=model.config.preset == "as_released",
    )


@pytest.mark.parametrize("modalities", SETS)
@pytest.mark.parametrize("preset", ["paper", "as_released"])
@pytest.mark.parametrize("num_item_layers", [0, 1, 2])
def test_encode_equals_the_dense_equations(modalities, preset, num_item_layers, board, train_pairs):
    graph = board(*modalities)
    model = make(graph, preset=preset, num_item_layers=num_item_layers).eval()
    expected = sum(dense(model, graph, train_pairs))
    found = torch.cat(model.encode()).detach()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("modalities", SETS)
@pytest.mark.parametrize("preset", ["paper", "as_released"])
def test_the_contrast_is_among_the_nodes_of_the_batch(modalities, preset, board, train_pairs):
    graph = board(*modalities)
    model = make(graph, preset=preset)
    behaviour, side = dense(model, graph, train_pairs)
    users, items = ([0, 1, 3], [1, 2, 5]) if preset == "paper" else REPEATED[:2]
    has = torch.stack([has for _, has in item_features(graph).values()]).any(dim=0)
    nodes = [(np.asarray(users), None), (12 + np.asarray(items), has[items].tolist())]
    expected = sum(
        oracles.info_nce(side[rows], behaviour[rows], temperature=0.2, present=known)
        for rows, known in nodes
    )
    found = model.losses(REPEATED)["contrast"]
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_presets_differ(board):
    one, other = (make(board("text", "image"), preset=p) for p in ("paper", "as_released"))
    everyone = torch.arange(12)
    assert not torch.allclose(one.eval().score(everyone), other.eval().score(everyone), atol=1e-3)
    once, often = (model.train().losses(REPEATED)["contrast"] for model in (one, other))
    assert not torch.isclose(once, often, rtol=1e-3)


@pytest.mark.parametrize("preset", ["paper", "as_released"])
def test_without_views_it_is_lightgcn(preset, board):
    graph = board("text", "image")
    model = make(graph, preset=preset).eval()
    for matrix in model.item_graphs:
        matrix.value.zero_()
    plain = LightGCN(graph, LightGCNConfig(embedding_dim=4, num_layers=2)).double()
    plain.load_state_dict(model.state_dict(), strict=False)
    for found, expected in zip(model.encode(), plain.eval().encode(), strict=True):
        assert torch.equal(found, expected)


def test_open_gates_and_equal_views_leave_what_is_common(board):
    """With the released code's division a third of the view is left."""
    graph = board("text", "image")
    for name in ("x_", "has_"):
        graph["item"][f"{name}image"] = graph["item"][f"{name}text"]
    for preset, share in (("paper", 1.0), ("as_released", 1 / 3)):
        model = make(graph, preset=preset)
        model.purifiers[1].load_state_dict(model.purifiers[0].state_dict())
        model.content.encoders[1].load_state_dict(model.content.encoders[0].state_dict())
        model.item_graphs[1] = model.item_graphs[0]
        with torch.no_grad():
            for gate in model.preferences:
                gate.linear.weight.zero_()
                gate.linear.bias.fill_(100.0)
        behaviour, views = model._views()
        pairs = zip(behaviour, views, model.has, strict=True)
        for own, view, has in pairs:
            torch.testing.assert_close(model._side(own, view, has), share * view[:, :4])


def test_item_graphs_have_k_neighbours_and_users_their_block_of_the_joint_matrix(board):
    model = make(board("text", "image"))
    assert model.item_graphs[0].rowptr.diff().tolist() == [3] * 12
    block = model.propagation.adjacency.to_dense()[:12, 12:]
    assert torch.equal(model.histories.to_dense(), block)


def test_an_item_without_any_modality_is_lightgcns(board):
    model = make(board("image")).eval()
    item, (_, plain) = model.encode().item, model.propagation(*model.ego)
    assert torch.equal(item[0], plain[0])
    assert not torch.equal(item[1], plain[1])


def test_a_single_modality_has_no_idle_parameters(board):
    model = make(board("text")).train()
    losses(model, board_batch()).backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_without_a_weight_there_is_no_contrast(board):
    model = make(board("text", "image"), contrast_weight=0.0)
    assert set(model.losses(board_batch())) == {"bpr", "reg"}


def test_only_the_nodes_of_a_batch_are_fused(board):
    model, seen = make(board("text", "image")), []
    model.attention.register_forward_pre_hook(lambda module, given: seen.append(len(given[0][0])))
    model.losses(REPEATED)
    assert seen == [3, 5]  # users 0, 1, 3 and items 0, 1, 2, 5, 8


def test_two_steps_by_the_dense_equations(board, train_pairs):
    graph, batch = board("text", "image"), REPEATED
    model = make(graph, contrast_weight=0.1, reg_weight=0.01)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        behaviour, side = dense(model, graph, train_pairs)
        final = behaviour + side
        rows = final[batch.user], final[12 + batch.positive], final[12 + batch.negative]
        scores = [(rows[0] * other).sum(axis=1) for other in rows[1:]]
        expected = oracles.bpr(*scores) + 0.01 * oracles.half_squared_penalty(rows)
        for nodes in ([0, 1, 3], [13, 14, 17]):
            expected += 0.1 * oracles.info_nce(side[nodes], behaviour[nodes], temperature=0.2)
        optimizer.zero_grad()
        loss = losses(model, batch)
        assert loss.item() == pytest.approx(expected, rel=1e-6)
        loss.backward()
        optimizer.step()


def test_the_graph_it_asks_for():
    graph = Recipe.build({"model": {"name": "mgcn"}}).graph
    assert (graph.edges, graph.include_self, graph.knn_norm) == (("knn",), True, "sym")
    assert graph.ui_norm == "sym"


def test_without_features_it_says_so(board):
    with pytest.raises(GraphError, match="mgcn needs item features"):
        make(board())
