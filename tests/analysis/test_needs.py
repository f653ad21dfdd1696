"""Which models can answer, and what is said of those that cannot."""

from collections.abc import Callable
from typing import Any

import pytest

from mmgraph.analysis.needs import (
    check_model,
    check_run,
    item_degrees,
    item_names,
    missing,
    models_with,
)
from mmgraph.errors import ConfigError
from mmgraph.models import MODELS, get_model
from mmgraph.models.base import Recommender


def test_models_are_found_by_what_their_class_defines() -> None:
    assert "open" in models_with("modality_weights")
    assert "bpr_mf" not in models_with("modality_weights", "modality_influence")
    assert models_with("encode") == list(MODELS)  # each has its own
    for name in models_with("modality_weights"):
        assert get_model(name).modality_weights is not Recommender.modality_weights


def test_the_error_names_the_run_the_model_and_those_that_can(trained: Callable[..., Any]) -> None:
    run = trained("bpr_mf")
    with pytest.raises(ConfigError) as caught:
        check_model(run, "learned weights", "modality_weights")
    text = str(caught.value)
    assert str(run.path) in text
    assert "got bpr_mf, which has none)" in text
    assert "open" in text
    assert "\n" not in text


def test_a_model_that_could_but_does_not_is_told_apart(trained: Callable[..., Any]) -> None:
    run = trained()
    check_model(run, "learned weights", "modality_weights")
    assert "as it is configured here" in str(missing(run, "weights", "modality_weights"))


def test_where_no_model_can_that_is_said(trained: Callable[..., Any]) -> None:
    assert "no registered model" in str(missing(trained(), "wings", "wings"))


def test_an_interrupted_run_is_refused(trained: Callable[..., Any]) -> None:
    run = trained()
    check_run(run)
    run.folder.write_json("run.json", {**run.folder.facts(), "complete": False})
    with pytest.raises(ConfigError, match="--resume"):
        check_run(run)


def test_items_by_index(trained: Callable[..., Any]) -> None:
    data = trained().dataset
    assert item_degrees(data).tolist() == [5] * 12
    assert item_names(data, 3) == {"item": "3", "title": ""}
