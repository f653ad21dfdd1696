from typing import ClassVar

import numpy as np
import pytest
import torch

from mmgraph.config import Recipe
from mmgraph.data import ModalityFeatures
from mmgraph.errors import GraphError
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.models.grcn import GRCN, GRCNConfig
from mmgraph.sparse import segment_sum
from mmgraph.testing import RecommenderContract, checkerboard_dataset, oracles
from mmgraph.testing.contract import board_batch, disturb

EVERYONE = torch.arange(12)
CHOICES = [("text",), ("image",), ("text", "image"), ("text", "image", "sound")]


class TestGRCN(RecommenderContract):
    model, options = GRCN, {"embedding_dim": 8, "content_dim": 6}


class TestAsReleased(RecommenderContract):
    model, options = GRCN, {"embedding_dim": 8, "content_dim": 6, "preset": "as_released"}


class TestMean(RecommenderContract):
    model = GRCN
    options: ClassVar = {
        "embedding_dim": 6,
        "content_dim": 6,
        "fusion": "mean",
        "weighting": "mean",
    }
    training: ClassVar = {"max_epochs": 30, "learning_rate": 0.05, "batch_size": 16}


class TestIdsAlone(RecommenderContract):
    model = GRCN
    options: ClassVar = {"embedding_dim": 8, "content_dim": 6, "fusion": "id", "weighting": "max"}
    training: ClassVar = {"max_epochs": 30, "learning_rate": 0.05, "batch_size": 16}


def board(*modalities, **options):
    data = checkerboard_dataset()
    sound = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    known = {**data.features, "sound": ModalityFeatures("sound", sound, np.arange(12) != 3, {})}
    features = {name: known[name] for name in modalities}
    config = GraphConfig(**{"edges": (), **options})
    return build_graph(type(data)(**{**vars(data), "features": features}), config)


def make(graph=None, **options):
    torch.manual_seed(0)
    graph = board("text", "image") if graph is None else graph
    return GRCN(graph, GRCNConfig(**{"embedding_dim": 4, "content_dim": 4, **options})).double()


def train_pairs():
    train = checkerboard_dataset().train
    return np.stack([train.user, train.item], axis=1)


def dense(model, *, num_steps=3):
    config, confidence = model.config, None
    if config.weighting == "confidence":
        confidence = torch.cat([model.user_confidence, model.item_confidence]).detach()
    return oracles.grcn(
        (model.user_embedding.detach(), model.item_embedding.detach()),
        model.user_preference.detach().split(model.widths, dim=1),
        [rows.detach() for rows in model.content().values()],
        train_pairs(),
        confidence=confidence,
        mean=config.weighting == "mean",
        prune=config.pruning,
        num_steps=num_steps,
        num_layers=config.num_layers,
    )


@pytest.mark.parametrize("modalities", CHOICES)
@pytest.mark.parametrize("preset", ["paper", "as_released"])
def test_encode_equals_the_dense_equations(modalities, preset):
    model = make(board(*modalities), preset=preset).eval()
    disturb(model)
    parts, weight = dense(model, num_steps=3 if preset == "paper" else 0)
    found = torch.cat(model.encode()).detach()
    np.testing.assert_allclose(found, np.concatenate(parts, axis=1), rtol=0, atol=1e-10)
    source, target = model.adjacency.edge_index()
    np.testing.assert_allclose(
        model.refine()[1].detach(), weight[target, source], rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("weighting", ["confidence", "max", "mean"])
@pytest.mark.parametrize("fusion", ["mean", "id"])
@pytest.mark.parametrize("pruning", [True, False])
def test_every_option_equals_the_dense_equations(weighting, fusion, pruning):
    model = make(weighting=weighting, fusion=fusion, pruning=pruning, num_layers=3).eval()
    disturb(model)
    with torch.no_grad():
        if weighting == "confidence":
            model.user_confidence[:4] = -1.0  # so that there is something to prune
    parts, weight = dense(model)
    assert (weight < 0).any() == (weighting == "confidence" and not pruning)
    expected = np.mean(parts, axis=0) if fusion == "mean" else parts[0]
    np.testing.assert_allclose(torch.cat(model.encode()).detach(), expected, rtol=0, atol=1e-10)


def test_routing_changes_the_vectors_and_not_as_released():
    def score(**options):
        return make(**options).eval().score(EVERYONE)

    assert not torch.allclose(score(num_routing=0), score(num_routing=1), atol=1e-4)
    released = [score(preset="as_released", num_routing=steps) for steps in (0, 3)]
    assert torch.equal(*released)


def test_attention_of_whoever_receives_sums_to_one():
    model = make(weighting="max", pruning=False)
    user, item = model.start()[0]
    x = torch.cat([model.routing(user, item, model.to_user), item])
    _, attention = model.routing.attend(x, x, model.adjacency)
    sums = segment_sum(attention, model.adjacency.rowptr)
    torch.testing.assert_close(sums, torch.ones(24).double())


def test_with_one_modality_the_weights_start_as_the_attention():
    with_trust, without = make(board("text")), make(board("text"), weighting="max")
    without.load_state_dict(
        {k: v for k, v in with_trust.state_dict().items() if "confidence" not in k}
    )
    assert torch.equal(with_trust.refine()[1], without.refine()[1])


def test_trust_starts_at_one_and_as_released_with_both_signs():
    paper, released = make(), make(preset="as_released")
    for model in (paper, released):
        assert model.user_confidence.shape == model.item_confidence.shape == (12, 2)
    assert torch.equal(paper.user_confidence, torch.ones(12, 2).double())
    assert (released.user_confidence < 0).any()
    assert (released.user_confidence > 0).any()


def test_when_every_edge_is_pruned_the_ids_stay_at_unit_length():
    model = make().eval()
    with torch.no_grad():
        model.user_confidence.fill_(-1.0)
        model.item_confidence.fill_(-0.5)
    user, item = model.encode()
    expected = torch.nn.functional.normalize(
        torch.cat([model.user_embedding, model.item_embedding])
    )
    assert torch.equal(torch.cat([user, item])[:, :4], expected)


def test_a_modality_an_item_lacks_is_like_to_everybody_by_zero():
    graph = board("image")
    model = make(graph).eval()
    (content,), weight = model.refine()
    # Item 0 receives from its five users in equal shares.
    users = [u for u, i in train_pairs().tolist() if i == 0]
    routed = model.routing(*model.start()[0], model.to_user)
    torch.testing.assert_close(content[12], routed[users].mean(dim=0))
    source, target = model.adjacency.edge_index()
    torch.testing.assert_close(weight[target == 12], torch.full((5,), 0.2).double())
    assert (weight[source == 12] > 0).all()
    graph["item"].x_image[0] = 7.0
    assert torch.equal(make(graph).eval().score(EVERYONE), model.score(EVERYONE))


def test_the_graphs_own_weights_and_loops_do_not_count():
    one, other = (make(board("text", "image", ui_norm=norm)).eval() for norm in ("sym", "rw_self"))
    assert torch.equal(one.score(EVERYONE), other.score(EVERYONE))


def test_training_starts_as_worked_out_by_hand():
    model, batch = make(reg_weight=0.1), board_batch()
    user, item = (x.detach().numpy() for x in model.encode())
    positive, negative = ((user[batch.user] * item[rows]).sum(axis=1) for rows in batch[1:3])
    terms = model.losses(batch)
    assert terms["bpr"].item() == pytest.approx(oracles.bpr(positive, negative), rel=1e-12)
    assert set(terms) == {"bpr", "reg"}
    assert model.stages[0].loss_weights == {"reg": 0.1}


def test_a_mean_of_unequal_widths_is_refused():
    with pytest.raises(ValueError, match="fusion 'mean' needs content_dim equal to embedding_dim"):
        GRCNConfig(fusion="mean", content_dim=32)


def test_the_graph_it_asks_for():
    assert Recipe.build({"model": {"name": "grcn"}}).graph.edges == ()


def test_without_features_it_says_so():
    with pytest.raises(GraphError, match="grcn needs item features"):
        make(board())


@pytest.mark.cuda
def test_a_gpu_gives_the_same():
    model = make().eval()
    expected = model.score(EVERYONE)
    torch.testing.assert_close(model.cuda().score(EVERYONE.cuda()).cpu(), expected)
