"""A recipe with and without its parts, over seeds, each variant tested against the whole."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmgraph.config import Recipe
from mmgraph.data import bundled_datasets, read_card
from mmgraph.errors import ConfigError, nearest
from mmgraph.models import get_model
from mmgraph.study.comparison import METRIC, do_study
from mmgraph.study.plan import (
    Setting,
    Study,
    dataset_name,
    flat_changes,
    one_dataset,
    seeds_from,
    setting_of,
    told_overrides,
)
from mmgraph.study.pool import StudyObserver
from mmgraph.study.table import Record
from mmgraph.study.trial import Place

FULL = "full"
RESULT = "ablation"


def ablate(
    recipe: str | Path,
    dataset: str | None = None,
    *,
    seeds: int = 5,
    first_seed: int | None = None,
    overrides: Sequence[str] = (),
    only: Sequence[str] = (),
    by_modality: bool = False,
    metric: str = METRIC,
    out: str | Path | None = None,
    place: Place | None = None,
    observer: StudyObserver | None = None,
) -> Record:
    """Train a recipe and the variants of its ablation table, and test each variant against the recipe.

    The variants are those of the model's class and of the recipe's own table ``[ablations]``, which goes first where
    both have a label.

    Args:
        recipe: Model, shipped recipe or TOML file.
        dataset: Bundled name or folder; by default the recipe's.
        seeds: How many.
        first_seed: The first of them; by default that of recipes.
        overrides: ``"a.b=c"`` assignments for the recipe and so for its variants.
        only: Labels of the variants to train; by default all.
        by_modality: Add a variant with each modality alone and, from three modalities on, one without each.
        metric: Is compared and drawn.
        out: Folder of the runs and of ``ablation.json``, ``.png`` and ``.svg``; by default
            ``runs/<dataset>/ablate-<recipe>``.
        place: Where trials are computed, and how many at a time.
        observer: Is told how it goes.

    Returns:
        What ``ablation.json`` holds, and the files.

    Raises:
        ConfigError: the model has no ablations, or fewer than two modalities where these are asked for; a label is
            unknown, a variant is no valid recipe or is evaluated in another way. Nothing was trained.
        FitError: the whole did not come to its end with all seeds.
    """
    whole = setting_of(recipe, dataset, overrides=overrides)
    by_part = modality_variants(whole) if by_modality else {}
    variants = {**by_part, **ablations_of(whole, needed=not by_modality)}
    for label in only:
        if label not in variants:
            raise ConfigError(
                f"--only must be a label of the ablation table (got {label!r}){nearest(label, variants)}"
            )
    chosen = {label: c for label, c in variants.items() if not only or label in only}
    _check_modalities(whole, chosen)
    settings = (
        whole.changed(FULL, {}),
        *(whole.changed(label, changes) for label, changes in chosen.items()),
    )
    name = dataset_name(one_dataset(settings))
    folder = Path(out) if out is not None else Path("runs") / name / f"ablate-{whole.folder_name}"
    study = Study(folder, settings, seeds_from(first_seed, seeds))
    options = {
        "recipe": str(recipe),
        "set": told_overrides(overrides),
        "only": [*only],
        "by_modality": by_modality,
        "metric": metric,
    }
    return do_study(
        "ablate",
        study,
        RESULT,
        against=FULL,
        metric=metric,
        place=place,
        observer=observer,
        facts={"recipe": whole.label, "options": options},
    )


def modality_variants(setting: Setting) -> dict[str, Mapping[str, Any]]:
    """Return the changes of the variants with one modality or, from three on, without one, by label.

    Raises:
        ConfigError: the model reads no features, or there are fewer than two modalities.
        DataError: the data set's card cannot be read.
    """
    config, names = Recipe.build(setting.values, origin=setting.label).model, _modalities(setting)
    if not get_model(config.name).reads_features(config):
        raise ConfigError(
            f"{setting.label}: variants by modality need a model that reads features (got {config.name!r}); "
            "leave out --by-modality"
        )
    if len(names) < 2:
        raise ConfigError(
            f"{setting.label}: variants by modality need at least two of them (got {', '.join(names) or 'none'}); "
            "leave out --by-modality, or add [features.<name>] to dataset.toml"
        )
    parts = {f"{name} alone": [name] for name in names}
    if len(names) > 2:
        parts |= {f"w/o {name}": [other for other in names if other != name] for name in names}
    return {label: {"data.modalities": kept} for label, kept in parts.items()}


def _check_modalities(setting: Setting, variants: Mapping[str, Any]) -> None:
    """Refuse variants of the model's class that would not differ from the whole for want of modalities."""
    model = get_model(setting.values["model"]["name"])
    own = [label for label in variants if label in model.ablations]
    if own and model.ablations_need > 1:
        names = _modalities(setting)
        if len(names) < model.ablations_need:
            raise ConfigError(
                f"{setting.label}: {own[0]!r} needs at least {model.ablations_need} modalities to differ from "
                f"{FULL!r} (got {', '.join(names) or 'none'}); add [features.<name>] to dataset.toml"
            )


def _modalities(setting: Setting) -> list[str]:
    data = setting.values["data"]
    folder = bundled_datasets().get(data["dataset"], Path(data["dataset"]))
    return list(data.get("modalities") or read_card(folder).features)


def ablations_of(setting: Setting, *, needed: bool = True) -> dict[str, Mapping[str, Any]]:
    """Return the changes of each variant, by label: of the model's class, then of the recipe.

    Args:
        setting: The whole.
        needed: Refuse to return none.

    Raises:
        ConfigError: there are none, or one has no changes, bears the label of the whole or sets what is not its own.
    """
    recipe = Recipe.build(setting.values, origin=setting.label)
    model = get_model(recipe.model.name)
    own = {label: flat_changes(table) for label, table in setting.ablations.items()}
    variants: dict[str, Mapping[str, Any]] = {**model.ablations, **own}
    if not variants and needed:
        or_else = ", or give --by-modality" if model.reads_features(recipe.model) else ""
        raise ConfigError(
            f"{setting.label}: {recipe.model.name} has no ablations (got none from the recipe either); "
            f'add [ablations."w/o something"] with its changed keys to the recipe{or_else}'
        )
    for label, changes in variants.items():
        if label == FULL or not changes:
            raise ConfigError(
                f"{setting.label}: an ablation needs a label other than {FULL!r} and changed keys (got {label!r} with "
                f"{len(changes)}); change its table"
            )
        if "seed" in changes:
            raise ConfigError(
                f"{setting.label}: {label!r} cannot set the seed (got {changes['seed']}); use --first-seed"
            )
    return variants
