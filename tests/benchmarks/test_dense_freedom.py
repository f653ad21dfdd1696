"""The plain FREEDOM computes what a dense float64 version does, and what the library does."""

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.rivals.dense_freedom import DenseFreedom
from benchmarks.training import steps
from benchmarks.training.cells import TrainingCell
from benchmarks.training.made import made_graph
from benchmarks.training.steps import OurSteps, PlainSteps
from benchmarks.training.ways import Inputs
from mmgraph.graph.schema import item_features, knn_edge_type
from mmgraph.models.batch import Batch

USERS, ITEMS, DIM, K = 9, 7, 3, 2
SHARES = {"image": 0.1, "text": 0.9}


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make_rival() -> DenseFreedom:
    features = {"image": drawn(ITEMS, 5, seed=1), "text": drawn(ITEMS, 4, seed=2)}
    target = torch.arange(ITEMS).repeat_interleave(K)
    step = torch.tensor([0, 1]).repeat(ITEMS)
    rival = DenseFreedom(
        user_embedding=drawn(USERS, DIM, seed=3),
        item_embedding=drawn(ITEMS, DIM, seed=4),
        features=features,
        linear={
            name: (drawn(DIM, x.size(1), seed=5), drawn(DIM, seed=6))
            for name, x in features.items()
        },
        neighbours={
            "image": torch.stack([(target + step) % ITEMS, target]),
            "text": torch.stack([(target + 3 * step) % ITEMS, target]),
        },
        shares=SHARES,
        modality_weight=0.25,
        learning_rate=0.1,
    )
    rival.keep_edges(*EDGES)
    return rival


EDGES = torch.tensor([[0, 0, 1, 2, 3, 3, 4, 5, 8], [0, 1, 1, 2, 3, 6, 4, 5, 6]])
TRIPLES = (torch.tensor([0, 3, 3, 8]), torch.tensor([0, 3, 6, 6]), torch.tensor([4, 1, 2, 0]))


def oracle(rival: DenseFreedom) -> tuple[float, float]:
    """Both criteria in numpy, float64, with dense matrices."""
    user, item = (x.detach().double().numpy() for x in (rival.user_embedding, rival.item_embedding))
    joint = np.zeros((USERS + ITEMS, USERS + ITEMS))
    joint[EDGES[0].numpy(), USERS + EDGES[1].numpy()] = 1
    joint += joint.T
    degree = np.maximum(joint.sum(axis=1), 1)
    joint /= np.sqrt(degree[:, None] * degree[None, :])
    ego = np.concatenate([user, item])
    mean = (ego + joint @ ego + joint @ joint @ ego) / 3
    items = mean[USERS:].copy()
    for target in range(ITEMS):
        for step, name in ((1, "image"), (3, "text")):
            for source in (target, (target + step) % ITEMS):
                items[target] += SHARES[name] / K * item[source]
    users, (u, p, n) = mean[:USERS], (index.numpy() for index in TRIPLES)

    def bpr(vectors: np.ndarray) -> float:
        margin = (users[u] * (vectors[p] - vectors[n])).sum(axis=1)
        return float(np.log1p(np.exp(-margin)).mean())

    content = 0.0
    for name, table in rival.tables.items():
        weight, bias = (part.detach().double().numpy() for part in rival.linear[name])
        content += bpr(table.detach().double().numpy() @ weight.T + bias)
    return bpr(items), content


def test_both_criteria_equal_the_dense_oracle() -> None:
    rival = make_rival()
    terms = rival.loss(TRIPLES)
    wanted = oracle(rival)
    assert abs(wanted[0] - np.log(2)) > 0.01
    assert (terms["bpr"].item(), terms["modality"].item()) == pytest.approx(wanted, rel=1e-5)


def test_every_table_learns_and_the_loss_falls() -> None:
    rival = make_rival()
    before = {name: table.detach().clone() for name, table in rival.tables.items()}
    seconds, terms = rival.train([TRIPLES] * 5)
    assert [set(step) for step in seconds] == [{"forward", "backward", "optimiser", "rest"}] * 5
    assert terms[-1]["bpr"] < terms[0]["bpr"]
    for name, table in rival.tables.items():
        assert not torch.equal(table, before[name])
        wanted = (table - before[name]).abs().sum(dim=1) > 0
        assert wanted.nonzero().squeeze(1).tolist() == [0, 1, 2, 3, 4, 6]  # items of the triples


@pytest.fixture
def inputs(monkeypatch: pytest.MonkeyPatch) -> Inputs:
    widths = {"image": 24, "text": 16}
    monkeypatch.setattr("benchmarks.training.made.FEATURE_WIDTHS", widths)
    cell = TrainingCell(
        "step",
        "step",
        ("mmgraph", "plain"),
        "made",
        "freedom",
        users=60,
        items=40,
        edges=600,
        dim=8,
        batch=64,
        steps=5,
        threads=1,
    )
    return Inputs(cell, made_graph(cell))


def test_the_library_and_the_rival_have_the_same_first_losses(inputs: Inputs) -> None:
    ours, plain = OurSteps(inputs, {}), PlainSteps(inputs, {})
    first, other = ours(), plain()
    assert set(other.value) == {"bpr", "modality"}
    mine = {name: first.value[name] for name in other.value}
    assert mine == pytest.approx(other.value, rel=1e-5)
    assert abs(first.value["bpr"] - np.log(2)) > 1e-4
    assert first.seconds is not None
    assert first.phases["forward"] > 0
    assert len(ours.clock.steps) == 5
    again = ours()
    assert again.value == first.value  # of the first step that ever was


def test_the_rival_trains_on_the_edges_that_the_library_keeps(inputs: Inputs) -> None:
    plain = PlainSteps(inputs, {})
    model = inputs.model()
    model.on_epoch(1)
    assert model._pruned is not None
    torch.testing.assert_close(plain.rival.adjacency.to_dense(), model._pruned.to_dense())
    torch.testing.assert_close(plain.rival.item_graph.to_dense(), model.item_graph.to_dense())


def test_both_get_the_same_batches(inputs: Inputs) -> None:
    ours = OurSteps(inputs, {})
    mine = list(ours.sampler.epoch(64, torch.Generator()))
    other = steps.given_batches(inputs)
    assert len(mine) == len(other) == 5
    for one, two in zip(mine, other, strict=True):
        assert isinstance(one, Batch)
        assert all(torch.equal(a, b) for a, b in zip(one[:3], two[:3], strict=True))


def test_made_items_have_features_and_are_their_own_neighbours(inputs: Inputs) -> None:
    assert {name: x.shape for name, (x, _) in item_features(inputs.graph).items()} == {
        "image": (40, 24),
        "text": (40, 16),
    }
    source, target = inputs.graph[knn_edge_type("image")].edge_index
    assert int((source == target).sum()) == 40
