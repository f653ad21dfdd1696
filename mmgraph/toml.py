"""Recipes as text and as tables: read, changed by keys with dots, written."""

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmgraph.errors import ConfigError


def read_toml(path: Path) -> dict[str, Any]:
    """Return a recipe file.

    Raises:
        ConfigError: it is missing, cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such recipe; check the path or use a model's name") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: the recipe cannot be read ({error}); save it as UTF-8 text"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}; correct that place") from None


def set_keys(
    values: Mapping[str, Any], changes: Iterable[tuple[str, Any]], *, origin: str = "--set"
) -> dict[str, Any]:
    """Return the values with some keys, written with dots, changed one after the other.

    Raises:
        ConfigError: a key goes through one that is no table.

    Example:
        >>> set_keys({"model": {"name": "lightgcn"}}, [("model.num_layers", 2)])
        {'model': {'name': 'lightgcn', 'num_layers': 2}}
    """
    result = copy_tables(values)
    for path, value in changes:
        *tables, key = path.split(".")
        table: Any = result
        for part in tables:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise ConfigError(
                    f"{origin} {path}: {part!r} is a value, not a table; correct the path"
                )
        table[key] = copy_tables(value) if isinstance(value, Mapping) else value
    return result


def parse_value(text: str) -> Any:
    """Return what a text says as a TOML value, or else the text itself.

    Example:
        >>> parse_value("1e-3"), parse_value("mean")
        (0.001, 'mean')
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def to_toml(values: Mapping[str, Any], path: str = "") -> str:
    """Return tables of scalars and lists as TOML: JSON's notation for those is also TOML's."""
    scalars = {k: v for k, v in values.items() if not isinstance(v, dict)}
    lines = [f"{_toml_key(k)} = {json.dumps(v, ensure_ascii=False)}" for k, v in scalars.items()]
    text = "".join(f"{line}\n" for line in lines)
    for key, table in values.items():
        if isinstance(table, dict) and table:
            name = f"{path}{_toml_key(key)}"
            text += f"\n[{name}]\n{to_toml(table, f'{name}.')}"
    return text


def _toml_key(key: str) -> str:
    plain = key.isascii() and key.replace("_", "").isalnum()
    return key if plain else json.dumps(key, ensure_ascii=False)


def copy_tables(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same tables, of which a change leaves the old ones as they are."""
    return {k: copy_tables(v) if isinstance(v, Mapping) else v for k, v in values.items()}
