import numpy as np
import pytest
import torch

from mmgraph.config import Recipe
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.models.inputs import user_item_adjacency
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


@pytest.mark.parametrize(("preset", "ui_norm"), [("paper", "sym"), ("as_released", "rw_self")])
@pytest.mark.parametrize("num_layers", [0, 1, 3])
def test_encode_equals_the_dense_equations(preset, ui_norm, num_layers):
    graph = build_graph(checkerboard_dataset(), GraphConfig(edges=(), ui_norm=ui_norm))
    model = make(graph, preset=preset, num_layers=num_layers).eval()
    dense = user_item_adjacency(graph).to_dense().double()
    rows = torch.cat([model.user_embedding, model.item_embedding]).detach().numpy()
    expected = [rows]
    for layer in model.layers:
        p = {name: value.detach().numpy() for name, value in layer.named_parameters()}
        biases = (p["of_sum.bias"], p["of_product.bias"]) if preset == "as_released" else None
        weights = p["of_sum.weight"].T, p["of_product.weight"].T
        rows = oracles.ngcf_layer(rows, dense, weights=weights, biases=biases)
        expected.append(oracles.unit_rows(rows))
    found = torch.cat(model.encode()).detach()
    assert found.shape == (24, 4 * (num_layers + 1))
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1), rtol=1e-9, atol=1e-11)


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


def test_dropout_is_of_training_only_and_follows_the_seed():
    model = make(message_dropout=0.5, node_dropout=0.5)
    batch = board_batch()
    values = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        values.append(model.train().losses(batch)["bpr"].item())
    assert values[0] == values[2] != values[1]
    still = model.eval().losses(batch)["bpr"].item()
    assert still == make(message_dropout=0.0).eval().losses(batch)["bpr"].item()


def test_the_preset_brings_its_operator_unless_the_recipe_names_one():
    def operator(graph=None, **model):
        values = {"model": {"name": "ngcf", **model}, "graph": graph or {}}
        return Recipe.build(values).graph.ui_norm

    assert operator() == "sym"
    assert operator(preset="as_released") == "rw_self"
    assert operator({"ui_norm": "rw"}, preset="as_released") == "rw"
