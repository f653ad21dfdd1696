import numpy as np
import pytest
import torch

from mmgraph.config import Recipe
from mmgraph.errors import GraphError
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.graph.schema import knn_edge_type, modalities_of
from mmgraph.models.batch import Batch
from mmgraph.models.lirdrec import LIRDRec, LIRDRecConfig
from mmgraph.nn import cosine_transform
from mmgraph.testing import RecommenderContract, checkerboard_dataset, oracles
from mmgraph.testing.contract import board_batch, disturb, losses
from mmgraph.training import CheckpointStore, PairwiseSampler, TrainingConfig, fit

EVERYONE = torch.arange(12)
SMALL = {"embedding_dim": 4, "hidden_dim": 8}
OPTIONS = {"embedding_dim": 8, "hidden_dim": 16}


class TestLIRDRec(RecommenderContract):
    model, options = LIRDRec, OPTIONS


class TestAsReleased(RecommenderContract):
    model, options = LIRDRec, {**OPTIONS, "preset": "as_released", "dct_keep": 0.5}


def board(*modalities, **options):
    data = checkerboard_dataset()
    features = {name: data.features[name] for name in modalities if name != "audio"}
    if "audio" in modalities:
        text = data.features["text"]
        present = text.present.copy()
        present[5] = False
        features["audio"] = type(text)("audio", text.x[:, ::-1] * present[:, None], present, {})
    config = GraphConfig(**{"k": 3, "include_self": True, **options})
    return build_graph(type(data)(**{**vars(data), "features": features}), config)


def make(graph=None, **options):
    torch.manual_seed(0)
    graph = board("text", "image") if graph is None else graph
    return LIRDRec(graph, LIRDRecConfig(**{**SMALL, **options})).double()


def train_pairs():
    train = checkerboard_dataset().train
    return np.stack([train.user, train.item], axis=1)


def neighbours(graph, name):
    source, target = graph[knn_edge_type(name)].edge_index.tolist()
    return [[s for s, t in zip(source, target, strict=True) if t == item] for item in range(12)]


def dense(model, graph):
    """Each block smoothed with weight one, then weighed."""
    names = modalities_of(graph)
    shares = [1 / len(names)] * len(names)
    user, item = oracles.dragon(
        model.gcn.user_preference.detach().split(4, dim=1),
        [rows.detach() for rows in model.gcn.content().values()],
        np.ones((12, len(names) + 1)),
        train_pairs(),
        user_graph=np.zeros((12, 12)),
        item_graph=oracles.freedom_item_graph([neighbours(graph, n) for n in names], shares),
        num_layers=model.config.num_layers,
    )
    blocks = [user[:, start : start + 4] for start in range(0, user.shape[1], 4)]
    networks = [[p.detach() for p in scorer.parameters()] for scorer in model.weights.scorers]
    memory, share = model.weights.user_memory.detach(), model.weights.share
    _, weights = oracles.lirdrec_weights(blocks, networks, memory, share=share)
    weighed = [block * weights[:, [b]] for b, block in enumerate(blocks)]
    return np.concatenate(weighed, axis=1), item


@pytest.mark.parametrize("modalities", [("text",), ("text", "image"), ("text", "image", "audio")])
@pytest.mark.parametrize("num_layers", [0, 2])
def test_encode_equals_the_dense_equations(modalities, num_layers):
    graph = board(*modalities)
    model = make(graph, num_layers=num_layers).eval()
    disturb(model)
    model.on_epoch(4)
    expected = dense(model, graph)
    assert expected[0].shape == (12, 4 * (len(modalities) + 1))
    for found, wanted in zip(model.encode(), expected, strict=True):
        np.testing.assert_allclose(found.detach(), wanted, rtol=1e-5, atol=1e-6)


def test_the_common_block_sees_the_frequencies_of_all_modalities():
    """Item 0 has no image: its columns are zero."""
    graph = board("text", "image")
    common = make(graph).gcn.content.features[2]
    parts = [graph["item"][f"x_{name}"].double() for name in ("text", "image")]
    expected = np.concatenate([oracles.lirdrec_frequencies(x) for x in parts], axis=1)
    np.testing.assert_allclose(common, expected, rtol=0, atol=1e-6)
    assert not common[0, 2:].any()
    assert make(graph, dct_keep=0.5).gcn.content.features[2].size(1) == 1 + 2


def test_the_transform_can_be_folded_into_the_first_layer():
    graph = board("text", "image")
    model = make(graph).eval()
    raw = torch.cat([graph["item"][f"x_{name}"].double() for name in ("text", "image")], dim=1)
    first, *others = model.gcn.content.encoders[2]
    with torch.no_grad():
        matrix = torch.block_diag(*(cosine_transform(torch.eye(d).double()) for d in (2, 3)))
        folded = raw @ (matrix @ first.weight.T) + first.bias
        for layer in others:
            folded = layer(folded)
    found = [*model.gcn.content().values()][2]
    torch.testing.assert_close(found, folded, rtol=1e-5, atol=1e-6)


def test_nothing_trainable_has_a_row_for_each_item():
    data = checkerboard_dataset()
    fewer = data.train.user < 7
    train = type(data.train)(data.train.user[fewer], data.train.item[fewer])
    users = type(data.users)(list(data.users.ids[:7]))
    small = type(data)(**{**vars(data), "users": users, "train": train, "test": train})
    graph = build_graph(small, GraphConfig(k=3, include_self=True))
    for preset in ("paper", "as_released"):
        model = make(graph, preset=preset, embedding_dim=5)
        assert not any(12 in p.shape for p in model.state_dict().values())


def test_losses_by_hand():
    model = make(reg_weight=0.1)
    disturb(model)
    batch = board_batch()
    user, item = (x.detach().numpy() for x in model.encode())
    positive, negative = ((user[batch.user] * item[rows]).sum(axis=1) for rows in batch[1:3])
    terms = model.losses(batch)
    assert terms["bpr"].item() == pytest.approx(oracles.bpr(positive, negative), rel=1e-12)
    penalty = oracles.mean_squared_penalty([user, item])
    assert terms["reg"].item() == pytest.approx(penalty, rel=1e-12)
    assert model.stages[0].loss_weights == {"reg": 0.1}
    assert "reg" not in make(reg_weight=0.0).losses(batch)


def test_the_penalty_is_that_of_the_tables_the_rows_are_of():
    model, batch = make().eval(), board_batch()
    found = model.penalties(batch, model.batch_rows(batch))["reg"].item()
    tables = [x.detach().numpy() for x in model.encode()]
    assert found == pytest.approx(oracles.mean_squared_penalty(tables), rel=1e-12)


@pytest.mark.parametrize("modalities", [("text",), ("image",), ("text", "image", "audio")])
def test_any_set_of_modalities_learns(modalities):
    model = make(board(*modalities)).train()
    disturb(model)
    losses(model, board_batch()).backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in model.parameters())


def test_without_features_it_says_so():
    with pytest.raises(GraphError, match="needs item features"):
        make(board())


@pytest.mark.parametrize(
    ("options", "copied"),
    [
        ({}, "logit"),
        ({"preset": "as_released"}, "attention"),
        ({"preset": "as_released", "pwc_copy": "logit"}, "logit"),
        ({"pwc_copy": "attention"}, "attention"),
    ],
)
def test_what_is_copied_follows_the_preset_unless_it_is_named(options, copied):
    model = make(**options)
    assert model.weights.copied == copied
    trained = "weights.user_memory" in dict(model.named_parameters())
    assert trained == (copied == "attention")


def test_only_training_is_remembered():
    model, batch = make(), board_batch()
    model.on_epoch(1)
    before = model.weights.user_next.clone()
    model.eval().losses(batch)
    model.train().encode()
    model.eval().score(EVERYONE)
    assert torch.equal(model.weights.user_next, before)
    model.train().losses(batch)
    assert not torch.equal(model.weights.user_next, before)


def test_presets_part_at_the_second_epoch():
    paper, released = make(), make(preset="as_released")
    released.load_state_dict(paper.state_dict())
    for epoch in (1, 2):
        scores = []
        for model in (paper, released):
            model.on_epoch(epoch)
            scores.append(model.eval().score(EVERYONE))
            model.train().losses(board_batch())
        assert torch.allclose(*scores) == (epoch == 1)


@pytest.mark.parametrize("preset", ["paper", "as_released"])
def test_training_that_is_resumed_ends_as_if_never_interrupted(preset, tmp_path):
    train = checkerboard_dataset().train
    pairs = torch.from_numpy(train.user), torch.from_numpy(train.item)

    def trained(max_epochs, folder):
        model = make(preset=preset)
        torch.manual_seed(1)
        config = TrainingConfig(max_epochs=max_epochs, batch_size=16, checkpoint_seconds=0)
        sampler = PairwiseSampler(*pairs, num_items=12)
        store = CheckpointStore(tmp_path / folder)
        fit(
            model,
            sampler,
            config=config,
            seed=0,
            validate=None,
            select_by="recall@20",
            checkpoints=store,
        )
        return model

    trained(3, "parts")
    resumed, straight = trained(6, "parts"), trained(6, "whole")
    assert resumed.weights.epoch == straight.weights.epoch == 6
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_the_graph_it_asks_for():
    graph = Recipe.build({"model": {"name": "lirdrec"}}).graph
    assert (graph.edges, graph.include_self) == (("knn",), True)


@pytest.mark.cuda
def test_a_gpu_computes_the_same():
    model, there = make().eval(), make().eval().to("cuda")
    batch = Batch(*(x.to("cuda") for x in board_batch()[:3]))
    for name, term in model.losses(board_batch()).items():
        torch.testing.assert_close(there.losses(batch)[name].cpu(), term)
    there.train().losses(batch)
    there.on_epoch(1)
    assert there.weights.user_next.device.type == "cuda"
