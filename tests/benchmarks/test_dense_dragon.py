"""The plain MARGO on DRAGON computes what the dense float64 equations say, and what the library does."""

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.rivals.dense_dragon import DenseDragon, UserNeighbours
from benchmarks.training.cells import TrainingCell
from benchmarks.training.made import made_graph
from benchmarks.training.steps import OurSteps, PlainSteps, dense_dragon, user_neighbours
from benchmarks.training.ways import Inputs
from mmgraph.models.margo import MARGO
from mmgraph.testing import oracles

USERS, ITEMS, DIM, K = 9, 7, 3, 2
SHARES = {"image": 0.1, "text": 0.9}
PAIRS = torch.tensor([[0, 0, 1, 2, 3, 3, 4, 5, 8], [0, 1, 1, 2, 3, 6, 4, 5, 6]])
TRIPLES = (torch.tensor([0, 3, 3, 8]), torch.tensor([0, 3, 6, 6]), torch.tensor([4, 1, 2, 0]))


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make_rival() -> DenseDragon:
    features = {"image": drawn(ITEMS, 5, seed=1), "text": drawn(ITEMS, 4, seed=2)}
    target = torch.arange(ITEMS).repeat_interleave(K)
    step = torch.tensor([0, 1]).repeat(ITEMS)
    shared = torch.zeros(USERS, K)
    shared[0], shared[1, 0] = torch.tensor([2.0, 1.0]), 1.0
    return DenseDragon(
        preferences={name: drawn(USERS, DIM, seed=3 + len(name)) for name in features},
        features=features,
        encoders={
            name: [
                (drawn(6, x.size(1), seed=10), drawn(6, seed=11)),
                (drawn(DIM, 6, seed=12), drawn(DIM, seed=13)),
            ]
            for name, x in features.items()
        },
        logits=drawn(ITEMS, 2, seed=14),
        pairs=PAIRS,
        neighbours={
            "image": torch.stack([(target + step) % ITEMS, target]),
            "text": torch.stack([(target + 3 * step) % ITEMS, target]),
        },
        shares=SHARES,
        users=UserNeighbours(torch.tensor([[1, 3]] + [[0, 0]] * (USERS - 1)), shared),
        tau=0.5,
        learning_rate=0.05,
    )


def oracle(rival: DenseDragon) -> tuple[float, float]:
    """The criterion and the calibration by the dense equations."""
    content = []
    for name, x in rival.features.items():
        (w, b), (v, c) = (
            [part.detach().double().numpy() for part in layer] for layer in rival.encoders[name]
        )
        hidden = x.double().numpy() @ w.T + b
        content.append(np.where(hidden > 0, hidden, 0.01 * hidden) @ v.T + c)
    item_graph = np.zeros((ITEMS, ITEMS))
    for target in range(ITEMS):
        for step, name in ((1, "image"), (3, "text")):
            for source in (target, (target + step) % ITEMS):
                item_graph[target, source] += SHARES[name] / K
    user_graph = np.zeros((USERS, USERS))
    user_graph[0, [1, 3]] = np.exp([2.0, 1.0]) / np.exp([2.0, 1.0]).sum()
    user_graph[1, 0] = 1.0
    users, items = oracles.dragon(
        [table.detach() for table in rival.preferences.values()],
        content,
        np.ones((USERS, 2)),
        PAIRS.T.numpy(),
        user_graph=user_graph,
        item_graph=item_graph,
    )
    parts = [np.split(x, 2, axis=1) for x in (users, items)]
    logits = rival.logits.detach()
    scores = oracles.margo_scores(*parts, oracles.margo_weights(logits))
    u, i, k = (index.numpy() for index in TRIPLES)
    triples = np.stack([u, i, k], axis=1)
    calibration = oracles.margo_calibration(*parts, logits, triples, tau=0.5).mean()
    return oracles.bpr(scores[u, i], scores[u, k]), float(calibration)


def test_the_terms_equal_the_dense_equations() -> None:
    rival = make_rival()
    terms = {name: value.item() for name, value in rival.loss(TRIPLES).items()}
    bpr, calibration = oracle(rival)
    assert calibration > 0.001
    assert (terms["bpr"], terms["calibration"]) == pytest.approx((bpr, calibration), rel=1e-4)
    rows = [table[TRIPLES[0]].detach() for table in rival.preferences.values()]
    assert terms["reg"] == pytest.approx(oracles.mean_squared_penalty(rows), rel=1e-5)


def test_everything_but_the_features_learns_and_the_loss_falls() -> None:
    rival = make_rival()
    features = {name: x.clone() for name, x in rival.features.items()}
    logits = rival.logits.detach().clone()
    seconds, terms = rival.train([TRIPLES] * 5)
    assert [set(step) for step in seconds] == [{"forward", "backward", "optimiser", "rest"}] * 5
    assert terms[-1]["bpr"] < terms[0]["bpr"]
    assert all(torch.equal(x, features[name]) for name, x in rival.features.items())
    assert not torch.equal(rival.logits, logits)


@pytest.fixture
def inputs(monkeypatch: pytest.MonkeyPatch) -> Inputs:
    widths = {"image": 24, "text": 16}
    monkeypatch.setattr("benchmarks.training.made.FEATURE_WIDTHS", widths)
    monkeypatch.setattr("benchmarks.training.made.USER_NEIGHBOURS", 5)
    monkeypatch.setattr("benchmarks.training.steps.USER_NEIGHBOURS", 5)
    ways = ("mmgraph", "bfloat16", "plain")
    sizes = {"users": 60, "items": 40, "edges": 300, "dim": 8, "batch": 64}
    cell = TrainingCell("step", "step", ways, "made", "margo", steps=5, threads=1, **sizes)
    return Inputs(cell, made_graph(cell))


def test_the_library_and_the_rival_have_the_same_first_losses(inputs: Inputs) -> None:
    ours, low, plain = (
        way(inputs, options)
        for way, options in (
            (OurSteps, {}),
            (OurSteps, {"precision": "bfloat16"}),
            (PlainSteps, {}),
        )
    )
    first, second, other = ours().value, low().value, plain().value
    assert set(first) == {"bpr", "reg", "calibration"}
    assert first == pytest.approx(other, rel=1e-4)
    assert second != first
    assert second == pytest.approx(first, rel=0.05)


def test_the_rivals_vectors_are_the_librarys(inputs: Inputs) -> None:
    model = inputs.model()
    assert isinstance(model, MARGO)
    parts = model.backbone.modality_embeddings().values()
    for ours, (user, item) in zip(parts, dense_dragon(inputs).encode(), strict=True):
        torch.testing.assert_close(user, ours.user, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(item, ours.item, rtol=1e-4, atol=1e-5)


def test_neighbours_of_users_are_the_edges_of_the_graph(inputs: Inputs) -> None:
    nearest, shared = user_neighbours(inputs)
    edges = inputs.graph["user", "co_interacts", "user"]
    source, target = edges.edge_index.tolist()
    expected = set(zip(target, source, edges.edge_weight.tolist(), strict=True))
    rows, columns = shared.nonzero(as_tuple=True)
    found = zip(
        rows.tolist(), nearest[rows, columns].tolist(), shared[rows, columns].tolist(), strict=True
    )
    assert set(found) == expected
    assert len(rows) == len(expected)
