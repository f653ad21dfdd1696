"""The table of the model inside: what it may say, what is filled in, what is refused in one line."""

from typing import ClassVar, Literal

import pytest
import torch
from pydantic import ValidationError

from mmgraph.errors import ConfigError
from mmgraph.models import MODELS, get_model
from mmgraph.models.backbone import Wrapper, WrapperConfig
from mmgraph.models.base import Recommender, Stage
from mmgraph.models.lightgcn import LightGCN, LightGCNConfig
from mmgraph.testing import checkerboard_graph
from mmgraph.training.loop import choose_learning


class OuterConfig(WrapperConfig):
    name: Literal["outer"] = "outer"
    default_backbone: ClassVar = {"name": "lightgcn", "num_layers": 1}

    @classmethod
    def backbone_defaults(cls, model):
        return {"reg_kind": "norm"} if model is not get_model("vbpr") else {"item_bias": False}


class Outer(Wrapper):
    Config = OuterConfig

    def encode(self):
        return self.backbone.encode()


def test_the_default_is_a_config_of_its_model() -> None:
    inside = OuterConfig().backbone
    assert inside == LightGCNConfig(num_layers=1, reg_kind="norm")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("lightgcn", {"name": "lightgcn", "num_layers": 1, "reg_kind": "norm"}),
        ({"embedding_dim": 8}, {"name": "lightgcn", "num_layers": 1, "embedding_dim": 8}),
        ({"name": "lightgcn", "num_layers": 2}, {"num_layers": 2}),
        ({"name": "ngcf"}, {"name": "ngcf", "num_layers": 3, "reg_kind": "norm"}),
        ({"name": "ngcf", "reg_kind": "half_sq"}, {"reg_kind": "half_sq"}),
        ("vbpr", {"name": "vbpr", "item_bias": False, "reg_kind": "half_sq"}),
        (LightGCNConfig(embedding_dim=4), {"embedding_dim": 4, "num_layers": 1}),
        (LightGCNConfig(num_layers=3), {"num_layers": 3}),
    ],
)
def test_what_is_left_out_is_filled_in(given, expected) -> None:
    inside = OuterConfig(backbone=given).backbone.model_dump()
    assert {key: inside[key] for key in expected} == expected


@pytest.mark.parametrize("given", ["lightgcn", {"name": "mm_gef", "k": 4}, {}])
def test_it_survives_being_written_and_read(given) -> None:
    config = OuterConfig(backbone=given)
    assert OuterConfig.model_validate_json(config.model_dump_json()) == config
    assert OuterConfig(**config.model_dump(exclude_unset=True)) == config


@pytest.mark.parametrize(
    ("given", "location", "message"),
    [
        ({"name": "lightgcn", "num_layer": 1}, ("backbone", "num_layer"), "not permitted"),
        ({"num_layers": -1}, ("backbone", "num_layers"), "greater than or equal to 0"),
        ("lightgcm", ("backbone",), "model.backbone.name .* 'lightgcm'.; did you mean 'lightgcn'"),
        (3, ("backbone",), "a table or a model's name .got 3.; write .model.backbone. name"),
        (None, ("backbone",), "a table or a model's name .got None."),
        ("mario", ("backbone",), "a model of its own .got 'mario'"),
    ],
)
def test_what_cannot_be_is_named_by_its_place(given, location, message) -> None:
    with pytest.raises(ValidationError, match=message) as refused:
        OuterConfig(backbone=given)
    assert refused.value.errors()[0]["loc"] == location


def test_a_score_that_is_no_inner_product_is_refused() -> None:
    class Odd(Recommender):
        Config = LightGCNConfig

        def score(self, users, embeddings=None):
            return users

    with pytest.raises(
        ConfigError, match=r"must score by the inner products of its vectors alone .got 'lightgcn'"
    ):
        OuterConfig.check_backbone(Odd)


def test_a_refusal_says_no_more_than_the_list_of_models() -> None:
    class Own(Recommender):
        Config = LightGCNConfig
        scorer = "pairwise"

        def score(self, users, embeddings=None):
            return users

    with pytest.raises(ConfigError, match="which has a score of its own"):
        OuterConfig.check_backbone(Own)
    # Listed with inner products, which is what it does unless told otherwise.
    assert get_model("cb").scorer == "inner product"
    with pytest.raises(ConfigError, match="got 'cb', which can be set to score otherwise"):
        OuterConfig.check_backbone(get_model("cb"))


def test_an_untrained_model_is_refused() -> None:
    with pytest.raises((ConfigError, ValidationError), match=r"model\.backbone must .*'cb'"):
        Outer(checkerboard_graph(), OuterConfig(backbone="cb"))


@pytest.mark.parametrize("phases", [0, 2])
def test_a_model_without_one_stage_is_refused(phases, monkeypatch) -> None:
    (stage,) = LightGCN(checkerboard_graph(), LightGCNConfig()).stages
    monkeypatch.setattr(LightGCN, "stages", (stage,) * phases)
    with pytest.raises(ConfigError, match=f"one stage .got 'lightgcn' with {phases}."):
        Outer(checkerboard_graph(), OuterConfig())


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_graph_is_the_one_the_backbone_needs(name) -> None:
    inside = get_model(name)
    if issubclass(inside.Config, WrapperConfig) or inside.score is not Recommender.score:
        return
    config = OuterConfig(backbone=name)
    assert Outer.edges_for(config) == inside.edges_for(config.backbone)
    assert Outer.graph_defaults(config) == inside.graph_defaults(config.backbone)


def test_the_backbone_is_told_what_happens(monkeypatch) -> None:
    model, told = Outer(checkerboard_graph(), OuterConfig()), []
    for hook in ("on_stage", "on_epoch", "after_step"):
        monkeypatch.setattr(
            LightGCN, hook, lambda self, *given, hook=hook: told.append((hook, *given))
        )
    stage = model.stages[0]
    model.on_stage(stage)
    model.on_epoch(3)
    model.after_step()
    assert told == [("on_stage", stage), ("on_epoch", 3), ("after_step",)]


def test_a_wrapper_scores_as_its_backbone() -> None:
    torch.manual_seed(0)
    model = Outer(checkerboard_graph(), OuterConfig(backbone={"embedding_dim": 4})).eval()
    users = torch.arange(12)
    assert torch.equal(model.score(users), model.backbone.score(users))


def test_a_stage_of_the_backbone_keeps_its_frozen_parts_frozen() -> None:
    """What the backbone leaves out of its stage stays left out; what is around it learns, by its own weights."""

    class HalfFrozen(LightGCN):
        @property
        def stages(self):
            return (Stage(loss_weights={"reg": 0.5}, parameters=("item_embedding",)),)

    class Around(Outer):
        def make_backbone(self, graph, config):
            return HalfFrozen(graph, config.backbone)

        def __init__(self, graph, config):
            super().__init__(graph, config)
            self.own = torch.nn.Parameter(torch.zeros(1))
            self.head = torch.nn.Linear(1, 1)

    model = Around(checkerboard_graph(), OuterConfig())
    stage = model.stage_with(extra=2.0)
    choose_learning(model, stage)
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learning == {"backbone.item_embedding", "own", "head.weight", "head.bias"}
    assert stage.loss_weights == {"reg": 0.5, "extra": 2.0}
