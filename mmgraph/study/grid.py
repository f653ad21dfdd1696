"""The settings a sweep tries: values by key, all their combinations or some of them."""

import math
import random
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mmgraph.errors import ConfigError
from mmgraph.toml import parse_value

Grid = dict[str, list[Any]]
"""Values to try, by key."""

# With other data or another measure, settings cannot be compared.
_NOT_TO_TRY = ("seed", "evaluation", "data.dataset", "data.split", "published", "ablations")


def parse_grid(texts: Sequence[str]) -> Grid:
    """Return values by key from texts such as ``model.k=5,10``; each value is TOML, or else plain text.

    Raises:
        ConfigError: a text has no key or no values, or a key or value stands twice.

    Example:
        >>> parse_grid(["model.k=5,10", "model.fusion=mean,max", "data.modalities=['text'],['image']"])
        {'model.k': [5, 10], 'model.fusion': ['mean', 'max'], 'data.modalities': [['text'], ['image']]}
    """
    grid: dict[str, list[Any]] = {}
    for text in texts:
        key, equals, listed = (part.strip() for part in text.partition("="))
        if not equals or not key:
            raise ConfigError(f"--grid takes key=value,value, such as model.k=5,10 (got {text!r})")
        if key in grid:
            raise ConfigError(
                f"--grid must name a key once (got {key!r} twice); list all its values in one"
            )
        grid[key] = _parse_list(key, listed)
    return check_grid(grid)


def _parse_list(key: str, text: str) -> list[Any]:
    try:
        return list(tomllib.loads(f"values = [{text}]")["values"])
    except tomllib.TOMLDecodeError:
        if any(sign in text for sign in "[]{}\"'"):
            raise ConfigError(
                f"--grid {key}: values must be TOML or plain words (got {text!r}); put quotes around words in lists"
            ) from None
        return [parse_value(part.strip()) for part in text.split(",") if part.strip()]


def check_grid(grid: Mapping[str, Sequence[Any]]) -> Grid:
    """Return the values to try by key; numbers of numpy become those of Python, as recipes and messages take them.

    Raises:
        ConfigError: there are none, a value stands twice or is none that a recipe can hold, or settings that differ
            in a key cannot be compared.

    Example:
        >>> check_grid({"model.k": np.arange(5, 7)})
        {'model.k': [5, 6]}
    """
    if not grid:
        raise ConfigError("a sweep needs a grid (got none); give --grid model.k=5,10")
    plain = {key: [_plain(value, key) for value in values] for key, values in grid.items()}
    for key, values in plain.items():
        for fixed in _NOT_TO_TRY:
            if key == fixed or key.startswith(f"{fixed}."):
                raise ConfigError(
                    f"--grid {key}: settings that differ in {fixed} cannot be compared (got {values}); use --set"
                )
        if not values:
            raise ConfigError(
                f"--grid {key}: at least one value is needed (got none); write {key}=1,2"
            )
        for number, value in enumerate(values):
            if value in values[:number]:
                raise ConfigError(
                    f"--grid {key}: values must differ (got {value!r} twice); remove one"
                )
    return plain


def _plain(value: Any, key: str) -> Any:
    """Return a value as TOML has it: what is sent to another process and written to disk is nothing else."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(name): _plain(inner, key) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        inside = [_plain(inner, key) for inner in value]
        return inside if isinstance(value, list) else tuple(inside)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ConfigError(
        f"--grid {key}: values must be numbers, words, switches, lists or tables of these (got {value!r}); "
        "write it as one of them"
    )


def grid_points(grid: Grid, *, trials: int | None, seed: int) -> list[dict[str, Any]]:
    """Return the settings of a grid in its order, or some of them drawn at random.

    Raises:
        ConfigError: fewer than one is wanted.

    Example:
        >>> grid_points({"a": [1, 2], "b": [3]}, trials=None, seed=0)
        [{'a': 1, 'b': 3}, {'a': 2, 'b': 3}]
    """
    count = grid_size(grid)
    if trials is not None and trials < 1:
        raise ConfigError(
            f"--trials must be at least 1 (got {trials}); leave it out for the whole grid"
        )
    numbers: Iterable[int] = range(count)
    if trials is not None and trials < count:
        # A grid may be far larger than what is tried of it, so its settings are counted and not listed.
        numbers = sorted(random.Random(int(seed)).sample(range(count), trials))
    return [_point(grid, number) for number in numbers]


def grid_size(grid: Grid) -> int:
    """Return how many settings a grid has.

    Example:
        >>> grid_size({"a": [1, 2], "b": [3, 4, 5]})
        6
    """
    return math.prod(map(len, grid.values()))


def _point(grid: Grid, number: int) -> dict[str, Any]:
    """Return the setting with a number; the last key changes fastest."""
    point = {}
    for key, values in reversed(grid.items()):
        number, place = divmod(number, len(values))
        point[key] = values[place]
    return {key: point[key] for key in grid}
