"""The clock sees every second of the library's loop and leaves the loop as it was."""

import itertools

import pytest
import torch

from benchmarks.training.cells import TrainingCell
from benchmarks.training.phases import PHASES, GivenBatches, StepClock
from benchmarks.training.steps import step_outcome
from benchmarks.training.ways import Inputs, OurEpoch, PlainEpoch, graph_of
from mmgraph.models.batch import Batch
from mmgraph.testing import checkerboard_dataset
from mmgraph.training import PairwiseSampler, TrainingConfig, fit

CELL = TrainingCell("duel", "epoch", ("mmgraph", "plain"), "board", dim=8, batch=16, threads=1)


def make_inputs() -> Inputs:
    return Inputs(CELL, graph_of(checkerboard_dataset(12)))


def test_the_phases_of_an_epoch_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """To all of it: on a clock that ticks when it is read, between its first and its last reading."""
    ticks = itertools.count()
    read: list[float] = []

    def now(device: str) -> float:
        read.append(next(ticks))
        return read[-1]

    monkeypatch.setattr("benchmarks.laps.now", now)
    way = OurEpoch(make_inputs(), {})
    way()
    read.clear()
    outcome = way()
    assert tuple(outcome.phases) == PHASES
    assert min(outcome.phases.values()) > 0
    assert sum(outcome.phases.values()) == read[-1] - read[0]
    assert outcome.settings["steps"] == -(-len(way.sampler) // 16) == len(way.clock.steps)


def test_watching_changes_no_number_and_leaves_no_trace() -> None:
    inputs = make_inputs()
    watched, bare = inputs.model(), inputs.model()
    sampler, config = inputs.sampler(), TrainingConfig(max_epochs=2, batch_size=16)
    sampler.clock = StepClock("cpu")
    plain = PairwiseSampler(*inputs.pairs, num_items=sampler.num_items)
    with sampler.clock.watching(watched):
        assert "losses" in vars(watched)
        first = fit(watched, sampler, config=config, seed=3, validate=None, select_by="x")
    second = fit(bare, plain, config=config, seed=3, validate=None, select_by="x")
    assert first.history == second.history
    assert "losses" not in vars(watched)
    assert all(map(torch.equal, watched.state_dict().values(), bare.state_dict().values()))
    steps = len(sampler.clock.steps)
    fit(watched, plain, config=config, seed=3, validate=None, select_by="x")
    assert len(sampler.clock.steps) == steps  # the hooks are gone


def test_the_clock_lets_go_when_training_fails() -> None:
    inputs = make_inputs()
    model, clock = inputs.model(), StepClock("cpu")
    with pytest.raises(RuntimeError, match="broken"), clock.watching(model):
        raise RuntimeError("broken")
    assert "losses" not in vars(model)


def test_a_sampler_stops_where_it_is_told() -> None:
    inputs = make_inputs()
    sampler = inputs.sampler()
    sampler.limit = 2
    assert len(list(sampler.epoch(16, torch.Generator()))) == 2
    given = inputs.sampler(GivenBatches)
    batch = Batch(*(torch.tensor([number]) for number in (1, 2, 3)))
    assert isinstance(given, GivenBatches)
    given.given = (batch,)
    assert list(given.epoch(16, torch.Generator())) == [batch]


def test_the_first_step_does_not_count() -> None:
    steps = [{"forward": 9.0, "backward": 9.0}, {"forward": 1.0, "backward": 2.0}]
    outcome = step_outcome(steps, {"bpr": 0.5}, epoch_start=0.25)
    assert outcome.seconds == 3.0
    assert outcome.phases == {"forward": 1.0, "backward": 2.0, "start of the epoch": 0.25}
    assert step_outcome(steps[:1], {}).seconds == 18.0  # unless it is the only one


def test_both_ways_start_from_the_same_weights_and_learn_alike() -> None:
    inputs = make_inputs()
    ours, plain = OurEpoch(inputs, {}), PlainEpoch(inputs, {})
    assert torch.equal(ours.model.user_embedding, plain.rival.user_embedding)
    losses = [(ours().value["loss"], plain().value["loss"]) for _ in range(30)]
    assert losses[0][0] == pytest.approx(losses[0][1], abs=0.02)
    assert losses[-1][0] < losses[0][0] - 1e-3
    assert losses[-1][1] < losses[0][1] - 1e-3
