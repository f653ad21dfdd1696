"""One model around another: the table ``model.backbone`` of a recipe, and what follows from it."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, ClassVar, cast

from pydantic import Field, SerializeAsAny, field_validator
from torch_geometric.data import HeteroData

from mmgraph.errors import ConfigError
from mmgraph.models import get_model
from mmgraph.models.base import ModelConfig, Recommender, Stage


class WrapperConfig(ModelConfig):
    """What models around another model have: the config of that model, under ``backbone``.

    A table is read as the config of the model it names, a bare name as a table of only that. What a table leaves out
    is :meth:`backbone_defaults`, and of ``default_backbone`` where it names the same model or none.

    Attributes:
        default_backbone: The backbone if none is given.
        backbone: Config of the model inside.

    Example:
        >>> from mmgraph.models.mario import MARIOConfig
        >>> MARIOConfig(backbone="lightgcn").backbone.num_layers
        3
        >>> MARIOConfig(backbone={"embedding_dim": 8}).backbone.name
        'bpr_mf'
    """

    default_backbone: ClassVar[Mapping[str, Any]] = {"name": "bpr_mf"}

    backbone: SerializeAsAny[ModelConfig] = Field(
        default_factory=lambda: cast(ModelConfig, {}), validate_default=True
    )

    @classmethod
    def check_backbone(cls, model: type[Recommender]) -> None:
        """Refuse a class that cannot serve: by default other wrappers, and models whose score is no inner product.

        Raises:
            ConfigError: it cannot.
        """
        name = model.Config.model_fields["name"].default
        if issubclass(model.Config, WrapperConfig):
            raise ConfigError(
                f"model.backbone must be a model of its own (got {name!r}, which wraps one); name the inner one"
            )
        if model.score is not Recommender.score:
            how = (
                "has a score of its own"
                if model.scorer == "pairwise"
                else "can be set to score otherwise"
            )
            raise ConfigError(
                f"model.backbone must score by the inner products of its vectors alone (got {name!r}, which {how}); "
                f"use another, such as {cls.default_backbone['name']!r}"
            )

    @classmethod
    def backbone_defaults(cls, model: type[Recommender]) -> Mapping[str, Any]:
        """Return keys of the backbone's config whose default is another one here."""
        del model
        return {}

    def changes_for(self, modalities: Collection[str]) -> dict[str, Any]:
        """Return those of the backbone."""
        inside = self.backbone.changes_for(modalities)
        return {f"backbone.{key}": value for key, value in inside.items()}

    @classmethod
    def read_backbone(cls, value: Any) -> tuple[type[Recommender], dict[str, Any]]:
        """Return the class of a backbone and its complete table, whose keys are not yet checked.

        Args:
            value: A table, which may be empty, a name or a config.

        Raises:
            ConfigError: it is none of these, or no model that can serve.
        """
        if isinstance(value, ModelConfig):
            value = {**value.model_dump(exclude_unset=True), "name": value.name}
        table = {"name": value} if isinstance(value, str) else value
        if not isinstance(table, Mapping):
            raise ConfigError(
                f"model.backbone must be a table or a model's name (got {value!r}); write [model.backbone] name = ..."
            )
        default = cls.default_backbone
        name = table.get("name", default["name"])
        model = get_model(str(name), key="model.backbone.name")
        cls.check_backbone(model)
        own = default if name == default["name"] else {"name": name}
        return model, {**cls.backbone_defaults(model), **own, **table}

    @field_validator("backbone", mode="before")
    @classmethod
    def _parse_backbone(cls, value: Any) -> ModelConfig:
        model, table = cls.read_backbone(value)
        # Complaints keep their keys: pydantic puts "backbone" before each.
        return model.Config.model_validate(table)


class Wrapper(Recommender):
    """Base of models around another: the graph that one needs, and every hook passed on.

    Args:
        graph: As for the backbone.
        config: With the backbone's.

    Attributes:
        backbone: The model inside.

    Raises:
        ConfigError: the backbone is not trained, or in several stages.
    """

    Config = WrapperConfig
    config: WrapperConfig

    def __init__(self, graph: HeteroData, config: WrapperConfig) -> None:
        super().__init__(graph, config)
        self.backbone = self.make_backbone(graph, config)
        if len(self.backbone.stages) != 1:
            raise ConfigError(
                f"model.backbone must be a model trained in one stage (got {config.backbone.name!r} with "
                f"{len(self.backbone.stages)}); use another, such as {config.default_backbone['name']!r}"
            )

    def stage_with(self, **weights: float) -> Stage:
        """Return the backbone's stage, in which what is around it learns too, by further terms of these weights."""
        (stage,) = self.backbone.stages
        inside = (f"backbone.{prefix}" for prefix in stage.parameters)
        around = (name for name, _ in self.named_parameters() if not name.startswith("backbone."))
        weights = {**stage.loss_weights, **weights}
        return replace(stage, loss_weights=weights, parameters=(*inside, *around))

    def make_backbone(self, graph: HeteroData, config: WrapperConfig) -> Recommender:
        """Return the model inside, on the same graph."""
        return get_model(config.backbone.name)(graph, config.backbone)

    @classmethod
    def edges_for(cls, config: WrapperConfig) -> tuple[str, ...]:
        """Return those of the backbone."""
        return get_model(config.backbone.name).edges_for(config.backbone)

    @classmethod
    def graph_defaults(cls, config: WrapperConfig) -> Mapping[str, Any]:
        """Return those of the backbone."""
        return get_model(config.backbone.name).graph_defaults(config.backbone)

    @classmethod
    def graph_rules(cls, config: WrapperConfig) -> Mapping[str, Any]:
        """Return those of the backbone."""
        return get_model(config.backbone.name).graph_rules(config.backbone)

    def on_stage(self, stage: Stage) -> None:
        """Tell the backbone."""
        self.backbone.on_stage(stage)

    def on_epoch(self, epoch: int) -> None:
        """Tell the backbone."""
        self.backbone.on_epoch(epoch)

    def after_step(self) -> None:
        """Tell the backbone."""
        self.backbone.after_step()
