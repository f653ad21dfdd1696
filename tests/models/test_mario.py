"""MARIO against the equations pair by pair, against its own degenerate cases, and from the command line's side."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mmgraph.data import ModalityFeatures
from mmgraph.errors import ConfigError, GraphError
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.models.batch import Batch
from mmgraph.models.mario import MARIO, MARIOConfig
from mmgraph.testing import RecommenderContract, checkerboard_dataset, checkerboard_graph, oracles
from mmgraph.testing.contract import disturb
from mmgraph.training import PairwiseSampler, TrainingConfig, measure_memory
from mmgraph.training.neighbors import NeighborhoodSampler

EVERYONE = torch.arange(12)
BATCH = Batch(torch.tensor([0, 1, 3, 3]), torch.tensor([2, 3, 5, 9]), torch.tensor([1, 0, 4, 2]))
KINDS = ("scaled_dot", "dot", "bilinear", "additive")
FUSIONS = ("attention", "mean", "max", "max_hard", "fc")


class TestOnBPRMF(RecommenderContract):
    model, options = MARIO, {"backbone": {"embedding_dim": 8}}


class TestOnLightGCN(RecommenderContract):
    model = MARIO
    options: ClassVar = {
        "backbone": {"name": "lightgcn", "embedding_dim": 8, "num_layers": 2},
        "attention": "bilinear",
        "enc_layers": 2,
        "decoder_relu": True,
    }


class TestOnNGCF(RecommenderContract):
    model = MARIO
    options: ClassVar = {
        "backbone": {"name": "ngcf", "embedding_dim": 8, "num_layers": 1},
        "attention": "additive",
        "mp_reduction": "sum",
        "mu": 1e-3,
    }
    training: ClassVar = {"max_epochs": 150, "learning_rate": 0.02, "batch_size": 16}


class TestOnMMGEF(RecommenderContract):
    model = MARIO
    options: ClassVar = {
        "backbone": {"name": "mm_gef", "embedding_dim": 8, "k": 3},
        "enc_norm": True,
    }


class TestMean(RecommenderContract):
    model, options = MARIO, {"backbone": {"embedding_dim": 8}, "fusion": "mean", "dropout": 0.1}


class TestMax(RecommenderContract):
    model, options = MARIO, {"backbone": {"embedding_dim": 8}, "fusion": "max"}


class TestFC(RecommenderContract):
    model, options = MARIO, {"backbone": {"embedding_dim": 8}, "fusion": "fc", "mu": 0.0}


class TestHardMax(RecommenderContract):
    model, options = MARIO, {"backbone": {"embedding_dim": 8}, "fusion": "max_hard"}


def board(features: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None):
    """Return the checkerboard with other features: matrix and presence by name."""
    data = checkerboard_dataset()
    if features is not None:
        table = {
            name: ModalityFeatures(name, x.astype(np.float32), has, {})
            for name, (x, has) in features.items()
        }
        data = type(data)(**{**vars(data), "features": table})
    return build_graph(data, GraphConfig(edges=()))


def modalities(*names: str, share: float = 0.7):
    """Draw features of several widths of which items lack some."""
    numbers = np.random.default_rng(len(names))
    drawn = {}
    for width, name in enumerate(names, start=2):
        has = numbers.random(12) < share
        drawn[name] = np.where(has[:, None], numbers.normal(size=(12, width)), 0), has
    return drawn


def make(graph=None, **options):
    torch.manual_seed(0)
    graph = checkerboard_graph() if graph is None else graph
    own = {"backbone": {"embedding_dim": 4}, "unit_features": False}
    config = MARIOConfig(**{**own, **options})
    model = MARIO(graph, config).double()
    disturb(model)
    return model


def board_sampler():
    train = checkerboard_dataset().train
    return PairwiseSampler(torch.from_numpy(train.user), torch.from_numpy(train.item), num_items=12)


def by_hand(model, graph):
    """Return the score of every pair, from the parameters and the features, pair by pair."""
    p = {name: value.detach().numpy() for name, value in model.named_parameters()}
    user, inside = (x.detach().numpy() for x in model.eval().backbone.encode())
    parts, present = [inside], [[True] * 12]
    for m, name in enumerate(model.encoders.names):
        x, has = graph["item"][f"x_{name}"].double().numpy(), graph["item"][f"has_{name}"]
        weight, bias = (p[f"encoders.encoders.{m}.linear.{key}"] for key in ("weight", "bias"))
        parts.append(x @ weight.T + bias)
        present.append(has.tolist())
    scores = np.zeros((12, 12))
    for i in range(12):
        rows, there = [x[i] for x in parts], [has[i] for has in present]
        for u in range(12):
            if model.config.fusion in ("mean", "max", "fc"):
                linear = p.get("head.linear.weight", ())
                fused = oracles.mario_pooled(rows, there, kind=model.config.fusion, linear=linear)
                scores[u, i] = user[u] @ fused
                continue
            logits = [
                oracles.mario_logit(
                    user[u],
                    row,
                    kind=model.config.attention,
                    bilinear=p.get("head.bilinear", ()),
                    query=(p.get("head.query.weight", ()), p.get("head.query.bias", ())),
                    key=p.get(f"head.keys.{m}.weight", ()),
                    vector=p.get("head.vector", ()),
                )
                for m, row in enumerate(rows)
            ]
            hard = model.config.fusion == "max_hard"
            weights = oracles.mario_weights(logits, there, hard=hard)
            scores[u, i] = oracles.mario_score(user[u], rows, weights)
    return scores


@pytest.mark.parametrize(
    "names", [("a",), ("image", "text"), ("a", "b", "c"), ("a", "b", "c", "d")]
)
@pytest.mark.parametrize(
    ("fusion", "attention"),
    [*(("attention", kind) for kind in KINDS), *((f, "scaled_dot") for f in FUSIONS[1:])],
)
def test_scores_equal_the_equations_pair_by_pair(fusion, attention, names) -> None:
    graph = board(modalities(*names))
    model = make(graph, fusion=fusion, attention=attention)
    expected = by_hand(model, graph)
    with torch.no_grad():
        found = model.score(EVERYONE)
        rows = model.batch_rows(BATCH)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)
    for scores, items in zip(rows.scores(), BATCH[1:3], strict=True):
        np.testing.assert_allclose(scores, expected[BATCH.user, items], rtol=1e-9, atol=1e-10)


def test_losses_are_those_of_the_equations() -> None:
    graph = board(modalities("text", "image"))
    model = make(graph, mu=0.3, backbone={"embedding_dim": 4, "reg_weight": 0.2})
    scores, terms = by_hand(model, graph), model.losses(BATCH)
    user, positive, negative = (x.numpy() for x in BATCH[:3])
    expected = oracles.bpr(scores[user, positive], scores[user, negative])
    assert terms["bpr"].item() == pytest.approx(expected, rel=1e-12)
    tables = [x.detach().numpy() for x in model.backbone.encode()]
    blocks = [tables[0][user], tables[1][positive], tables[1][negative]]
    assert terms["reg"].item() == pytest.approx(oracles.half_squared_penalty(blocks), rel=1e-12)
    items, kept = np.unique([positive, negative]), 0.0
    for m, name in enumerate(model.encoders.names):
        decoder = model.decoders.decoders[m].linear
        kept += oracles.mario_preservation(
            model.encoders()[name][items].detach().numpy(),
            graph["item"][f"x_{name}"][items],
            graph["item"][f"has_{name}"][items].tolist(),
            decoder=(decoder.weight.detach().numpy(), decoder.bias.detach().numpy()),
        )
    assert terms["preservation"].item() == pytest.approx(kept, rel=1e-12)
    assert model.stages[0].loss_weights == {"reg": 0.2, "preservation": 0.3}


def test_the_penalty_is_on_the_rows_of_the_backbone() -> None:
    inside = {"name": "ngcf", "embedding_dim": 3, "num_layers": 1, "message_dropout": 0.0}
    model = make(backbone=inside)
    rows = model.backbone.batch_rows(BATCH)
    expected = oracles.half_squared_penalty([x.detach().numpy() for x in rows])
    assert model.losses(BATCH)["reg"].item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("attention", ["additive", "bilinear"])
def test_equal_logits_are_the_mean(attention) -> None:
    model, plain = make(attention=attention), make(fusion="mean")
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if "head" not in k})
    with torch.no_grad():
        (model.head.vector if attention == "additive" else model.head.bilinear).zero_()
    found, expected = model.eval().score(EVERYONE), plain.eval().score(EVERYONE)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_order_of_the_modalities_does_not_matter(fusion) -> None:
    features = modalities("text", "image", "sound")
    order = ("sound", "text", "image")  # where each was: 2, 0, 1
    model = make(board(features), fusion=fusion)
    other = make(board({name: features[name] for name in order}), fusion=fusion)
    state, moved = model.state_dict(), {}
    for key in other.state_dict():
        source = key
        for new, old in enumerate((2, 0, 1)):
            for table in ("encoders.encoders", "decoders.decoders"):
                if key.startswith(f"{table}.{new}."):
                    source = key.replace(f"{table}.{new}.", f"{table}.{old}.")
        moved[key] = state[source]
    if fusion == "fc":
        blocks = moved["head.linear.weight"].split(4, dim=1)
        moved["head.linear.weight"] = torch.cat([blocks[i] for i in (0, 3, 1, 2)], dim=1)
    other.load_state_dict(moved)
    found, expected = other.eval().score(EVERYONE), model.eval().score(EVERYONE)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    losses = other.losses(BATCH)
    for name, value in model.losses(BATCH).items():
        torch.testing.assert_close(losses[name], value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("fusion", ["attention", "max_hard", "mean", "max"])
@pytest.mark.parametrize("name", ["bpr_mf", "lightgcn"])
def test_with_interactions_alone_it_is_the_backbone(name, fusion) -> None:
    graph = board(modalities("text", "image", share=0.0))
    model = make(graph, fusion=fusion, backbone={"name": name, "embedding_dim": 4}).eval()
    assert torch.equal(model.score(EVERYONE), model.backbone.score(EVERYONE))
    assert model.losses(BATCH)["preservation"].item() == 0
    mine, own = model.batch_rows(BATCH), model.backbone.batch_rows(BATCH)
    for found, expected in zip(mine, own, strict=True):
        assert torch.equal(found, expected)


def test_without_preservation_there_are_no_decoders() -> None:
    model, plain = make(), make(mu=0.0)
    gone = set(dict(model.named_parameters())) - set(dict(plain.named_parameters()))
    assert gone == {
        f"decoders.decoders.{m}.linear.{key}" for m in (0, 1) for key in ("weight", "bias")
    }
    assert "preservation" not in plain.losses(BATCH)
    assert "preservation" not in plain.stages[0].loss_weights
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if k not in gone})
    assert torch.equal(plain.losses(BATCH)["bpr"], model.losses(BATCH)["bpr"])


def test_ranking_teaches_the_decoders_nothing_and_preservation_the_encoders() -> None:
    model = make()
    model.losses(BATCH)["bpr"].backward()
    assert all(p.grad is None for p in model.decoders.parameters())
    model.zero_grad()
    model.losses(BATCH)["preservation"].backward()
    assert all(p.grad.abs().max() > 0 for p in model.decoders.parameters())
    assert all(p.grad.abs().max() > 0 for p in model.encoders.parameters())
    assert all(p.grad is None for p in model.backbone.parameters())


def test_only_items_of_the_batch_are_encoded_each_once() -> None:
    model, seen = make(), []
    for encoder in model.encoders.encoders:
        encoder.register_forward_pre_hook(lambda module, given: seen.append(len(given[1])))
    model.losses(Batch(torch.tensor([0, 1]), torch.tensor([2, 3]), torch.tensor([3, 2])))
    assert seen == [2, 2]


@pytest.mark.parametrize("fusion", FUSIONS)
def test_vectors_for_retrieval_exist_where_items_are_the_same_to_all(fusion) -> None:
    vectors = make(fusion=fusion).eval().retrieval_embeddings()
    assert (vectors is None) == (fusion in ("attention", "max_hard"))


def test_features_are_taken_at_unit_length() -> None:
    features = modalities("text", "image")
    unit = {name: (oracles.unit_rows(x), has) for name, (x, has) in features.items()}
    model, other = make(board(features), unit_features=True), make(board(unit))
    found, expected = model.losses(BATCH), other.losses(BATCH)
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value.item(), rel=1e-6), name
    assert make(board(features)).losses(BATCH)["bpr"] != expected["bpr"]


@torch.no_grad()
def test_influence_is_the_attention_of_each_pair() -> None:
    graph = board(modalities("text", "image"))
    model = make(graph, attention="dot").eval()
    users, items = torch.tensor([0, 5, 5, 11]), torch.tensor([3, 3, 0, 7])
    shares = model.modality_influence(users, items)
    assert list(shares) == ["interactions", "text", "image"]
    torch.testing.assert_close(sum(shares.values()), torch.ones(4).double())
    user, item = model.encode()
    parts = dict(zip(shares, item[items].split(4, dim=1), strict=True))
    weighed = sum(share[:, None] * parts[name] for name, share in shares.items())
    expected = model.score(EVERYONE)[users, items]
    torch.testing.assert_close((user[users] * weighed).sum(dim=1), expected)
    for name in ("text", "image"):
        assert shares[name][~graph["item"][f"has_{name}"][items]].sum() == 0
    assert make(fusion="mean").modality_influence(users, items) == {}


@torch.no_grad()
def test_item_vectors_weigh_the_parts_by_their_users() -> None:
    graph = board(modalities("text", "image"))
    model = make(graph).eval()
    data, (_, item) = checkerboard_dataset(), model.encode()
    parts = item.split(4, dim=1)
    for i in (0, 7):
        users = torch.from_numpy(data.train.user[data.train.item == i])
        shares = model.modality_influence(users, torch.full_like(users, i))
        expected = sum(s.mean() * x[i] for s, x in zip(shares.values(), parts, strict=True))
        torch.testing.assert_close(model.item_vectors()[i], expected)
    assert list(model.modality_vectors()) == ["text", "image"]
    torch.testing.assert_close(model.modality_vectors()["image"], parts[2])
    pooled = make(fusion="max").eval()
    assert torch.equal(pooled.item_vectors(), pooled.encode().item)


def test_options_change_the_encoders() -> None:
    # As wide as the vectors of the backbone, three layers side by side.
    two = make(enc_layers=2, backbone={"name": "ngcf", "embedding_dim": 3, "num_layers": 2})
    assert two.encoders.encoders[0].linear.weight.shape == (4 * 9, 2)
    assert two.backbone.training
    unit = make(enc_norm=True).eval().modality_vectors()["text"]
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(12).double())
    noisy = make(dropout=0.5).train()
    dropped = noisy.modality_vectors()["text"] == 0
    assert 0.2 < dropped.double().mean() < 0.8
    assert not (noisy.eval().modality_vectors()["text"] == 0).any()


def test_the_memory_of_training_is_measured_first() -> None:
    sampler = board_sampler()
    model = MARIO(checkerboard_graph(), MARIOConfig())
    report = measure_memory(model, sampler, config=TrainingConfig(batch_size=16))
    assert report.activations > 0
    with pytest.raises(ConfigError, match="--max-memory"):
        measure_memory(model, sampler, config=TrainingConfig(batch_size=16), limit=1000)


def test_ablations_are_recipes() -> None:
    labels = {
        label: MARIOConfig(**{key.removeprefix("model."): value for key, value in changes.items()})
        for label, changes in MARIO.ablations.items()
    }
    assert [config.fusion for config in labels.values()] == ["mean", "max", "fc", "attention"]
    assert labels["mu = 0"].mu == 0


def test_sampled_neighbours_are_refused() -> None:
    model, graph = make(backbone="lightgcn"), checkerboard_graph()
    with pytest.raises(ConfigError, match=r"for models that learn from a part .* .got MARIO."):
        NeighborhoodSampler(board_sampler(), graph, [2, 2, 2], model=model)


def test_without_features_it_says_so() -> None:
    with pytest.raises(GraphError, match="mario needs item features"):
        make(board({}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mu": -0.1}, "mu"),
        ({"mu": float("nan")}, "mu"),
        ({"enc_layers": 3}, "enc_layers"),
        ({"dropout": 1.0}, "dropout"),
        ({"fusion": "sum"}, "fusion"),
        ({"attention": "softmax"}, "attention"),
        ({"mp_reduction": "max"}, "mp_reduction"),
    ],
)
def test_bad_options_are_refused(options, message) -> None:
    with pytest.raises(ValidationError, match=message):
        MARIOConfig(**options)


@pytest.mark.parametrize("attention", KINDS)
def test_a_step_in_half_precision_is_near_that_in_full(attention) -> None:
    model = make(attention=attention, enc_layers=2).float()
    exact = model.losses(BATCH)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = model.losses(BATCH)
    for name, value in terms.items():
        assert value.item() == pytest.approx(exact[name].item(), rel=0.05), name
    assert terms["preservation"].item() != exact["preservation"].item()
    torch.stack([*terms.values()]).sum().backward()
    assert {p.grad.dtype for p in model.parameters()} == {torch.float32}
