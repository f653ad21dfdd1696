from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from mmgraph.errors import GraphError
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.models.mm_gef import MMGEF, MMGEFConfig
from mmgraph.testing import RecommenderContract, checkerboard_dataset, checkerboard_graph, oracles
from mmgraph.testing.contract import board_batch, disturb, losses

ATTENTION = ["item_layers.attention.weight", "item_layers.attention.bias"]
TWO_ROW_LAYERS = {"attention": "global", "num_item_layers": 2, "graph_norm": "row"}


class TestMMGEF(RecommenderContract):
    model, options = MMGEF, {"embedding_dim": 8, "k": 3}


class TestFrozenGraph(RecommenderContract):
    model, options = MMGEF, {"embedding_dim": 8, "k": 3, "rebuild": "frozen"}


class TestGlobalAttentionTwoLayers(RecommenderContract):
    model, options = MMGEF, {"embedding_dim": 8, "k": 3, **TWO_ROW_LAYERS}


class TestNeighbourAttentionOnAMix(RecommenderContract):
    model = MMGEF
    options: ClassVar = {
        "embedding_dim": 8,
        "k": 3,
        "attention": "neighbour",
        "skip": 0.5,
        "fusion": "concat",
    }


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


def board(data=None, *, widths_agree=False, without_item=None, **options):
    """Return the checkerboard and its graph, with modalities of one width or an item that nobody has, if so asked."""
    data = checkerboard_dataset() if data is None else data
    if widths_agree:
        text = data.features["text"]
        wide = np.concatenate([text.x, text.x[:, :1] ** 2], axis=1)
        data.features["text"] = type(text)("text", wide, text.present, {})
    if without_item is not None:
        data = with_train(data, data.train.item != without_item)
    return data, build_graph(data, GraphConfig(**{"k": 3, **options}))


def dense_features(model, data, *, projected):
    """The fused features by the oracles, with the model's weights."""
    config = model.config
    given = ([f.x for f in data.features.values()], [f.present for f in data.features.values()])
    p = {name: value.detach().numpy() for name, value in model.named_parameters()}
    names = [n for n in p if n.startswith("fusion.encoders.")] if projected else []
    weights = [p[n].T for n in names if n.endswith("weight")]
    biases = [p[n] for n in names if n.endswith("bias")]
    unit = config.unit_features
    if len({x.shape[1] for x in given[0]}) == 1 and config.fusion in ("auto", "mean"):
        one = {"weight": weights[0], "bias": biases[0]} if projected else {}
        return oracles.mm_gef_features(*given, unit=unit, **one)
    if projected and config.fusion != "concat":
        return oracles.mm_gef_projected_features(*given, weights=weights, biases=biases, unit=unit)
    side = oracles.mm_gef_features_side_by_side(*given, unit=unit)
    return side @ weights[0] + biases[0] if projected else side


def dense(model, data, *, co_normalize="max", ui_norm="sym"):
    """Eqs. (1)-(7) in dense float64 numpy: features, content graph, counts, attention, message, sum."""
    config = model.config
    p = {name: value.detach().numpy() for name, value in model.named_parameters()}
    frozen = config.rebuild == "frozen" or config.graph_features == "raw"
    skip = 1.0 if frozen else config.skip
    parts = {True: 1 - skip, False: skip}
    content = sum(
        share
        * oracles.mm_gef_content_graph(
            dense_features(model, data, projected=projected),
            k=3,
            include_self=not config.exclude_self,
        )
        for projected, share in parts.items()
        if share
    )
    pairs = np.stack([data.train.user, data.train.item], axis=1)
    counts = oracles.mm_gef_cointeraction_graph(
        pairs, num_users=12, num_items=12, norm=co_normalize
    )
    counts = counts * config.use_cointeraction
    attention = {n.rpartition(".")[2]: x for n, x in p.items() if ".attention." in n}
    if config.attention == "neighbour":
        graph = oracles.mm_gef_neighbour_attention(content, counts, **attention)
    else:
        graph = oracles.mm_gef_item_graph(content, counts, **attention)
    return oracles.mm_gef(
        p["user_embedding"],
        p["item_embedding"],
        pairs,
        item_graph=oracles.normalized_graph(graph, norm=config.graph_norm),
        num_layers=2,
        num_item_layers=config.num_item_layers,
        ui_norm=ui_norm,
        cold_id_scale=config.cold_id_scale,
    )


@pytest.mark.parametrize("widths_agree", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"fusion": "projected_mean"},
        {"fusion": "concat"},
        {"unit_features": False},
        {"unit_features": False, "fusion": "concat", "skip": 0.25},
        {"graph_features": "raw"},
        {"rebuild": "frozen", "fusion": "concat"},
        {"rebuild": "every_batch", "skip": 0.9},
        {"skip": 1.0},
        {"attention": "global"},
        {"attention": "none"},
        {"attention": "neighbour"},
        {"attention": "neighbour", "skip": 0.4, "exclude_self": True},
        {"use_cointeraction": False},
        {"use_cointeraction": False, "attention": "none"},
        TWO_ROW_LAYERS,
        {"num_item_layers": 3, "graph_norm": "sym"},
    ],
    ids=str,
)
def test_encode_equals_the_equations_written_out(options, widths_agree, irregular):
    data, graph = board(irregular, widths_agree=widths_agree)
    model = make(graph, **options).eval()
    disturb(model)
    for found, expected in zip(model.encode(), dense(model, data), strict=True):
        np.testing.assert_allclose(found.detach(), expected, atol=1e-6)


@pytest.mark.parametrize("reg_rows", ["final", "ego"])
def test_losses_are_those_of_the_equations(reg_rows, irregular):
    data, graph = board(irregular)
    model, batch = make(graph, reg_weight=0.1, reg_rows=reg_rows).train(), board_batch()
    disturb(model)
    tables = {"final": dense(model, data), "ego": [x.detach().numpy() for x in model.ego]}
    rows = {
        name: (user[batch.user], item[batch.positive], item[batch.negative])
        for name, (user, item) in tables.items()
    }
    user, positive, negative = rows["final"]
    expected = oracles.bpr((user * positive).sum(axis=1), (user * negative).sum(axis=1))
    terms = model.losses(batch)
    assert terms["bpr"].item() == pytest.approx(expected, rel=1e-5)
    expected = oracles.half_squared_penalty(rows[reg_rows])
    assert terms["reg"].item() == pytest.approx(expected, rel=1e-5)
    assert set(terms) == {"bpr", "reg"}


def test_an_epoch_keeps_its_graph_and_evaluation_follows_the_parameters(irregular):
    x = np.random.default_rng(0).normal(size=(12, 6)).astype(np.float32)
    text = replace(irregular.features["text"], x=x)  # the board's features are alike under any map
    data, graph = board(replace(irregular, features={"text": text}))
    model, batch = make(graph).train(), board_batch()
    disturb(model)
    model.on_epoch(1)
    first = model.batch_rows(batch)
    with torch.no_grad():
        for parameter in model.fusion.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(3))
    for _ in range(2):
        for found, expected in zip(model.batch_rows(batch), first, strict=True):
            assert torch.equal(found, expected)
    user, item = dense(model, data)
    assert not np.allclose(item[batch.positive], first.positive.detach(), atol=1e-3)
    np.testing.assert_allclose(model.encode().item.detach(), item, atol=1e-6)
    model.on_epoch(2)
    found = model.batch_rows(batch)
    np.testing.assert_allclose(found.positive.detach(), item[batch.positive], atol=1e-6)
    np.testing.assert_allclose(found.user.detach(), user[batch.user], atol=1e-6)


@pytest.mark.parametrize("co_normalize", ["max", "row_max", "sym"])
@pytest.mark.parametrize("ui_norm", ["sym", "rw_self"])
@pytest.mark.parametrize("cold_id_scale", [1.0, 0.0, 0.5])
def test_norms_and_cold_items_equal_the_equations(co_normalize, ui_norm, cold_id_scale, irregular):
    norms = {"co_normalize": co_normalize, "ui_norm": ui_norm}
    data, graph = board(irregular, without_item=5, **norms)
    model = make(graph, exclude_self=True, cold_id_scale=cold_id_scale).eval()
    disturb(model)
    for found, expected in zip(model.encode(), dense(model, data, **norms), strict=True):
        np.testing.assert_allclose(found.detach(), expected, atol=1e-6)


def test_a_cold_item_keeps_its_row_under_lattices_operator_and_a_third_of_it_under_lightgcns():
    for ui_norm, share in (("rw_self", 1.0), ("sym", 1 / 3)):
        _, graph = board(without_item=5, ui_norm=ui_norm)
        model = make(graph).eval()
        _, item = model.propagation(*model.ego)
        torch.testing.assert_close(item[5], share * model.item_embedding[5])


def test_the_scale_of_cold_rows_is_not_for_training():
    _, graph = board(without_item=5)
    plain, scaled = make(graph), make(graph, cold_id_scale=0.0)
    batch = board_batch()._replace(negative=torch.full((8,), 5))
    assert torch.equal(losses(plain, batch), losses(scaled, batch))
    warm = torch.arange(12) != 5
    one, other = (model.eval().encode().item for model in (plain, scaled))
    assert torch.equal(one[warm], other[warm])
    assert not torch.allclose(one[5], other[5])


@pytest.mark.parametrize("change", [{"graph_features": "raw"}, {"rebuild": "frozen"}])
def test_raw_features_leave_no_projection_to_learn(change):
    names = [name for name, _ in make(**change).named_parameters()]
    assert names == ["user_embedding", "item_embedding", *ATTENTION]


def test_counts_are_symmetric_without_a_diagonal_and_at_most_one():
    model = make()
    graph = model.item_graph()
    counts = torch.zeros(12, 12).double()
    counts[graph.edge_index[1], graph.edge_index[0]] = graph.cointeraction
    assert torch.equal(counts, counts.T)
    assert not counts.diagonal().any()
    assert counts.max() == 1


def test_scaling_a_row_of_the_fused_graph_changes_nothing_with_one_layer():
    model = make(attention="none").eval()
    graph = model.item_graph()
    factor = torch.linspace(0.1, 30, 12).double()[graph.edge_index[1]]
    scaled = graph._replace(
        content=graph.content * factor, cointeraction=graph.cointeraction * factor
    )
    messages = [model.item_layers(model.item_embedding, g) for g in (graph, scaled)]
    torch.testing.assert_close(*messages, rtol=1e-13, atol=1e-13)


def test_interactions_of_an_item_reach_only_its_own_counts():
    whole, less = (
        board(without_item=item, co_normalize="none")[1]["item", "co_interacts", "item"]
        for item in (None, 5)
    )
    tables = [torch.zeros(12, 12), torch.zeros(12, 12)]
    for table, edges in zip(tables, (whole, less), strict=True):
        table[edges.edge_index[1], edges.edge_index[0]] = edges.edge_weight
    others = torch.arange(12) != 5
    assert torch.equal(tables[0][others][:, others], tables[1][others][:, others])
    assert tables[0][5].any()
    assert not tables[1][5].any()


@pytest.mark.parametrize("label", MMGEF.ablations)
def test_ablations_build_and_differ_from_the_full_model(label):
    options = {key.removeprefix("model."): value for key, value in MMGEF.ablations[label].items()}
    full, ablated = make(), make(**options)
    assert bool(MMGEF.edges_for(ablated.config)) == ("CF" not in label)
    learns = [name for name, _ in ablated.named_parameters() if ".attention." in name]
    assert bool(learns) == ("Att" not in label)
    disturb(full), disturb(ablated)
    everyone = torch.arange(12)
    assert not torch.allclose(full.eval().score(everyone), ablated.eval().score(everyone))


def test_without_counts_the_two_rows_of_the_ablation_differ():
    one, other = (make(use_cointeraction=False, attention=kind) for kind in ("edge", "none"))
    disturb(one), disturb(other)
    everyone = torch.arange(12)
    assert not torch.allclose(one.eval().score(everyone), other.eval().score(everyone))


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
        one.item_layers.attention.bias.copy_(torch.tensor([0.7, -0.4]))
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


def test_graph_k_is_the_models_k():
    from mmgraph.config import Recipe

    recipe = Recipe.build({"model": {"name": "mm_gef"}, "graph": {"k": 7}})
    assert (recipe.graph.k, recipe.model.k) == (7, 7)


def test_several_item_layers_need_a_norm():
    with pytest.raises(ValueError, match="graph_norm"):
        MMGEFConfig(num_item_layers=2)


def test_a_dense_cointeraction_graph_is_pointed_out(monkeypatch, caplog):
    monkeypatch.setattr("mmgraph.nn.fused_items._MANY_EDGES", 0)
    make()
    assert not caplog.records  # five an item
    data = checkerboard_dataset(120)
    make(build_graph(data, GraphConfig(k=3)))
    assert "graph.co_item_top_k keeps the strongest" in caplog.text
