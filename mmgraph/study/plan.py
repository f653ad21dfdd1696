"""What a study trains: labelled settings on one data set, each over some seeds, each run a folder of its own."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from mmgraph.config import Recipe, recipe_values, shipped_recipes
from mmgraph.data import bundled_datasets, read_card
from mmgraph.errors import ConfigError
from mmgraph.export.run_folder import RUN
from mmgraph.models import MODELS
from mmgraph.study.trial import Trial
from mmgraph.toml import parse_value, set_keys

FIRST_SEED: int = Recipe.model_fields["seed"].default
"""The first seed of a study is that of a recipe that names none."""

# What is about the study itself; each trial gets its seed from the study.
_NOT_OF_A_TRIAL = ("seed", "published", "ablations")


@dataclass(frozen=True)
class Setting:
    """A row of a study's table.

    Attributes:
        label: Its name in tables, messages and folders.
        values: Plain values of the recipe, without a seed.
        source: Where they come from: a file, a shipped recipe, or a model's defaults.
        changes: Keys, written with dots, in which it differs from its source.
        ablations: The variants that its recipe names.
    """

    label: str
    values: Mapping[str, Any]
    source: str
    changes: Mapping[str, Any]
    ablations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def folder_name(self) -> str:
        """The label as the name of a folder."""
        return re.sub(r"[^\w.=+-]+", "-", self.label).strip("-.") or "-"

    def changed(self, label: str, changes: Mapping[str, Any]) -> "Setting":
        """Return it under another label with some keys changed; options that name modalities follow which there are.

        Raises:
            ConfigError: a key goes through one that is no table, or there is no such recipe.
        """
        values = set_keys(self.values, changes.items(), origin=f"{label}:")
        if "data.modalities" in changes:
            recipe = Recipe.build(values, origin=label)
            followed = recipe.model.changes_for(recipe.data.modalities or ())
            follow = {f"model.{key}": value for key, value in followed.items()}
            values = set_keys(values, follow.items(), origin=f"{label}:")
            changes = {**changes, **follow}
        return Setting(label, values, self.source, {**self.changes, **changes})


@dataclass(frozen=True)
class Study:
    """Settings, seeds, and the folder where their runs are.

    Args:
        folder: Where the runs and the results go.
        settings: At least one; their names as folders must differ.
        seeds: At least one.
    """

    folder: Path
    settings: tuple[Setting, ...]
    seeds: tuple[int, ...]

    def __post_init__(self) -> None:
        named: dict[str, str] = {}
        for setting in self.settings:
            name = setting.folder_name
            if name in named:
                raise ConfigError(
                    f"labels must differ in more than signs (got {named[name]!r} and {setting.label!r}); "
                    "rename one of them"
                )
            named[name] = setting.label

    def trial(self, setting: Setting, seed: int) -> Trial:
        """Return one of the trials."""
        path = self.folder / setting.folder_name / f"seed-{seed}"
        return Trial(setting.label, seed, setting.values, path)

    def trials(self) -> Iterator[Trial]:
        """Yield all trials seed by seed, so that a study that is interrupted has all settings on some seeds."""
        for seed, setting in product(self.seeds, self.settings):
            yield self.trial(setting, seed)

    def check_folder(self) -> None:
        """Make the folder.

        Raises:
            ConfigError: it cannot be written, or is a run.
        """
        if (self.folder / RUN).exists():
            raise ConfigError(
                f"{self.folder}: must not be a run itself, a study keeps its runs in folders of their own "
                f"(it has a {RUN}); choose another --out"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            reason = None if os.access(self.folder, os.W_OK) else "no permission"
        except OSError as error:
            reason = error.strerror
        if reason is not None:
            raise ConfigError(f"{self.folder}: cannot be written ({reason}); choose another --out")


def seeds_from(first: int | None, count: int) -> tuple[int, ...]:
    """Return so many seeds in a row; without a first one from that of recipes on.

    Raises:
        ConfigError: there would be none, or one below 0.

    Example:
        >>> seeds_from(7, 3), seeds_from(None, 2)
        ((7, 8, 9), (2026, 2027))
    """
    if count < 1:
        raise ConfigError(f"--seeds must be at least 1 (got {count}); five tell a spread")
    first = FIRST_SEED if first is None else first
    if first < 0:
        raise ConfigError(
            f"--first-seed must be at least 0 (got {first}); leave it out for {FIRST_SEED}"
        )
    return tuple(range(first, first + count))


def setting_of(
    recipe: str | Path, dataset: str | None, *, overrides: Sequence[str] = ()
) -> Setting:
    """Return the setting of a recipe; a bare name takes the recipe that is shipped for the data set, if there is one.

    Raises:
        ConfigError: there is no such recipe, or none names a data set.
        DataError: there is no such data set.
    """
    named = str(recipe)
    shipped = f"{dataset_name(dataset)}/{named}" if dataset is not None else ""
    source = shipped if shipped in shipped_recipes() else named
    values, origin = recipe_values(source, dataset, overrides=overrides)
    ablations = Recipe.build(values, origin=origin).ablations
    values = {key: value for key, value in values.items() if key not in _NOT_OF_A_TRIAL}
    if "dataset" not in values.get("data", {}):
        raise ConfigError(
            f"{named}: a data set is needed (got none); give --dataset NAME_OR_FOLDER or set data.dataset"
        )
    told = f"defaults of {named}" if source in MODELS else source
    assigned = (assignment.partition("=") for assignment in overrides)
    changes = {key.strip(): parse_value(value.strip()) for key, _, value in assigned}
    return Setting(Path(named).stem, values, told, changes, ablations)


def told_overrides(overrides: Iterable[str]) -> list[str]:
    """Return the assignments that a study's record tells; where the data lie on this machine is nobody's business.

    Example:
        >>> told_overrides(["data.dataset=/home/me/shop", "training.max_epochs=9"])
        ['training.max_epochs=9']
    """
    return [text for text in overrides if text.partition("=")[0].strip() != "data.dataset"]


def one_dataset(settings: Iterable[Setting]) -> str:
    """Return the data set that all settings are about.

    Raises:
        ConfigError: they are about different ones.
    """
    found = {setting.values["data"]["dataset"]: setting.label for setting in settings}
    if len(found) > 1:
        (first, mine), (second, theirs) = list(found.items())[:2]
        raise ConfigError(
            f"a study needs one data set (got {first!r} of {mine} and {second!r} of {theirs}); give --dataset"
        )
    return str(next(iter(found)))


def dataset_name(dataset: str) -> str:
    """Return the name of a bundled data set or of the one in a folder."""
    folder = Path(dataset)
    if dataset in bundled_datasets() or not folder.is_dir():
        return dataset
    return read_card(folder).name


def flat_changes(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes as keys with dots; a key that has dots already keeps its value, also where that is a table.

    Example:
        >>> flat_changes({"model": {"k": 5}, "model.backbone": {"name": "lightgcn"}})
        {'model.k': 5, 'model.backbone': {'name': 'lightgcn'}}
    """
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if "." not in key and isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": v for inner, v in flat_changes(value).items()}
        else:
            flat[key] = value
    return flat


def build_all(settings: Iterable[Setting]) -> dict[str, Recipe]:
    """Return the recipe of each setting.

    Raises:
        ConfigError: one has an unknown key or a value that breaks a rule; the message names the setting.
    """
    return {s.label: Recipe.build(s.values, origin=s.label) for s in settings}
