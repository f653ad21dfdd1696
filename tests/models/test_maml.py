"""MAML against the equations pair by pair, its metric without attention, its presets, and a whole run."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mmgraph.data import ModalityFeatures
from mmgraph.errors import ConfigError, GraphError
from mmgraph.experiment import evaluate, train
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.models.backbone import WrapperConfig
from mmgraph.models.batch import Batch
from mmgraph.models.maml import MAML, MAMLConfig
from mmgraph.nn import normalize_rows
from mmgraph.testing import RecommenderContract, checkerboard_dataset, checkerboard_graph, oracles
from mmgraph.testing.contract import board_batch, disturb
from mmgraph.training import CheckpointStore, PairwiseSampler, TrainingConfig, fit

EVERYONE = torch.arange(12)
BATCH = Batch(
    torch.tensor([0, 1, 3, 3]),
    torch.tensor([2, 3, 5, 9]),
    torch.tensor([[1, 5], [0, 4], [4, 4], [2, 1]]),
)


class TestMAML(RecommenderContract):
    model, options = MAML, {"embedding_dim": 8, "hidden_dim": 16}


class TestAsReleased(RecommenderContract):
    model = MAML
    options: ClassVar = {"embedding_dim": 8, "hidden_dim": 16, "preset": "as_released"}


class TestOneNegative(RecommenderContract):
    model = MAML
    options: ClassVar = {
        "embedding_dim": 8,
        "hidden_dim": 16,
        "num_negatives": 1,
        "unit_features": False,
        "dropout": 0.0,
        "attention_dropout": 0.0,
    }
    training: ClassVar = {"max_epochs": 120, "learning_rate": 0.02, "batch_size": 16}


def board(features: Mapping[str, tuple[np.ndarray, np.ndarray]]):
    """The checkerboard with other features: matrix and presence by name."""
    data = checkerboard_dataset()
    table = {
        name: ModalityFeatures(name, x.astype(np.float32), has, {})
        for name, (x, has) in features.items()
    }
    return build_graph(type(data)(**{**vars(data), "features": table}), GraphConfig(edges=()))


def modalities(*names: str):
    """Draw features of several widths; items lack some, and the second one all."""
    numbers = np.random.default_rng(len(names))
    drawn = {}
    for width, name in enumerate(names, start=2):
        has = numbers.random(12) < 0.7
        has[0], has[1] = True, False
        drawn[name] = np.where(has[:, None], numbers.normal(size=(12, width)), 0), has
    return drawn


def make(graph=None, *, moved=True, **options):
    torch.manual_seed(0)
    graph = checkerboard_graph() if graph is None else graph
    model = MAML(graph, MAMLConfig(**{"embedding_dim": 4, "hidden_dim": 6, **options})).double()
    if moved:
        disturb(model)
    return model


def points_of(model, graph):
    """Return users, items and projected features, the latter item by item from the parameters."""
    p = {name: value.detach().numpy() for name, value in model.named_parameters()}
    names = model.content.first.names
    first = [p[f"content.first.encoders.{m}.linear.weight"] for m in range(len(names))]
    layers = [(np.concatenate(first, axis=1), p["content.bias"])]
    for layer in ("middle.0", "middle.1", "last"):
        layers.append((p[f"content.{layer}.weight"], p[f"content.{layer}.bias"]))
    content = np.zeros((12, 4))
    for i in range(12):
        rows = [graph["item"][f"x_{name}"][i] for name in names]
        if model.config.unit_features:
            rows = [normalize_rows(row) for row in rows]
        if any(graph["item"][f"has_{name}"][i] for name in names):
            radius = model.config.max_norm
            content[i] = oracles.maml_projection(rows, layers, max_norm=radius)
    return p["user_embedding"], p["item_embedding"], content


def distances_of(model, graph):
    """Return the distance of every pair, one by one."""
    user, item, content = points_of(model, graph)
    p = {name: value.detach().numpy() for name, value in model.named_parameters()}
    hidden, output = (
        (p[f"attention.{layer}.weight"], p[f"attention.{layer}.bias"])
        for layer in ("hidden", "output")
    )
    distances = np.zeros((12, 12))
    for u in range(12):
        for i in range(12):
            weights = oracles.maml_attention(user[u], item[i], content[i], hidden, output)
            distances[u, i] = oracles.maml_distance(user[u], item[i], weights)
    return distances


@pytest.mark.parametrize("unit_features", [True, False])
@pytest.mark.parametrize("names", [("a",), ("image", "text"), ("a", "b", "c")])
def test_scores_equal_the_equations_pair_by_pair(names, unit_features) -> None:
    graph = board(modalities(*names))
    model = make(graph, unit_features=unit_features).eval()
    expected = distances_of(model, graph)
    with torch.no_grad():
        found = model.score(EVERYONE)
        assert torch.equal(model.score(EVERYONE, model.encode()), found)
    # Lengths of rows are found in float32.
    np.testing.assert_allclose(found, -expected, rtol=1e-5)
    assert model.retrieval_embeddings() is None
    assert torch.equal(model.item_vectors(), model.item_embedding)


@pytest.mark.parametrize("preset", ["paper", "as_released"])
@pytest.mark.parametrize("names", [("a",), ("image", "text"), ("a", "b", "c")])
def test_losses_are_those_of_the_equations(names, preset) -> None:
    graph = board(modalities(*names))
    model = make(graph, preset=preset, margin=0.9).eval()
    distances, terms = distances_of(model, graph), model.losses(BATCH)
    user, item, content = points_of(model, graph)
    u, i, k = (x.numpy() for x in BATCH[:3])
    hinge = oracles.maml_hinge(distances[u, i], distances[u[:, None], k], margin=0.9, num_items=12)
    assert terms["hinge"].item() == pytest.approx(hinge, rel=1e-5)
    apart = ((item - content) ** 2).sum(axis=1)
    has = np.stack([graph["item"][f"has_{name}"] for name in names]).any(axis=0)
    covariance = oracles.maml_covariance(
        np.concatenate([item, user]), signed=preset == "as_released"
    )
    if preset == "as_released":
        feature, covariance = apart[has].sum() / 4, covariance / 4
    else:
        items = np.unique(np.concatenate([i, k.ravel()]))
        assert 1 in items  # which has no features
        feature = apart[items][has[items]].mean()
    assert terms["feature"].item() == pytest.approx(feature, rel=1e-5)
    assert terms["covariance"].item() == pytest.approx(covariance, rel=1e-12)
    assert model.stages[0].loss_weights == {"feature": 5.0, "covariance": 5.0}


def test_terms_without_a_weight_are_left_out() -> None:
    model = make(feature_weight=0.0, covariance_weight=0.0)
    assert set(model.losses(BATCH)) == {"hinge"}


def test_equal_attention_is_collaborative_metric_learning() -> None:
    """Then one inner product ranks: of [2 p, 1] and [q, -|q|^2]."""
    model = make().eval()
    with torch.no_grad():
        model.attention.output.weight.zero_()
        model.attention.output.bias.fill_(-1.0)
        user, item = model.user_embedding, model.item_embedding
        found = model.score(EVERYONE)
        torch.testing.assert_close(found, -torch.cdist(user, item).square(), rtol=1e-10, atol=1e-12)
        folded = torch.cat([2 * user, torch.ones(12, 1)], dim=1)
        folded = folded @ torch.cat([item, -item.square().sum(dim=1, keepdim=True)], dim=1).T
    assert torch.equal(found.argsort(dim=1), folded.argsort(dim=1))
    terms = model.losses(BATCH)
    plain = -found.numpy()
    u, i, k = (x.numpy() for x in BATCH[:3])
    hinge = oracles.maml_hinge(plain[u, i], plain[u[:, None], k], margin=1.6, num_items=12)
    assert terms["hinge"].item() == pytest.approx(hinge, rel=1e-12)


def test_points_start_at_their_features_or_anywhere_without_any() -> None:
    model = make(board(modalities("text", "image")), moved=False).eval()
    has, content = model.content.has(), model.content()
    assert has.tolist().count(False) >= 1
    torch.testing.assert_close(model.item_embedding[has], content[has], rtol=1e-6, atol=1e-7)
    assert not content[~has].any()
    assert model.item_embedding[~has].norm(dim=1).min() > 0.1
    assert model.user_embedding.norm(dim=1).max() <= 1 + 1e-6
    assert make().training


def board_sampler(num_negatives):
    train_part = checkerboard_dataset().train
    user, item = torch.from_numpy(train_part.user), torch.from_numpy(train_part.item)
    return PairwiseSampler(user, item, num_items=12, num_negatives=num_negatives)


def learn(model, epochs=2, rate=0.5):
    config = TrainingConfig(max_epochs=epochs, batch_size=16, learning_rate=rate)
    sampler = board_sampler(model.num_negatives)
    fit(model, sampler, config=config, seed=1, validate=None, select_by="recall@20")


@pytest.mark.parametrize("max_norm", [0.5, 1.0])
def test_no_point_is_outside_of_the_ball_after_a_step(max_norm, monkeypatch) -> None:
    lengths, project = [], MAML.after_step

    def watched(self):
        before = self.user_embedding.norm(dim=1).max().item()
        project(self)
        rows = torch.cat([self.user_embedding, self.item_embedding])
        lengths.append((before, rows.norm(dim=1).max().item()))

    model = make(max_norm=max_norm).float()
    monkeypatch.setattr(MAML, "after_step", watched)
    learn(model)
    before, after = zip(*lengths, strict=True)
    assert len(after) == 2 * 4
    assert max(before) > max_norm + 0.1
    assert max(after) <= max_norm + 1e-6


def test_as_released_the_points_alone_learn() -> None:
    model = make(preset="as_released")
    start = {name: value.clone() for name, value in model.state_dict().items()}
    learn(model)
    same = {name for name, value in model.state_dict().items() if torch.equal(value, start[name])}
    assert set(start) - same == {"user_embedding", "item_embedding"}
    torch.testing.assert_close(model.train().losses(BATCH), model.eval().losses(BATCH))
    paper = make()
    learn(paper)
    assert not any(torch.equal(value, start[name]) for name, value in paper.state_dict().items())


def test_only_items_of_the_batch_are_projected_each_once() -> None:
    model, seen = make(), []
    for encoder in model.content.first.encoders:
        encoder.register_forward_pre_hook(lambda module, given: seen.append(len(given[1])))
    model.losses(BATCH)
    assert seen == [7, 7]


def test_a_single_negative_may_come_as_a_column_or_as_none() -> None:
    model = make().eval()
    flat = board_batch()
    column = flat._replace(negative=flat.negative[:, None])
    for name, value in model.losses(flat).items():
        assert torch.equal(model.losses(column)[name], value)


def test_without_features_it_says_so() -> None:
    with pytest.raises(GraphError, match="maml needs item features"):
        make(board({}))


def test_it_cannot_be_wrapped() -> None:
    with pytest.raises(ConfigError, match=r"model.backbone must .*\(got 'maml'"):
        WrapperConfig.check_backbone(MAML)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_negatives": 0}, "num_negatives"),
        ({"margin": -1.0}, "margin"),
        ({"max_norm": 0.0}, "max_norm"),
        ({"dropout": 1.0}, "dropout"),
        ({"preset": "released"}, "preset"),
        ({"feature_weight": float("inf")}, "feature_weight"),
    ],
)
def test_bad_options_are_refused(options, message) -> None:
    with pytest.raises(ValidationError, match=message):
        MAMLConfig(**options)


@pytest.mark.cuda
def test_a_device_gives_the_same_numbers() -> None:
    graph = board(modalities("text", "image"))
    model = make(graph).eval()
    scores, terms = model.score(EVERYONE), model.losses(BATCH)
    model.cuda()
    on_device = Batch(*(x.cuda() for x in BATCH[:3]))
    torch.testing.assert_close(model.score(EVERYONE.cuda()).cpu(), scores, rtol=1e-9, atol=1e-12)
    for name, value in model.losses(on_device).items():
        torch.testing.assert_close(value.cpu(), terms[name], rtol=1e-9, atol=1e-12)


def test_an_interrupted_training_goes_on_with_the_same_bits(tmp_path) -> None:
    class Stopped(Exception):
        pass

    def stop(report):
        if report.epoch == 2:
            raise Stopped

    config = TrainingConfig(max_epochs=3, batch_size=16, checkpoint_seconds=0)
    common = {"config": config, "seed": 1, "validate": None, "select_by": "recall@20"}
    whole, broken, again = (make() for _ in range(3))
    torch.manual_seed(3)
    fit(whole, board_sampler(4), **common)
    store = CheckpointStore(tmp_path)
    torch.manual_seed(3)
    with pytest.raises(Stopped):
        fit(broken, board_sampler(4), **common, checkpoints=store, on_epoch=stop)
    assert store.latest() is not None
    torch.manual_seed(4)
    fit(again, board_sampler(4), **common, checkpoints=store)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in whole.state_dict().items())


def test_a_run_samples_several_negatives_and_ranks_with_the_model(tmp_path, monkeypatch) -> None:
    widths, own = set(), MAML.losses

    def watched(self, batch):
        widths.add(tuple(batch.negative.shape[1:]))
        return own(self, batch)

    monkeypatch.setattr(MAML, "losses", watched)
    data = checkerboard_dataset()
    keys = ["model.embedding_dim=4", "model.num_negatives=3", "training.max_epochs=2"]
    run = train("maml", data, overrides=keys, out=tmp_path / "run")
    run.__dict__["dataset"] = data  # made, not read: a run cannot find it by its name
    assert widths == {(3,)}
    assert not (run.path / "embeddings.safetensors").exists()
    assert evaluate(run).mean == pytest.approx(run.metrics["test"], rel=1e-12)
    with torch.no_grad():
        scores = run.model.score(torch.tensor([3]))[0]
    known = torch.from_numpy(data.train.item[data.train.user == 3])
    order = [i for i in scores.argsort(descending=True).tolist() if i not in known.tolist()]
    best = run.recommend("3", k=7)
    assert [int(line.item) for line in best] == order
    assert best[0].score == pytest.approx(scores[order[0]].item(), rel=1e-6)
