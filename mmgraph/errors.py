"""Everything mmgraph raises on purpose.

Each message says the rule, the value that broke it and the remedy, in one line. Mistakes of the caller also derive from
:class:`ValueError`, so code that knows nothing of mmgraph can catch them.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any


class MmgraphError(Exception):
    """Base of all errors raised by mmgraph."""


class DataError(MmgraphError, ValueError):
    """A file, row, column or feature breaks a rule of the data-set format."""


class GraphError(MmgraphError, ValueError):
    """A graph, or a request to build one, breaks a rule of the graph contract."""


class ConfigError(MmgraphError, ValueError):
    """A recipe, an option or a run folder is not what mmgraph understands."""


class FitError(MmgraphError, RuntimeError):
    """Training itself went wrong: a loss that is not finite, or nothing left to learn from."""


class MissingDependency(MmgraphError, ImportError):
    """An optional package is needed and not installed; the message carries the install line."""


# Remedies for values of another kind, by pydantic's name of the mistake.
_HOW_TO_WRITE = {
    "tuple_type": "; write a list, such as ['a', 'b']",
    "list_type": "; write a list, such as ['a', 'b']",
    "dict_type": "; write a table, such as {a = 1}",
    "model_type": "; write a table, such as {a = 1}",
}


def nearest(name: str, known: Iterable[str], *, listed: Iterable[str] | None = None) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest known name, or a list of names.

    Args:
        name: What was given.
        known: What it could have been.
        listed: Names to list where none is close; by default all that are known.

    Example:
        >>> nearest("tets", ["train", "test"])
        "; did you mean 'test'?"
    """
    choices = sorted(known)
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    choices = choices if listed is None else sorted(listed)
    return f"; known: {', '.join(choices)}" if choices else ""


def explain_validation(
    errors: Sequence[Mapping[str, Any]], known_keys: Callable[[tuple[str, ...]], Iterable[str]]
) -> str:
    """Put the first complaint of a pydantic validation into one line of our own form.

    Args:
        errors: What ``ValidationError.errors()`` returns.
        known_keys: Gives the keys a table may have, by its path.

    Example:
        >>> complaint = {"type": "extra_forbidden", "loc": ("model", "layers"), "msg": "", "input": 3}
        >>> explain_validation([complaint], lambda table: ["num_layers"])
        "unknown key 'model.layers'; did you mean 'num_layers'?"
    """
    first = errors[0]
    location = tuple(str(part) for part in first["loc"] if part != "[key]")
    key = ".".join(location)
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r}{nearest(location[-1], known_keys(location[:-1]))}"
    if first["type"] == "missing":
        return f"key {key!r} is missing; add it"
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if first["type"] != "value_error":
        message += f" (got {first['input']!r}){_HOW_TO_WRITE.get(first['type'], '')}"
    return f"{key}: {' '.join(message.split())}" if key else " ".join(message.split())
