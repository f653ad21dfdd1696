import numpy as np
import pytest
import torch

from mmgraph.errors import GraphError
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.models.mm_gef import MMGEF, MMGEFConfig
from mmgraph.testing import RecommenderContract, checkerboard_dataset, checkerboard_graph, oracles
from mmgraph.testing.contract import board_batch, disturb, losses

TWO_ROW_LAYERS = {"attention": "global", "num_item_layers": 2, "graph_norm": "row"}


class TestMMGEF(RecommenderContract):
    model, options = MMGEF, {"embedding_dim": 8, "k": 3}


class TestFrozenGraph(RecommenderContract):
    model, options = MMGEF, {"embedding_dim": 8, "k": 3, "rebuild": "frozen"}


class TestGlobalAttentionTwoLayers(RecommenderContract):
    model, options = MMGEF, {"embedding_dim": 8, "k": 3, **TWO_ROW_LAYERS}


def make(graph=None, seed=0, **options):
    torch.manual_seed(seed)
    graph = checkerboard_graph() if graph is None else graph
    return MMGEF(graph, MMGEFConfig(**{"embedding_dim": 4, "k": 3, **options})).double()


def with_train(data, keep):
    train = type(data.train)(data.train.user[keep], data.train.item[keep])
    return type(data)(**{**vars(data), "train": train})


@pytest.mark.parametrize("modalities", [("text",), ("image",), ("image", "text")])
def test_any_set_of_modalities(modalities):
    data = checkerboard_dataset()
    features = {name: data.features[name] for name in modalities}
    model = make(build_graph(type(data)(**{**vars(data), "features": features}), GraphConfig(k=3)))
    losses(model, board_batch()).backward()
    assert model.user_embedding.grad.isfinite().all()


def test_without_features_it_says_so():
    data = checkerboard_dataset()
    graph = build_graph(type(data)(**{**vars(data), "features": {}}), GraphConfig(k=3))
    with pytest.raises(GraphError, match="needs item features"):
        make(graph)


def test_encode_equals_the_equations_written_out():
    """Eqs. (1)-(7) in dense float64 numpy: features, content graph, counts, attention, message, sum."""
    data = checkerboard_dataset()
    model = make(build_graph(data, GraphConfig(k=3))).eval()
    disturb(model)
    p = {name: value.detach().numpy() for name, value in model.named_parameters()}
    fused = oracles.mm_gef_projected_features(
        [f.x for f in data.features.values()],
        [f.present for f in data.features.values()],
        weights=[p[f"fusion.encoders.{m}.linear.weight"].T for m in (0, 1)],
        biases=[p[f"fusion.encoders.{m}.linear.bias"] for m in (0, 1)],
    )
    pairs = np.stack([data.train.user, data.train.item], axis=1)
    item_graph = oracles.mm_gef_item_graph(
        oracles.mm_gef_content_graph(fused, k=3),
        oracles.mm_gef_cointeraction_graph(pairs, num_users=12, num_items=12),
        weight=p["edge_fusion.weight"],
        bias=p["edge_fusion.bias"],
    )
    tables = (p["user_embedding"], p["item_embedding"])
    expected = oracles.mm_gef(*tables, pairs, item_graph=item_graph, num_layers=2)
    for found, dense in zip(model.encode(), expected, strict=True):
        np.testing.assert_allclose(found.detach(), dense, atol=1e-6)


def test_content_graph_keeps_k_with_itself_at_one():
    model = make(use_cointeraction=False)
    graph = model.item_graph()
    source, target = graph.edge_index
    assert torch.bincount(target, minlength=12).tolist() == [3] * 12
    own = graph.content[source == target]
    torch.testing.assert_close(own, torch.ones(12).double(), rtol=0, atol=1e-6)


def test_exclude_self_cuts_a_cold_items_own_row_out_of_its_message():
    data = checkerboard_dataset()
    graph = build_graph(with_train(data, data.train.item != 5), GraphConfig(k=3))
    model = make(graph, exclude_self=True, num_layers=0).eval()
    message = model.encode().item[5] - model.item_embedding[5]
    (jacobian,) = torch.autograd.grad(message.sum(), model.item_embedding)
    assert not jacobian[5].any()
    assert jacobian.any()


def test_no_user_with_two_items_equals_the_ablation_without_counts():
    data = checkerboard_dataset()
    _, first = np.unique(data.train.user, return_index=True)
    graph = build_graph(with_train(data, first), GraphConfig(k=3))
    full, ablated = make(graph), make(graph, use_cointeraction=False)
    ablated.load_state_dict(full.state_dict())
    everyone = torch.arange(12)
    assert torch.equal(full.eval().score(everyone), ablated.eval().score(everyone))


def test_zero_gate_scores_as_no_attention():
    gated, plain = make(), make(attention="none")
    everyone = torch.arange(12)
    torch.testing.assert_close(
        gated.eval().score(everyone), plain.eval().score(everyone), rtol=1e-12, atol=1e-12
    )


def test_one_graph_under_global_attention_equals_no_attention():
    one, plain = (
        make(attention=kind, use_cointeraction=False).eval() for kind in ("global", "none")
    )
    with torch.no_grad():
        one.edge_fusion.bias.copy_(torch.tensor([0.7, -0.4]))
    everyone = torch.arange(12)
    torch.testing.assert_close(one.score(everyone), plain.score(everyone), rtol=1e-12, atol=1e-12)


def projection_gradients(rebuild, steps=3):
    model = make(rebuild=rebuild).train()
    found = []
    for epoch in (1, 2):
        model.on_epoch(epoch)
        for _ in range(steps):
            model.zero_grad()
            losses(model, board_batch()).backward()
            weight = model.fusion.encoders[0].linear.weight
            found.append(weight.grad is not None and bool(weight.grad.any()))
    return found


def test_the_projection_learns_from_the_first_batch_of_each_epoch_only():
    assert projection_gradients("epoch_first_batch") == [True, False, False] * 2
    assert projection_gradients("every_batch") == [True] * 6


def test_a_frozen_graph_has_no_projection():
    names = [name for name, _ in make(rebuild="frozen").named_parameters()]
    assert not [name for name in names if name.startswith("fusion.")]


def test_graph_k_is_the_models_k():
    from mmgraph.config import Recipe

    recipe = Recipe.build({"model": {"name": "mm_gef"}, "graph": {"k": 7}})
    assert (recipe.graph.k, recipe.model.k) == (7, 7)


def test_several_item_layers_need_a_norm():
    with pytest.raises(ValueError, match="graph_norm"):
        MMGEFConfig(num_item_layers=2)


def test_a_dense_cointeraction_graph_is_pointed_out(monkeypatch, caplog):
    monkeypatch.setattr("mmgraph.models.mm_gef._MANY_EDGES", 0)
    make()
    assert not caplog.records  # five an item
    data = checkerboard_dataset(120)
    make(build_graph(data, GraphConfig(k=3)))
    assert "graph.co_item_top_k keeps the strongest" in caplog.text
