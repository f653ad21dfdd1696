"""What there is to choose from: every model with its paper, its kind and its presets."""

from dataclasses import dataclass
from typing import get_args

from mmgraph.models import MODELS, get_model
from mmgraph.models.backbone import WrapperConfig
from mmgraph.models.base import ModalityFusion, Paper, Scorer


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model before it is built.

    Attributes:
        name: As on the command line.
        class_name: As its paper prints it, but for characters that no class name has.
        paper: Where it was published.
        modality_fusion: What becomes of the modalities, of which every model takes any number: nothing (``none``), a
            mixture before the score (``joint``), or a sum of scores (``late``).
        scorer: How a user and an item make a score.
        presets: Values of ``model.preset``; none where paper and released code do not differ.
        wraps: Whether it stands on another model, ``model.backbone``.
        ablations: Labels of the paper's ablation table.
    """

    name: str
    class_name: str
    paper: Paper | None
    modality_fusion: ModalityFusion
    scorer: Scorer
    presets: tuple[str, ...]
    wraps: bool
    ablations: tuple[str, ...]


def describe_models() -> list[ModelFacts]:
    """Return the facts of all registered models, by year and name.

    Example:
        >>> facts = {model.name: model for model in describe_models()}
        >>> facts["lightgcn"].paper.year, facts["lattice"].presets
        (2020, ('paper', 'as_released'))
    """
    found = [_describe(name) for name in MODELS]
    return sorted(found, key=lambda model: (model.paper.year if model.paper else 0, model.name))


def _describe(name: str) -> ModelFacts:
    model = get_model(name)
    preset = model.Config.model_fields.get("preset")
    return ModelFacts(
        name=name,
        class_name=model.__name__,
        paper=model.paper,
        modality_fusion=model.modality_fusion,
        scorer=model.scorer,
        presets=get_args(preset.annotation) if preset else (),
        wraps=issubclass(model.Config, WrapperConfig),
        ablations=tuple(model.ablations),
    )
