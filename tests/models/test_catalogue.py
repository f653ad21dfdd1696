import importlib
import inspect
from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from mmgraph.config import Recipe
from mmgraph.graph import build_graph
from mmgraph.models import MODELS, get_model
from mmgraph.models.base import Recommender
from mmgraph.models.catalogue import describe_models
from mmgraph.testing import checkerboard_dataset
from mmgraph.testing.contract import (
    RecommenderContract,
    ScoringContract,
    board_batch,
    disturb,
    losses,
)

READERS = [
    name for name in sorted(MODELS) if get_model(name).reads_features(get_model(name).Config())
]


# Any number of modalities, named as nothing in particular or as something else in the package.
FOUR = {"a": "text", "user": "image", "x_item": "text", "image2": "image"}


def by_default(name, modalities=("text", "image")):
    recipe = Recipe.build({"model": {"name": name}, "graph": {"k": 3}})
    data = checkerboard_dataset()
    features = {}
    for modality in modalities:
        feature = data.features[FOUR.get(modality, modality)]
        features[modality] = replace(feature, name=modality)
    data = type(data)(**{**vars(data), "features": features})
    return get_model(name)(build_graph(data, recipe.graph), recipe.model).eval()


def test_every_model_is_described_once_in_the_order_of_years():
    facts = describe_models()
    assert sorted(model.name for model in facts) == sorted(MODELS)
    years = [model.paper.year for model in facts]
    assert years == sorted(years)
    assert all(model.paper.title and model.paper.authors for model in facts)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_model_scores_as_its_facts_say(name):
    model = by_default(name)
    vectors = model.retrieval_embeddings()
    assert (vectors is None) == (type(model).scorer == "pairwise")
    assert model.score(torch.tensor([0, 3])).shape == (2, 12)


@pytest.mark.parametrize(
    "modalities", [("text",), ("image",), ("text", "image"), tuple(FOUR)], ids="+".join
)
@pytest.mark.parametrize("name", READERS)
def test_a_model_that_reads_features_learns_and_scores_with_any_of_them(name, modalities):
    model, everyone = by_default(name, modalities).double(), torch.arange(12)
    disturb(model)
    assert model.score(everyone).isfinite().all()
    for stage in model.stages:
        model.zero_grad()
        model.train().on_stage(stage)
        model.on_epoch(1)
        loss = losses(model, board_batch(model.num_negatives))
        assert loss.isfinite()
        loss.backward()
        learning = {
            n: p.grad for n, p in model.named_parameters() if n.startswith(stage.parameters)
        }
        assert not [n for n, grad in learning.items() if grad is None or not grad.any()]
        assert all(grad.isfinite().all() for grad in learning.values())


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_is_held_to_the_contract(name):
    """Its test file has a class that inherits the contract, the one with training unless there is nothing to train."""
    tests = importlib.import_module(f"tests.models.test_{name}")
    classes = [
        kind
        for _, kind in inspect.getmembers(tests, inspect.isclass)
        if issubclass(kind, ScoringContract) and getattr(kind, "model", None) is get_model(name)
    ]
    wanted = RecommenderContract if by_default(name).stages else ScoringContract
    assert any(issubclass(kind, wanted) for kind in classes)


def test_presets_and_wrappers_are_read_from_the_configs():
    facts = {model.name: model for model in describe_models()}
    assert facts["ngcf"].presets == ("paper", "as_released")
    assert facts["lightgcn"].presets == ()
    assert facts["mario"].wraps
    assert not facts["mm_gef"].wraps
    assert "w/o CF" in facts["mm_gef"].ablations
    assert issubclass(get_model("mario"), Recommender)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_no_model_takes_a_penalty_below_zero(name):
    config = get_model(name).Config
    for key in (key for key in config.model_fields if key.endswith("reg_weight")):
        with pytest.raises(ValidationError, match="greater than or equal to 0"):
            config(**{key: -1.0})
