"""The loop: fine-tuning without forgetting, forgetting until the target, and what is kept."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from mmgraph.errors import FitError
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.models.base import Recommender, score_function
from mmgraph.models.lightgcn import LightGCN, LightGCNConfig
from mmgraph.testing import checkerboard_dataset
from mmgraph.training import EpochReport, PairwiseSampler, TrainingConfig, fit
from mmgraph.training.loop import compute_losses
from mmgraph.unlearning.draws import draw_pairs
from mmgraph.unlearning.fit import MARGIN, Goal, Unlearned, unlearn_pairs, without_forgotten
from mmgraph.unlearning.forget_pairs import ForgetSampler, Pairs, Strangers
from mmgraph.unlearning.objective import FORGET
from mmgraph.unlearning.request import read_request
from mmgraph.unlearning.retain import Division, divide
from mmgraph.unlearning.settings import UnlearningConfig

ASKED: dict[str, Any] = {
    "users": ["4"],
    "items": ["3", "7"],
    "interactions": [("0", "2"), ("9", "9")],
}
TRAINING = TrainingConfig(batch_size=16, max_epochs=40, learning_rate=0.05)


@pytest.fixture(scope="module")
def learned() -> Recommender:
    """Return a model that has learned all training rows, those to be forgotten too; not to be changed."""
    board = checkerboard_dataset()
    division = divide(board, read_request(board, **ASKED))
    graph = division.places.widen_graph(build_graph(division.retained, GraphConfig(k=3)))
    torch.manual_seed(0)
    model = LightGCN(graph, LightGCNConfig(embedding_dim=8, num_layers=1)).double()
    pairs = PairwiseSampler(
        torch.tensor(board.train.user), torch.tensor(board.train.item), num_items=12
    )
    fit(model, pairs, config=TRAINING, seed=0, validate=None, select_by="recall@1")
    return model


@pytest.fixture
def model(learned: Recommender) -> Recommender:
    """Return a copy of it."""
    return copy.deepcopy(learned)


def unlearn(
    model: Recommender,
    division: Division,
    validate: Any = None,
    on_epoch: Any = None,
    **options: Any,
) -> Unlearned:
    config = UnlearningConfig(**{"max_epochs": 60, "learning_rate": 0.02, **options})
    drawn = draw_pairs(
        division, training=TRAINING, config=config, block_size=5, seed=1, device=torch.device("cpu")
    )
    return unlearn_pairs(
        model,
        retained(division),
        drawn.forget,
        drawn.goal,
        config=config,
        training=TRAINING,
        seed=3,
        validate=validate,
        select_by="recall@1",
        on_epoch=on_epoch,
    )


def retained(division: Division) -> PairwiseSampler:
    return PairwiseSampler(*division.places.pairs(division.retained.train), num_items=12)


def test_forgotten_pairs_come_down_to_pairs_never_learned(
    model: Recommender, division: Division
) -> None:
    reports: list[EpochReport] = []
    done = unlearn(model, division, on_epoch=reports.append)
    assert done.forgotten
    assert done.gap <= 0
    assert done.epochs == done.best_epoch == len(reports) < 60
    assert reports[0].losses[MARGIN] > reports[-1].losses[MARGIN]
    assert FORGET in reports[0].losses
    assert not model.training


def test_a_mixture_of_zero_is_fine_tuning_on_what_is_retained(
    model: Recommender, division: Division
) -> None:
    config = UnlearningConfig(mix=0.0, max_epochs=3, learning_rate=0.02)
    drawn = draw_pairs(
        division, training=TRAINING, config=config, block_size=5, seed=1, device=torch.device("cpu")
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    unlearn(model, division, mix=0.0, max_epochs=3)
    found = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(before)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02, fused=True)
    generator = torch.Generator().manual_seed(3)
    steps = -(-len(drawn.forget) // 16)
    batches = retained(division).epoch(16, generator)
    model.train()
    for _ in range(3):
        lost = drawn.forget.epoch(16, generator)
        for _ in range(steps):
            next(lost)
            batch = next(batches, None)
            if batch is None:
                batches = retained(division).epoch(16, generator)
                batch = next(batches)
            optimizer.zero_grad(set_to_none=True)
            compute_losses(model, model.stages[-1], batch, precision="float32")[1].backward()
            optimizer.step()
    assert all(torch.equal(value, found[name]) for name, value in model.state_dict().items())


def test_nothing_to_forget_leaves_the_model_as_it_is(
    model: Recommender, division: Division
) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    nobody = torch.empty(0, dtype=torch.long)
    pairs = Pairs(nobody, nobody, nobody)
    drawn = draw_pairs(
        division,
        training=TRAINING,
        config=UnlearningConfig(),
        block_size=5,
        seed=1,
        device=torch.device("cpu"),
    )
    done = unlearn_pairs(
        model,
        retained(division),
        ForgetSampler(nobody, nobody, Strangers(drawn.retained, torch.arange(12))),
        Goal(pairs, pairs),
        config=UnlearningConfig(max_epochs=5),
        training=TRAINING,
        seed=0,
        validate=None,
        select_by="recall@1",
    )
    assert (done.epochs, done.best_epoch, done.forgotten) == (0, 0, True)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_once_forgotten_only_the_retained_are_learned_and_the_best_is_kept(
    model: Recommender, division: Division
) -> None:
    values = iter([0.1, 0.9, 0.2, 0.3, 0.4, 0.5])
    reports: list[EpochReport] = []
    kept: list[dict[str, torch.Tensor]] = []

    def validate(now: Recommender) -> Mapping[str, float]:
        kept.append({name: value.clone() for name, value in now.state_dict().items()})
        return {"recall@1": next(values)}

    low = Pairs(torch.tensor([0]), torch.tensor([2]), torch.tensor([2]))  # a margin of zero
    high = Pairs(torch.tensor([1]), torch.tensor([3]), torch.tensor([0]))
    assert Goal(low, high).gap(model) < 0
    lost = torch.tensor([0, 2]), torch.tensor([2, 4])
    done = unlearn_pairs(
        model,
        retained(division),
        ForgetSampler(*lost, Strangers(retained_sets(division), torch.arange(12))),
        Goal(low, high),
        config=UnlearningConfig(max_epochs=50, patience=3, learning_rate=1e-3),
        training=TRAINING,
        seed=0,
        validate=validate,
        select_by="recall@1",
        on_epoch=reports.append,
    )
    # 0.1 before the first epoch, 0.9 after it, then three that are no better.
    assert (done.epochs, done.best_epoch, done.valid) == (4, 1, {"recall@1": 0.9})
    assert all(FORGET not in report.losses for report in reports)
    assert [report.is_best for report in reports] == [True, False, False, False]
    assert all(torch.equal(v, kept[1][name]) for name, v in model.state_dict().items())


def retained_sets(division: Division) -> Any:
    return draw_pairs(
        division,
        training=TRAINING,
        config=UnlearningConfig(),
        block_size=5,
        seed=1,
        device=torch.device("cpu"),
    ).retained


def test_the_last_epoch_is_kept_where_the_target_is_not_reached(
    model: Recommender, division: Division
) -> None:
    done = unlearn(model, division, max_epochs=2, learning_rate=1e-6)
    assert (done.epochs, done.best_epoch, done.forgotten) == (2, 2, False)
    assert done.gap > 0


def test_the_gap_is_the_difference_of_means_less_the_standard_error_of_the_target(
    model: Recommender, division: Division
) -> None:
    first = Pairs(torch.tensor([0, 1, 2]), torch.tensor([2, 3, 4]), torch.tensor([1, 2, 1]))
    second = Pairs(torch.tensor([5, 6]), torch.tensor([1, 2]), torch.tensor([3, 5]))
    score = score_function(model)
    a, b = first.margins(score), second.margins(score)
    error = (b.var(correction=0) / 2).sqrt()
    expected = float(a.mean() - b.mean() - error)
    assert Goal(first, second, block_size=2).gap(model) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("learning_rate", [1e300])
def test_numbers_that_are_not_finite_end_it(
    model: Recommender, division: Division, learning_rate: float
) -> None:
    with pytest.raises(FitError, match="must stay finite"):
        unlearn(model, division, learning_rate=learning_rate)


def test_what_is_kept_of_an_epoch_says_nothing_about_the_forgotten() -> None:
    assert without_forgotten({MARGIN: 1.0, "bpr": 2.0, FORGET: 3.0}) == {"bpr": 2.0}
