import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mmgraph.config import Recipe
from mmgraph.errors import ConfigError, GraphError
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.graph.schema import knn_edge_type, modalities_of
from mmgraph.models.batch import Batch
from mmgraph.models.cm3 import CM3, CM3Config
from mmgraph.nn import normalize_rows, uniformity_loss
from mmgraph.testing import RecommenderContract, checkerboard_dataset, oracles
from mmgraph.testing.contract import board_batch, disturb, losses

SMALL = {"embedding_dim": 4, "hidden_dim": 8}
OPTIONS = {"embedding_dim": 8, "hidden_dim": 16}
# Items 4 and 6 are like each other, and item 0 has no image.
BATCH = Batch(torch.tensor([1, 3, 3, 5]), torch.tensor([3, 5, 7, 7]), torch.tensor([4, 6, 0, 4]))


class HeldCM3(CM3):
    """CM3 whose similarities stay those of its first losses, as they do for a gradient."""

    held = None

    def _similarity(self, content, items):
        if self.held is None:
            self.held = super()._similarity(content, items)
        return self.held


class TestCM3(RecommenderContract):
    model, options = CM3, OPTIONS


class TestOnTheSphere(RecommenderContract):
    model, options = CM3, {**OPTIONS, "score_norm": True}


class TestSpreadPositives(RecommenderContract):
    model, options = CM3, {**OPTIONS, "uniform_items": "positive", "num_layers": 1}


class TestConstantSimilarities(RecommenderContract):
    model, options = CM3, {**OPTIONS, "detach_sim": True}

    def test_gradients_equal_finite_differences(self):
        """Slopes are of the loss as its gradient sees it: similarities are constants."""
        held = {"model": HeldCM3, "options": self.options}
        type("Held", (RecommenderContract,), held)().test_gradients_equal_finite_differences()


def board(*modalities, **options):
    data = checkerboard_dataset()
    features = {name: data.features[name] for name in modalities if name != "audio"}
    if "audio" in modalities:
        text = data.features["text"]
        present = text.present.copy()
        present[[0, 5]] = False  # item 0 has the text only
        features["audio"] = type(text)("audio", text.x[:, ::-1] * present[:, None], present, {})
    config = GraphConfig(**{"k": 3, "include_self": True, **options})
    return build_graph(type(data)(**{**vars(data), "features": features}), config)


def make(graph=None, **options):
    torch.manual_seed(0)
    graph = board("text", "image") if graph is None else graph
    model = CM3(graph, CM3Config(**{**SMALL, **options})).double()
    disturb(model)
    return model


def train_pairs():
    train = checkerboard_dataset().train
    return np.stack([train.user, train.item], axis=1)


def neighbours(graph, name):
    source, target = graph[knn_edge_type(name)].edge_index.tolist()
    return [[s for s, t in zip(source, target, strict=True) if t == item] for item in range(12)]


def projected(model, graph):
    vectors = []
    for layer, name in zip(model.projections, modalities_of(graph), strict=True):
        x, has = graph["item"][f"x_{name}"].double(), graph["item"][f"has_{name}"]
        vectors.append((layer(x) * has[:, None]).detach())
    return vectors


def dense(model, graph, places):
    names = modalities_of(graph)
    mixed = oracles.cm3_mix(projected(model, graph), places)
    content = [rows.detach() for rows in model.gcn.content().values()]
    shares = [1 / len(names)] * len(names)
    user, item = oracles.dragon(
        model.gcn.user_preference.detach().split(4, dim=1),
        [*content, mixed],
        oracles.margo_weights(model.user_logits.detach()),
        train_pairs(),
        user_graph=np.zeros((12, 12)),
        item_graph=oracles.freedom_item_graph([neighbours(graph, n) for n in names], shares),
        num_layers=model.config.num_layers,
    )
    return user, item, mixed


@pytest.mark.parametrize("modalities", [("text",), ("text", "image"), ("text", "image", "audio")])
@pytest.mark.parametrize("num_layers", [0, 3])
def test_encode_equals_the_dense_equations(modalities, num_layers):
    graph = board(*modalities)
    model = make(graph, num_layers=num_layers).eval()
    expected = dense(model, graph, np.full(12, 0.5))
    assert expected[0].shape == (12, 4 * (len(modalities) + 1))
    for found, wanted in zip(model.encode(), expected[:2], strict=True):
        np.testing.assert_allclose(found.detach(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("modalities", [("text",), ("image",), ("text", "image", "audio")])
def test_any_set_of_modalities_learns(modalities):
    model = make(board(*modalities)).train()
    losses(model, board_batch()).backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # One projection alone is its own mixture, whatever its length, and learns by its direction.
    assert idle == []
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_without_features_it_says_so():
    with pytest.raises(GraphError, match="needs item features"):
        make(board())


@pytest.mark.parametrize("uniform_items", ["negative", "positive"])
def test_losses_equal_the_equations(uniform_items):
    graph = board("text", "image")
    model = make(graph, min_sim=0.1, max_sim=0.8, uniform_items=uniform_items).eval()
    user, item, mixed = dense(model, graph, np.full(12, 0.5))
    user, item = oracles.unit_rows(user), oracles.unit_rows(item)
    chosen = getattr(BATCH, uniform_items)
    similarity = np.clip(mixed[chosen] @ mixed[chosen].T, 0.1, 0.8)
    expected = {
        "align": oracles.cm3_alignment(user[BATCH.user], item[BATCH.positive]),
        "uniform_user": oracles.cm3_uniformity(user[BATCH.user]),
        "uniform_item": oracles.cm3_uniformity(item[chosen], similarity),
    }
    terms = {name: term.item() for name, term in model.losses(BATCH).items()}
    assert terms == pytest.approx(expected, rel=1e-5)
    weights = {"uniform_user": 0.25, "uniform_item": 0.25, "reg": 0.0}
    assert model.stages[0].loss_weights == weights


def test_a_penalty_if_it_is_asked_for():
    model = make(reg_weight=0.1).eval()
    expected = oracles.mean_squared_penalty([x.detach() for x in model.encode()])
    assert model.losses(BATCH)["reg"].item() == pytest.approx(expected, rel=1e-12)


def test_the_mixture_is_random_in_training_and_half_way_else():
    graph = board("text", "image")
    model, drawn = make(graph).train(), []
    model.mix.register_forward_hook(lambda module, given, made: drawn.append(made.detach()))
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        model.losses(BATCH)
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])
    model.eval().encode()
    half = oracles.cm3_mix(projected(model, graph), np.full(12, 0.5))
    np.testing.assert_allclose(drawn[3], half, rtol=0, atol=1e-6)


def test_an_item_without_any_modality_is_like_no_other():
    graph = board("image")
    model = make(graph).eval()
    _, mixed = model._state()
    assert not mixed[0].any()
    similarity = model._similarity(mixed, torch.arange(12))
    assert not similarity[0].any()


def test_similarities_that_are_constants_pass_no_gradient():
    """Beside a run in which they are replaced by their values: the projections learn through their block alone."""
    model = make(detach_sim=True).eval()
    model.losses(BATCH)["uniform_item"].backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    final, mixed = model._state()
    values = model._similarity(mixed, BATCH.negative).detach().clone()
    uniformity_loss(normalize_rows(final.item[BATCH.negative]), values).backward()
    for name, gradient in found.items():
        expected = model.get_parameter(name).grad
        torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-14)
    assert found["projections.0.weight"].any()
    free = make().eval()
    free.losses(BATCH)["uniform_item"].backward()
    assert not torch.allclose(free.projections[0].weight.grad, found["projections.0.weight"])


def test_similarities_that_learn_grow_and_constants_do_not():
    """The loss falls with every similarity: what may raise them calibrates less and less."""
    found = {}
    for detach_sim in (True, False):
        model = make(detach_sim=detach_sim, gamma=1.0).train()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(100):
            optimizer.zero_grad()
            losses(model, board_batch()).backward()
            optimizer.step()
        content = model.eval()._state()[1].detach()
        found[detach_sim] = (content @ content.T)[~torch.eye(12, dtype=torch.bool)]
    assert found[False].mean() > 0.7 > 0.4 > found[True].mean()
    assert found[False].std() < 0.5 * found[True].std()


def test_items_of_like_content_repel_each_other_less():
    """Unit rows are pushed apart by e^(2t(cos - s)): the pair (4, 6) has the larger s of its two pairs."""
    model = make().eval()
    final, mixed = model._state()
    similarity = model._similarity(mixed, torch.tensor([4, 6, 3]))
    assert similarity[0, 1] > similarity[0, 2]
    rows = normalize_rows(final.item.detach()[[4, 6, 3]])
    free, bound = (uniformity_loss(rows, s) for s in (torch.zeros(3, 3).double(), similarity))
    assert bound < free


def test_scores_on_the_sphere_are_cosines():
    plain, unit = make().eval(), make(score_norm=True).eval()
    user, item = plain.encode()
    expected = normalize_rows(user) @ normalize_rows(item).T
    torch.testing.assert_close(unit.score(torch.arange(12)), expected)
    torch.testing.assert_close(unit.losses(BATCH)["align"], plain.losses(BATCH)["align"])


def test_order_matters_for_three_modalities_and_not_for_two():
    def mixed(names, order):
        model = make(board(*names), mix_order=order).eval()
        return model._state()[1].detach()

    two, three = ("text", "image"), ("text", "image", "audio")
    torch.testing.assert_close(mixed(two, ()), mixed(two, ("image",)))
    assert torch.equal(mixed(three, ()), mixed(three, ("text", "image")))
    assert not torch.allclose(mixed(three, ()), mixed(three, ("image",)), atol=1e-3)


@pytest.mark.parametrize(
    ("order", "message"),
    [(("imag",), "did you mean 'image'|imag"), (("text", "text"), "each once .got 'text'")],
)
def test_an_order_of_something_else_is_refused(order, message):
    with pytest.raises(ConfigError, match=message):
        make(mix_order=order)


def test_clamps_that_cross_are_refused():
    with pytest.raises(ValidationError, match="min_sim must not be above max_sim"):
        CM3Config(min_sim=0.9, max_sim=0.8)


def test_a_batch_of_one_pair_can_be_learned_from():
    model = make().train()
    terms = model.losses(Batch(*torch.tensor([[1], [3], [4]])))
    assert terms["uniform_user"].item() == terms["uniform_item"].item() == 0
    sum(terms.values()).backward()
    assert model.user_logits.grad.any()


def test_the_graph_it_asks_for():
    graph = Recipe.build({"model": {"name": "cm3"}}).graph
    assert (graph.edges, graph.include_self) == (("knn",), True)


@pytest.mark.cuda
def test_a_gpu_computes_the_same():
    graph = board("text", "image", "audio")
    model, there = make(graph).eval(), make(graph).eval().to("cuda")
    batch = Batch(*(x.to("cuda") for x in BATCH[:3]))
    for name, term in model.losses(BATCH).items():
        torch.testing.assert_close(there.losses(batch)[name].cpu(), term)
    assert losses(there.train(), batch).isfinite()
