"""NBPO against the closed forms, against the criterion without noise, and around every kind of model it can teach."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mmgraph.config import Recipe
from mmgraph.data import ModalityFeatures
from mmgraph.errors import ConfigError, GraphError
from mmgraph.experiment import evaluate, train
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.models import MODELS, get_model
from mmgraph.models.backbone import WrapperConfig
from mmgraph.models.base import Recommender, Stage
from mmgraph.models.batch import Batch
from mmgraph.models.lightgcn import LightGCN
from mmgraph.models.nbpo import NBPO, NBPOConfig
from mmgraph.testing import RecommenderContract, checkerboard_dataset, checkerboard_graph, oracles
from mmgraph.testing.contract import board_batch, disturb
from mmgraph.training import PairwiseSampler
from mmgraph.training.neighbors import NeighborhoodSampler

EVERYONE = torch.arange(12)
BATCH = Batch(
    torch.tensor([0, 1, 3, 3]),
    torch.tensor([2, 3, 5, 9]),
    torch.tensor([[1, 5, 7], [0, 4, 0], [4, 8, 6], [2, 2, 2]]),
)
BACKBONES = [
    {"name": "bpr_mf", "embedding_dim": 4},
    {"name": "lightgcn", "embedding_dim": 4},
    {"name": "ngcf", "embedding_dim": 3, "num_layers": 1},
    {"name": "vbpr", "embedding_dim": 4, "content_dim": 3},
    {"name": "freedom", "embedding_dim": 4},
    {"name": "lattice", "embedding_dim": 4, "feature_dim": 4, "k": 3},
    {"name": "mm_gef", "embedding_dim": 4, "k": 3},
    {"name": "dragon", "embedding_dim": 4, "hidden_dim": 8},
]
CRITERIA = ("bpo", "exact", "surrogate", "nbpo")
LIGHTGCN = {"name": "lightgcn", "embedding_dim": 8, "num_layers": 2}
VBPR = {"name": "vbpr", "embedding_dim": 8, "content_dim": 4}
# A wider or freer table learns by heart that the diagonal was not voted for.
SMALL = {"embedding_dim": 4, "reg_weight": 0.1}


class TestExact(RecommenderContract):
    model = NBPO
    options: ClassVar = {"backbone": SMALL, "criterion": "exact", "flip_dim": 5}


class TestSurrogate(RecommenderContract):
    model = NBPO
    options: ClassVar = {"backbone": LIGHTGCN, "criterion": "surrogate", "num_negatives": 2}
    training: ClassVar = {"max_epochs": 150, "learning_rate": 0.05, "batch_size": 16}


class TestWithoutNoise(RecommenderContract):
    model = NBPO
    options: ClassVar = {"backbone": LIGHTGCN, "criterion": "bpo", "num_negatives": 1}


class TestFromFeatures(RecommenderContract):
    model = NBPO
    options: ClassVar = {"backbone": VBPR, "criterion": "exact", "flip_from": "features"}


class TestAsReleased(RecommenderContract):
    model = NBPO
    options: ClassVar = {
        "backbone": {**SMALL, "reg_weight": 0.4},
        "criterion": "exact",
        "preset": "as_released",
    }


class TestNBPO(RecommenderContract):
    model, options = NBPO, {"backbone": SMALL}

    def test_gradients_equal_finite_differences(self) -> None:
        """They are surrogates: those of the closed forms, carried to the tables by the chain rule."""
        model = self.make().train()
        disturb(model)
        batch = board_batch(4)
        losses = model.losses(batch)
        losses["nbpo"].backward()
        tables = {name: value.detach().numpy() for name, value in model.named_parameters()}
        user, item = tables["backbone.user_embedding"], tables["backbone.item_embedding"]
        left, right = tables["flips.flip_user"], tables["flips.flip_item"]
        expected = {name: np.zeros_like(value) for name, value in tables.items()}

        def teach(u: int, i: int, *, voted: bool, share: float) -> None:
            by_score, by_flip = oracles.nbpo_gradient(
                user[u] @ item[i], left[u] @ right[i], voted=voted, criterion="nbpo"
            )
            expected["backbone.user_embedding"][u] -= share * by_score * item[i]
            expected["backbone.item_embedding"][i] -= share * by_score * user[u]
            expected["flips.flip_user"][u] -= share * by_flip * right[i]
            expected["flips.flip_item"][i] -= share * by_flip * left[u]

        for u, i, negatives in zip(*(x.tolist() for x in batch[:3]), strict=True):
            teach(u, i, voted=True, share=1 / 8)
            for k in negatives:
                teach(u, k, voted=False, share=1 / 32)
        for name, parameter in model.named_parameters():
            np.testing.assert_allclose(parameter.grad, expected[name], rtol=1e-11, atol=1e-14)


def make(graph=None, **options):
    torch.manual_seed(0)
    graph = checkerboard_graph() if graph is None else graph
    own = {"backbone": BACKBONES[0], "flip_dim": 5}
    model = NBPO(graph, NBPOConfig(**{**own, **options})).double()
    disturb(model)
    return model


def board_with(*names):
    """The checkerboard with one, two or three modalities; items 1 and 4 lack each of them."""
    data, numbers = checkerboard_dataset(), np.random.default_rng(7)
    features = {}
    for width, name in enumerate(names, start=2):
        has = np.arange(12) % 3 != 1
        x = np.where(has[:, None], numbers.normal(size=(12, width)), 0).astype(np.float32)
        features[name] = ModalityFeatures(name, x, has, {})
    options = GraphConfig(k=3, co_user_top_k=4, co_normalize="none")
    return build_graph(type(data)(**{**vars(data), "features": features}), options)


def by_hand(scores, flips, criterion, batch=BATCH):
    """Return the loss of a batch from tables of scores and flip logits, pair by pair."""
    total = 0.0
    for u, i, negatives in zip(*(x.tolist() for x in batch[:3]), strict=True):
        total += oracles.nbpo_gain(scores[u, i], flips[u, i], voted=True, criterion=criterion)
        unvoted = [
            oracles.nbpo_gain(scores[u, k], flips[u, k], voted=False, criterion=criterion)
            for k in negatives
        ]
        total += sum(unvoted) / len(unvoted)
    return -total / len(batch.user)


def tables_of(model):
    """Return the scores of the backbone and the flip logits of all pairs."""
    scores = model.backbone.score(EVERYONE).detach().numpy()
    if model.flips is None:
        return scores, np.zeros((12, 12))
    user, item = model.flips(EVERYONE, EVERYONE)
    return scores, (user @ item.T).detach().numpy()


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda table: table["name"])
def test_losses_are_those_of_the_equations(backbone, criterion) -> None:
    model = make(backbone=backbone, criterion=criterion).eval()
    terms = model.losses(BATCH)
    expected = by_hand(*tables_of(model), criterion)
    assert terms[criterion].item() == pytest.approx(expected, rel=1e-9)
    # The backbone's own, of each positive with the first of its negatives.
    alone = BATCH._replace(negative=BATCH.negative[:, 0])
    own = model.backbone.penalties(alone, model.backbone.batch_rows(alone))
    assert set(terms) == {criterion, *own} | ({"flip_reg"} if criterion != "bpo" else set())
    for name, value in own.items():
        torch.testing.assert_close(terms[name], value, rtol=1e-12, atol=1e-14)
    weights = model.stages[0].loss_weights
    assert {**model.backbone.stages[0].loss_weights, "flip_reg": 0.1} == weights


@pytest.mark.parametrize("names", [("a",), ("text", "image"), ("a", "b", "c")])
def test_flips_from_the_features_of_any_modalities(names) -> None:
    graph = board_with(*names)
    model = make(graph, flip_from="features", backbone=BACKBONES[1]).eval()
    terms = model.losses(BATCH)
    scores, flips = tables_of(model)
    assert terms["nbpo"].item() == pytest.approx(by_hand(scores, flips, "nbpo"), rel=1e-12)
    # Items without features share one estimate, which differs from user to user.
    np.testing.assert_allclose(flips[:, 1], flips[:, 4])
    assert np.abs(flips[:, 0] - flips[:, 3]).min() > 0
    seen = []
    for encoder in model.flips.encoders.encoders:
        encoder.register_forward_pre_hook(lambda module, given: seen.append(len(given[1])))
    model.losses(BATCH)
    assert seen == [10] * len(names)


def test_the_penalty_on_flips() -> None:
    model = make(flip_reg_weight=0.3)
    user, item = model.flips.flip_user.detach(), model.flips.flip_item.detach()
    blocks = [user[BATCH.user], item[BATCH.positive], item[BATCH.negative[:, 0]]]
    expected = oracles.half_squared_penalty([x.numpy() for x in blocks])
    assert model.losses(BATCH)["flip_reg"].item() == pytest.approx(expected, rel=1e-12)
    assert "flip_reg" not in make(flip_reg_weight=0.0).losses(BATCH)


@pytest.mark.parametrize("flip_from", ["ids", "features"])
def test_as_released_sums_over_the_negatives_and_penalises_whole_tables(flip_from) -> None:
    model = make(preset="as_released", flip_from=flip_from)
    paper = make(flip_from=flip_from)
    paper.load_state_dict(model.state_dict())
    terms, other = model.losses(BATCH), paper.losses(BATCH)
    torch.testing.assert_close(terms["nbpo"], 3 * other["nbpo"], rtol=1e-12, atol=0)
    tables = model.flips.flip_user, model.flips.of_items()
    squares = sum(table.square().sum().item() for table in tables)
    assert terms["flip_reg"].item() == pytest.approx(squares / 2 / 4, rel=1e-12)
    item = model.backbone.item_embedding.detach()[2]
    with torch.no_grad():  # the first positive is liked for sure, as the released code counts
        for both in (model, paper):
            both.backbone.user_embedding[0] = 10.5 * item / item.square().sum()
    alone = Batch(*(x[:1] for x in BATCH[:3]))
    taught = [
        torch.autograd.grad(m.losses(alone)["nbpo"], m.backbone.item_embedding)[0][2]
        for m in (model, paper)
    ]
    assert not taught[0].any()
    assert taught[1].any()


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda table: table["name"])
def test_when_nothing_is_flipped_it_teaches_what_the_criterion_without_noise_does(backbone) -> None:
    model, plain = make(backbone=backbone).eval(), make(backbone=backbone, criterion="bpo").eval()
    plain.backbone.load_state_dict(model.backbone.state_dict())
    with torch.no_grad():
        model.flips.flip_user.fill_(1e2)
        model.flips.flip_item.fill_(-1e2)
    model.losses(BATCH)["nbpo"].backward()
    plain.losses(BATCH)["bpo"].backward()
    own = dict(plain.backbone.named_parameters())
    for name, parameter in model.backbone.named_parameters():
        if own[name].grad is None:
            assert parameter.grad is None
        else:
            assert torch.equal(parameter.grad, own[name].grad), name


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda table: table["name"])
def test_ranking_knows_the_backbone_alone(backbone) -> None:
    model = make(backbone=backbone).eval()
    scores = model.score(EVERYONE)
    assert torch.equal(scores, model.backbone.score(EVERYONE))
    with torch.no_grad():
        model.flips.flip_item.fill_(9.0)
    assert torch.equal(model.score(EVERYONE), scores)
    vectors = model.retrieval_embeddings()
    torch.testing.assert_close(vectors.user @ vectors.item.T, scores, rtol=1e-12, atol=1e-14)
    assert model.modality_widths == model.backbone.modality_widths


def test_the_criterion_without_noise_has_no_flips() -> None:
    model = make(criterion="bpo", flip_from="features")
    assert all(name.startswith("backbone.") for name, _ in model.named_parameters())


def test_what_learns_is_what_learns_of_the_backbone_and_the_flips(monkeypatch) -> None:
    part = Stage(loss_weights={"reg": 0.2}, parameters=("item_embedding",), limits=(3,))
    monkeypatch.setattr(LightGCN, "stages", (part,))
    model = make(backbone="lightgcn")
    (stage,) = model.stages
    assert (stage.limits, stage.loss_weights["reg"]) == ((3,), 0.2)
    learning = [n for n, _ in model.named_parameters() if n.startswith(stage.parameters)]
    assert learning == ["backbone.item_embedding", "flips.flip_user", "flips.flip_item"]


def test_one_negative_a_triple_may_come_as_none() -> None:
    model = make()
    flat = BATCH._replace(negative=BATCH.negative[:, 0])
    column = BATCH._replace(negative=BATCH.negative[:, :1])
    for name, value in model.losses(flat).items():
        assert torch.equal(model.losses(column)[name], value)


class OwnLosses(LightGCN):
    """Learns by something else than a comparison of scores."""

    def losses(self, batch):
        return {"size": self.item_embedding.square().mean()}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_learns_by_it_or_is_refused_in_one_line(name) -> None:
    """Taught are those that are trained and whose scores of positive and negative items are what is compared."""
    kind = get_model(name)
    wraps, own = issubclass(kind.Config, WrapperConfig), kind.losses is not Recommender.losses
    if wraps or own or kind.score is not Recommender.score or name == "cb":
        with pytest.raises((ConfigError, ValidationError), match=r"model\.backbone must") as error:
            make(backbone=name)
        assert name in str(error.value)
        return
    model = make(backbone=name).eval()
    terms = model.losses(BATCH)
    assert terms["nbpo"].item() == pytest.approx(by_hand(*tables_of(model), "nbpo"), rel=1e-7)
    weights = model.stages[0].loss_weights
    torch.stack([weights.get(key, 1.0) * value for key, value in terms.items()]).sum().backward()
    assert model.flips.flip_user.grad.any()


def test_a_model_with_losses_of_its_own_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"learn from scores .*got 'lightgcn', which has losses"):
        NBPOConfig.check_backbone(OwnLosses)
    assert LightGCN.losses is Recommender.losses


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"backbone": "mario"}, r"a model of its own \(got 'mario', which wraps one\)"),
        ({"backbone": "nbpo"}, r"a model of its own \(got 'nbpo', which wraps one\)"),
        ({"backbone": "maml"}, r"must score by .*got 'maml'"),
        ({"backbone": "cb"}, r"got 'cb', which"),
        ({"num_negatives": 0}, r"model.num_negatives: .*\(got 0\)"),
        ({"flip_dim": 0}, r"model.flip_dim: .*\(got 0\)"),
        ({"flip_from": "images"}, "model.flip_from: "),
        ({"criterion": "bpr"}, "model.criterion: "),
        ({"preset": "original"}, "model.preset: "),
        ({"rho": 4}, "unknown key 'model.rho'"),
    ],
)
def test_bad_values_are_refused_in_one_line(table, message) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        Recipe.build({"model": {"name": "nbpo", **table}})
    assert "\n" not in str(error.value)


def test_flips_from_features_need_some() -> None:
    with pytest.raises(GraphError, match="nbpo needs item features"):
        make(board_with(), flip_from="features")
    make(board_with())


def test_sampled_neighbours_are_refused() -> None:
    train_part = checkerboard_dataset().train
    pairs = PairwiseSampler(
        torch.from_numpy(train_part.user), torch.from_numpy(train_part.item), num_items=12
    )
    model = make(backbone="lightgcn")
    with pytest.raises(ConfigError, match=r"learn from a part .*\(got NBPO\)"):
        NeighborhoodSampler(pairs, checkerboard_graph(), [2, 2, 2], model=model)


@pytest.mark.cuda
def test_a_device_gives_the_same_losses() -> None:
    model = make(backbone=BACKBONES[1], flip_from="features").eval()
    terms = model.losses(BATCH)
    found = model.cuda().losses(Batch(*(x.cuda() for x in BATCH[:3])))
    for name, value in found.items():
        torch.testing.assert_close(value.cpu(), terms[name], rtol=1e-9, atol=1e-12)


def test_a_run_exports_the_vectors_of_the_backbone(tmp_path) -> None:
    data, keys = checkerboard_dataset(), ["model.backbone.embedding_dim=4", "training.max_epochs=2"]
    run = train("nbpo", data, overrides=keys, out=tmp_path / "run")
    run.__dict__["dataset"] = data  # made, not read: a run cannot find it by its name
    assert (run.path / "embeddings.safetensors").is_file()
    assert evaluate(run).mean == pytest.approx(run.metrics["test"], rel=1e-9)
    scores = run.model.score(torch.tensor([3]))[0]
    best = run.recommend("3", k=1)[0]
    assert best.score == pytest.approx(scores[int(best.item)].item(), rel=1e-6)
