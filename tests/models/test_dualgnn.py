import numpy as np
import pytest
import torch

from mmgraph.config import Recipe
from mmgraph.data import ModalityFeatures
from mmgraph.errors import GraphError
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.graph.schema import CO_USER
from mmgraph.models.dragon import DRAGON, DRAGONConfig
from mmgraph.models.dualgnn import DualGNN, DualGNNConfig
from mmgraph.sparse import SparseAdjacency
from mmgraph.testing import RecommenderContract, checkerboard_dataset, oracles
from mmgraph.testing.contract import board_batch, disturb, losses

EVERYONE = torch.arange(12)
CHOICES = [("text",), ("image",), ("text", "image"), ("text", "image", "sound")]
SMALL = {"embedding_dim": 4, "hidden_dim": 8}


class TestDualGNN(RecommenderContract):
    model, options = DualGNN, {"embedding_dim": 8, "hidden_dim": 16}


class TestAsReleased(RecommenderContract):
    model, options = DualGNN, {"embedding_dim": 8, "hidden_dim": 16, "preset": "as_released"}


class TestMLP(RecommenderContract):
    model, options = DualGNN, {"embedding_dim": 8, "hidden_dim": 16, "construction": "cat_mlp"}


def board(*modalities, data=None, drop_user=None, **options):
    data = checkerboard_dataset() if data is None else data
    sound = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    known = {**data.features, "sound": ModalityFeatures("sound", sound, np.arange(12) != 3, {})}
    keep = data.train.user != (-1 if drop_user is None else drop_user)
    changed = {
        "features": {name: known[name] for name in modalities},
        "train": type(data.train)(data.train.user[keep], data.train.item[keep]),
    }
    config = GraphConfig(**{"k": 3, "co_user_top_k": 4, "co_normalize": "none", **options})
    return build_graph(type(data)(**{**vars(data), **changed}), config)


def make(graph=None, **options):
    torch.manual_seed(0)
    graph = board("text", "image") if graph is None else graph
    return DualGNN(graph, DualGNNConfig(**{**SMALL, **options})).double()


def dense(model, weights, pairs):
    return oracles.dualgnn(
        model.gcn.user_preference.detach().split(4, dim=1),
        [rows.detach() for rows in model.gcn.content().values()],
        weights,
        pairs,
        user_graph=oracles.cointeraction_softmax(pairs, num_users=12, num_items=12, k=4),
        num_layers=model.config.num_layers,
        num_user_layers=model.config.num_user_layers,
    )


@pytest.mark.parametrize("modalities", CHOICES)
@pytest.mark.parametrize("preset", ["paper", "as_released"])
@pytest.mark.parametrize(("num_layers", "num_user_layers"), [(1, 1), (2, 2), (0, 2)])
def test_encode_equals_the_dense_equations(
    modalities, preset, num_layers, num_user_layers, irregular, irregular_pairs
):
    depth = {"num_layers": num_layers, "num_user_layers": num_user_layers}
    model = make(board(*modalities, data=irregular), preset=preset, **depth).eval()
    disturb(model)
    weights = np.ones((12, 1))
    if model.user_weight is not None:
        weights = model.user_weight.detach().numpy()
        if preset == "paper":
            weights = np.exp(weights) / np.exp(weights).sum(axis=1, keepdims=True)
    for found, expected in zip(model.encode(), dense(model, weights, irregular_pairs), strict=True):
        np.testing.assert_allclose(found.detach(), expected, rtol=1e-5, atol=1e-6)


def test_mean_and_max_over_a_users_modalities(irregular, irregular_pairs):
    graph = board("text", "image", data=irregular)
    model = make(graph, construction="mean").eval()
    mean = dense(model, np.full((12, 2), 0.5), irregular_pairs)
    for found, expected in zip(model.encode(), mean, strict=True):
        np.testing.assert_allclose(found.detach(), expected, rtol=1e-5, atol=1e-6)
    largest = make(graph, construction="max").eval()
    text, image = largest.gcn()[0].split(4, dim=1)
    user = torch.maximum(text, image)
    expected = user + largest.user_graph.to_dense() @ user
    torch.testing.assert_close(largest.encode().user, expected)
    assert "user_weight" not in largest.state_dict()


def test_modalities_side_by_side_go_through_two_layers():
    model = make(construction="cat_mlp").eval()
    mlp, rows = model.joined, model.gcn()[0]
    hidden = torch.nn.functional.leaky_relu(rows @ mlp.linear.weight.T + mlp.linear.bias)
    user = hidden @ mlp.output.weight.T + mlp.output.bias
    expected = user + model.user_graph.to_dense() @ user
    torch.testing.assert_close(model.encode().user, expected)


def without_neighbours(model):
    model.user_graph = SparseAdjacency(torch.empty(2, 0, dtype=torch.long), size=(12, 12)).double()
    return model


def test_it_scores_like_dragon_plus_what_is_across_the_modalities():
    """With the same rows of each modality, weights of one and no further graph, the sum has the cross terms."""
    graph = board("text", "image", "sound")
    torch.manual_seed(0)
    dragon = DRAGON(graph, DRAGONConfig(**SMALL, user_weights=False)).double().eval()
    dragon.item_graph = SparseAdjacency(torch.empty(2, 0, dtype=torch.long), size=(12, 12)).double()
    dual = make(graph, preset="as_released").eval()
    with torch.no_grad():
        dual.user_weight.fill_(1.0)
    dual.gcn.load_state_dict(dragon.gcn.state_dict())
    one, other = without_neighbours(dragon), without_neighbours(dual)
    parts = list(one.modality_embeddings().values())
    within = sum(part.user @ part.item.T for part in parts)
    across = sum(a.user @ b.item.T for a in parts for b in parts if a is not b)
    torch.testing.assert_close(one.score(EVERYONE), within, rtol=0, atol=1e-12)
    torch.testing.assert_close(other.score(EVERYONE), within + across, rtol=0, atol=1e-12)
    assert across.abs().max() > 1e-3


def test_the_order_of_the_modalities_is_no_matter():
    one, other = make(board("text", "image")).eval(), make(board("image", "text")).eval()
    state = one.state_dict()
    swapped = {
        "user_weight": state["user_weight"].flip(1),
        "gcn.user_preference": state["gcn.user_preference"].roll(4, dims=1),
    }
    for key, value in state.items():
        if "encoders.0." in key:
            swapped[key.replace("encoders.0.", "encoders.1.")] = value
        elif "encoders.1." in key:
            swapped[key.replace("encoders.1.", "encoders.0.")] = value
    other.load_state_dict(swapped)
    torch.testing.assert_close(one.score(EVERYONE), other.score(EVERYONE), rtol=0, atol=1e-12)


def test_counts_of_shared_items_are_those_of_the_interactions(irregular, irregular_pairs):
    graph = board("text", data=irregular, co_user_top_k=None)
    found = np.zeros((12, 12))
    source, target = graph[CO_USER].edge_index
    found[target, source] = graph[CO_USER].edge_weight
    history = oracles.interaction_matrix(irregular_pairs, num_users=12, num_items=12)
    expected = history @ history.T
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found, found.T)


def test_a_user_without_neighbours_keeps_its_own_row():
    model = make(board("text", "image", drop_user=5)).eval()
    rows = model.gcn()[0][5].view(2, 4)
    expected = (rows * model.user_weight[5].softmax(dim=0)[:, None]).sum(dim=0)
    torch.testing.assert_close(model.encode().user[5], expected)


def short_lists(**options):
    """Return a model on a graph whose users have four neighbours, but for users 0, 2 and 4 with one, two and three."""
    graph = board("text", "image")
    edges, weight = graph[CO_USER].edge_index, graph[CO_USER].edge_weight
    place = torch.arange(edges.size(1)) % 4
    room = torch.full((12,), 4)
    room[[0, 2, 4]] = torch.tensor([1, 2, 3])
    keep = place < room[edges[1]]
    graph[CO_USER].edge_index, graph[CO_USER].edge_weight = edges[:, keep], weight[keep]
    return make(graph, **options)


def test_released_repeats_are_of_training_only_and_new_in_each_epoch():
    model = short_lists(preset="as_released")
    still, seen = model.eval().encode(), []
    for epoch in (1, 2, 3, 1):
        model.on_epoch(epoch)
        seen.append(model.train().encode().user)
        assert torch.equal(model.eval().encode().user, still.user)
    assert torch.equal(seen[0], seen[3])
    assert len({tuple(x.flatten().tolist()) for x in seen}) > 1
    # Full lists have no repeats.
    torch.testing.assert_close(seen[0][[1, 3, 5]], still.user[[1, 3, 5]])
    paper = short_lists()
    before = paper.train().encode().user
    paper.on_epoch(1)
    assert torch.equal(paper.encode().user, before)


def test_released_repeats_count_as_often_as_they_stand_there():
    model = short_lists(preset="as_released")
    model.on_epoch(2)
    _, target = model.user_graph.edge_index()
    for user in (0, 2, 4):
        mine = target == user
        plain, weight = model.user_graph.value[mine], model._repeated[mine]
        times = weight / weight.sum() / (plain / plain.sum())
        # All shares are a common part of 4 places by whole numbers.
        whole = times * (4 / (times @ torch.ones_like(times)))
        torch.testing.assert_close(whole, whole.round(), rtol=0, atol=1e-5)
        assert whole.sum().item() == pytest.approx(4)
        assert weight.sum().item() == pytest.approx(1)


def test_weights_are_a_softmax_and_free_as_released():
    paper, released = make(), make(preset="as_released")
    torch.testing.assert_close(
        paper.user_shares(), released.user_shares(), rtol=1e-6, atol=1e-7
    )  # they start alike
    with torch.no_grad():
        released.user_weight.mul_(5.0)
        paper.user_weight.mul_(5.0)
    torch.testing.assert_close(paper.user_shares().sum(dim=1), torch.ones(12).double())
    assert (released.user_shares().sum(dim=1) > 4.9).all()


@pytest.mark.parametrize("modality", ["text", "image"])
def test_with_one_modality_nothing_is_weighed_and_nothing_idle(modality):
    model = make(board(modality), reg_weight=0.0).train()
    assert model.user_weight is None
    losses(model, board_batch()).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_losses_by_hand():
    model, batch = make(reg_weight=0.1), board_batch()
    user, item = (x.detach().numpy() for x in model.encode())
    positive, negative = ((user[batch.user] * item[rows]).sum(axis=1) for rows in batch[1:3])
    terms, expected = model.losses(batch), oracles.bpr(positive, negative)
    assert terms["bpr"].item() == pytest.approx(expected, rel=1e-12)
    own = model.gcn.user_preference.detach()[batch.user]
    blocks = [own[:, :4], own[:, 4:], model.user_weight.detach()]
    assert terms["reg"].item() == pytest.approx(oracles.mean_squared_penalty(blocks), rel=1e-12)
    released = make(reg_weight=0.1, preset="as_released")
    scores = torch.tensor(positive), torch.tensor(negative)
    assert released.criterion(*scores).item() == pytest.approx(expected / np.log(2), rel=1e-12)


def test_the_graph_it_asks_for():
    graph = Recipe.build({"model": {"name": "dualgnn"}}).graph
    assert (graph.edges, graph.co_user_top_k, graph.co_normalize) == (("co_user",), 40, "none")


def test_without_features_it_says_so():
    with pytest.raises(GraphError, match="dualgnn needs item features"):
        make(board())


@pytest.mark.cuda
def test_a_gpu_gives_the_same():
    model = make(preset="as_released").train()
    model.on_epoch(1)
    expected = model.score(EVERYONE)
    on_gpu = make(preset="as_released").train().cuda()
    on_gpu.on_epoch(1)
    torch.testing.assert_close(on_gpu.score(EVERYONE.cuda()).cpu(), expected)
