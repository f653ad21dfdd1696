"""One run of a study: when it is trained, when it is only read, when it is refused."""

import json
from dataclasses import replace
from typing import Any

import pytest

from mmgraph.errors import ConfigError
from mmgraph.experiment import load_run
from mmgraph.study import Event, Place, Trial
from mmgraph.study.trial import run_trial, stored_run
from mmgraph.training import TrainingConfig


def done(trial: Trial) -> list[Event]:
    events: list[Event] = []
    run_trial(trial, events.append, place=Place())
    return events


def changed(trial: Trial, **model: Any) -> Trial:
    return replace(trial, values={**trial.values, "model": {**trial.values["model"], **model}})


def test_a_trial_is_trained_once_and_tells_how_it_goes(trial: Trial) -> None:
    assert stored_run(trial) is None
    events = done(trial)
    assert {event.kind for event in events} == {"phase", "note", "epoch", "done"}
    assert events[-1].text.startswith("2 epochs, best ")
    assert "valid recall@20" in events[-1].text
    run = stored_run(trial)
    assert run is not None
    assert run.folder.is_complete
    assert run.folder.facts()["seed"] == 7
    before = (trial.path / "metrics.json").stat().st_mtime_ns
    assert [event.kind for event in done(trial)] == ["done"]
    assert (trial.path / "metrics.json").stat().st_mtime_ns == before


def test_an_interrupted_trial_goes_on_to_the_same_bytes(trial: Trial) -> None:
    done(trial)
    weights = (trial.path / "model.safetensors").read_bytes()
    facts = json.loads((trial.path / "run.json").read_text())
    (trial.path / "run.json").write_text(json.dumps({**facts, "complete": False, "files": {}}))
    (trial.path / "model.safetensors").unlink()
    assert done(trial)[-1].kind == "done"
    assert (trial.path / "model.safetensors").read_bytes() == weights


def test_a_run_of_another_recipe_is_refused_by_the_key_that_differs(trial: Trial) -> None:
    done(trial)
    with pytest.raises(ConfigError, match=r"model.embedding_dim is 4 there, 8 is asked for"):
        stored_run(changed(trial, embedding_dim=8))
    with pytest.raises(ConfigError, match=r"model.name is 'bpr_mf' there"):
        stored_run(changed(trial, name="lightgcn"))
    with pytest.raises(ConfigError, match="seed is 7 there"):
        stored_run(replace(trial, seed=8))
    (event,) = done(changed(trial, embedding_dim=8))
    assert event.kind == "failed"
    assert event.details == ""


def test_words_for_the_reader_and_the_place_of_the_data_make_no_other_run(trial: Trial) -> None:
    done(trial)
    again = {**trial.values, "published": {"recall@20": 0.5}, "ablations": {"x": {"model.k": 3}}}
    assert stored_run(replace(trial, values=again)) is not None
    # A default that is written out is the same setting.
    again = {**trial.values, "training": {"max_epochs": 2, "patience": TrainingConfig().patience}}
    assert stored_run(replace(trial, values=again)) is not None


def test_default_lengths_that_a_small_catalogue_cannot_fill_are_no_difference(trial: Trial) -> None:
    assert 50 in trial.recipe.evaluation.ks
    done(trial)
    run = stored_run(trial)
    assert run is not None
    assert max(run.recipe.evaluation.ks) == 20


def test_a_folder_with_something_else_is_refused(trial: Trial) -> None:
    trial.path.mkdir(parents=True)
    assert stored_run(trial) is None  # an empty folder is free
    (trial.path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="not a run folder"):
        stored_run(trial)


def test_failures_are_told_in_one_line_and_defects_with_their_place(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = {"max_epochs": 5, "learning_rate": 1e38}
    event = done(replace(trial, values={**trial.values, "training": training}))[-1]
    assert event.kind == "failed"
    assert "\n" not in event.text
    assert event.details == ""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr("mmgraph.study.trial.train", broken)
    event = done(replace(trial, path=trial.path.with_name("other")))[-1]
    assert (event.kind, event.text) == ("failed", "ZeroDivisionError: by zero")
    assert "Traceback" in event.details


def test_an_interrupt_is_not_a_failure(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mmgraph.study.trial.train", interrupt)
    with pytest.raises(KeyboardInterrupt):
        done(trial)


def test_epochs_are_told_at_most_twice_a_second(trial: Trial) -> None:
    training = {"max_epochs": 30, "patience": 30}
    many = replace(trial, values={**trial.values, "training": training})
    epochs = [event for event in done(many) if event.kind == "epoch"]
    assert 1 <= len(epochs) < 30
    assert epochs[0].limit == 30
    assert load_run(trial.path).metrics["epochs"] == 30


def test_a_trial_survives_the_way_to_another_process(trial: Trial) -> None:
    assert Trial.from_json(json.loads(json.dumps(trial.to_json()))) == trial
