import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmgraph.config import Recipe
from mmgraph.errors import GraphError
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.models.ngcf import NGCF, NGCFConfig
from mmgraph.testing import RecommenderContract, checkerboard_dataset, checkerboard_graph, oracles
from mmgraph.testing.contract import board_batch


class TestNGCF(RecommenderContract):
    model, options = NGCF, {"embedding_dim": 8, "num_layers": 2}


class TestAsReleased(RecommenderContract):
    model, options = NGCF, {"embedding_dim": 8, "num_layers": 2, "preset": "as_released"}


def make(graph=None, **options):
    torch.manual_seed(0)
    graph = checkerboard_graph() if graph is None else graph
    return NGCF(graph, NGCFConfig(**{"embedding_dim": 4, **options})).double()


def operator(pairs, ui_norm="sym"):
    """The normalised matrix, rounded to float32 as a graph stores its weights."""
    sym = oracles.sym_adjacency(pairs, num_users=12, num_items=12)
    with_self = (sym > 0) + np.eye(24)
    exact = sym if ui_norm == "sym" else with_self / with_self.sum(axis=1, keepdims=True)
    return exact.astype(np.float32).astype(np.float64)


def dense(model, adjacency, factors=None):
    """Ids and unit rows of all layers in float64 numpy; ``factors`` multiply what each layer gives."""
    rows = torch.cat([model.user_embedding, model.item_embedding]).detach().numpy()
    slots = [rows]
    for layer, factor in zip(model.layers, factors or [1] * len(model.layers), strict=True):
        p = {name: value.detach().numpy() for name, value in layer.named_parameters()}
        released = model.config.preset == "as_released"
        biases = (p["of_sum.bias"], p["of_product.bias"]) if released else None
        weights = p["of_sum.weight"].T, p["of_product.weight"].T
        rows = factor * oracles.ngcf_layer(rows, adjacency, weights=weights, biases=biases)
        slots.append(oracles.unit_rows(rows))
    return np.concatenate(slots, axis=1)


@pytest.mark.parametrize(("preset", "ui_norm"), [("paper", "sym"), ("as_released", "rw_self")])
@pytest.mark.parametrize("num_layers", [0, 1, 3])
def test_encode_equals_the_dense_equations(preset, ui_norm, num_layers, irregular, irregular_pairs):
    graph = build_graph(irregular, GraphConfig(edges=(), ui_norm=ui_norm))
    model = make(graph, preset=preset, num_layers=num_layers).eval()
    found = torch.cat(model.encode()).detach()
    assert found.shape == (24, 4 * (num_layers + 1))
    expected = dense(model, operator(irregular_pairs, ui_norm))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


def kept(*shape):
    """Which entries a dropout of a quarter keeps."""
    return F.dropout(torch.ones(shape).double(), 0.25).numpy() > 0


def assert_rows_of_seed_3(model, expected):
    batch = board_batch()
    torch.manual_seed(3)
    found = model.train().batch_rows(batch)
    places = torch.cat([batch.user, 12 + batch.positive, 12 + batch.negative])
    np.testing.assert_allclose(torch.cat(found).detach(), expected[places], rtol=1e-9, atol=1e-11)


def test_node_dropout_leaves_edges_out_and_scales_the_others_up(irregular, irregular_pairs):
    graph = build_graph(irregular, GraphConfig(edges=()))
    model = make(graph, num_layers=2, node_dropout=0.25, message_dropout=0.0)
    source, target = (x.numpy() for x in model.adjacency.edge_index())
    torch.manual_seed(3)
    edges, left = kept(len(source)), np.zeros((24, 24))
    assert 0 < edges.sum() < len(edges)
    left[target[edges], source[edges]] = 1 / 0.75
    assert_rows_of_seed_3(model, dense(model, left * operator(irregular_pairs)))


def test_the_next_layer_receives_what_message_dropout_leaves_not_yet_of_unit_length(
    irregular, irregular_pairs
):
    graph = build_graph(irregular, GraphConfig(edges=()))
    model = make(graph, num_layers=2, node_dropout=0.0, message_dropout=0.25)
    torch.manual_seed(3)
    factors = [kept(24, 4) / 0.75 for _ in range(2)]
    assert_rows_of_seed_3(model, dense(model, operator(irregular_pairs), factors))


def test_rows_behind_the_ids_have_unit_length():
    user, item = make().eval().encode()
    for slot in torch.cat([user, item]).split(4, dim=1)[1:]:
        torch.testing.assert_close(slot.norm(dim=1), torch.ones(24).double())


def test_an_isolated_item_receives_itself_under_rw_self():
    data = checkerboard_dataset()
    keep = data.train.item != 5
    train = type(data.train)(data.train.user[keep], data.train.item[keep])
    data = type(data)(**{**vars(data), "train": train})
    graph = build_graph(data, GraphConfig(edges=(), ui_norm="rw_self"))
    model = make(graph, preset="as_released", num_layers=1).eval()
    x, layer = model.item_embedding[5], model.layers[0]
    alone = torch.nn.functional.leaky_relu(layer.of_sum(x), 0.2)
    alone = alone + torch.nn.functional.leaky_relu(layer.of_product(x * x), 0.2)
    torch.testing.assert_close(model.encode().item[5, 4:], alone / alone.norm())


@pytest.mark.parametrize("shares", [(0.5, 0.0), (0.0, 0.5)])
def test_dropout_is_of_training_only_and_follows_the_seed(shares):
    model = make(message_dropout=shares[0], node_dropout=shares[1])
    batch = board_batch()
    values = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        values.append(model.train().losses(batch)["bpr"].item())
    assert values[0] == values[2] != values[1]
    still = model.eval().losses(batch)["bpr"].item()
    assert still == make(message_dropout=0.0).eval().losses(batch)["bpr"].item()


def test_the_papers_layer_refuses_a_graph_that_counts_each_node_once_more(irregular):
    graph = build_graph(irregular, GraphConfig(edges=(), ui_norm="rw_self"))
    with pytest.raises(GraphError, match="adds each node's own row itself"):
        NGCF(graph, NGCFConfig())
    NGCF(graph, NGCFConfig(preset="as_released"))


def test_the_preset_brings_its_operator_unless_the_recipe_names_one():
    def ui_norm(graph=None, **model):
        values = {"model": {"name": "ngcf", **model}, "graph": graph or {}}
        return Recipe.build(values).graph.ui_norm

    assert ui_norm() == "sym"
    assert ui_norm(preset="as_released") == "rw_self"
    assert ui_norm({"ui_norm": "rw"}, preset="as_released") == "rw"
