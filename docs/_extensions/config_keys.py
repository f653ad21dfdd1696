"""A directive that lists the keys of a configuration class, so that the page cannot lag behind the code."""

import json
import types
import typing
from importlib import import_module
from typing import Any, ClassVar

from annotated_types import Ge, Gt, Le, Lt
from docutils import nodes
from docutils.parsers.rst import directives
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class ConfigKeys(SphinxDirective):
    """Table of key, values and default of one class, given as ``module:Class``."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {"table": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        module, _, name = self.arguments[0].partition(":")
        model: type[BaseModel] = getattr(import_module(module), name)
        prefix = f"{self.options['table']}." if "table" in self.options else ""
        rows = [
            (f"{prefix}{key}", values_of(field), default_of(field))
            for key, field in model.model_fields.items()
            if not holds_keys(field.annotation)
        ]
        return [build_table(("key", "values", "default"), rows)]


def values_of(field: FieldInfo) -> str:
    """Return which values a key takes, in words."""
    signs = {Ge: ("ge", ">="), Gt: ("gt", ">"), Le: ("le", "<="), Lt: ("lt", "<")}
    bounds = [
        f"{signs[type(rule)][1]} {getattr(rule, signs[type(rule)][0]):g}"
        for rule in field.metadata
        if type(rule) in signs
    ]
    return ", ".join([describe(field.annotation), *bounds])


def describe(annotation: Any) -> str:
    """Return a type in words."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return describe(arguments[0])
    if origin is typing.Literal:
        return " | ".join(json.dumps(value) for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(describe(part) for part in arguments if part is not type(None))
    if origin is tuple:
        parts = [part for part in arguments if part is not Ellipsis]
        return f"list of {describe(parts[0])}"
    if origin is dict:
        return "table"
    return {"str": "text", "bool": "true | false", "int": "integer", "float": "number"}.get(
        annotation.__name__, annotation.__name__
    )


def default_of(field: FieldInfo) -> str:
    """Return the default as TOML writes it."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "none" if value is None else json.dumps(value)


def holds_keys(annotation: Any) -> bool:
    """Return whether a key is itself a table with a page section of its own."""
    parts = (annotation, *typing.get_args(annotation))
    return any(isinstance(part, type) and issubclass(part, BaseModel) for part in parts)


def build_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> nodes.table:
    """Return a docutils table; all cells are literal text but the heads."""
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in head), cols=len(head))
    group += nodes.thead("", row(nodes.inline(text=text) for text in head))
    group += nodes.tbody("", *(row(nodes.literal(text=text) for text in cells) for cells in rows))
    return nodes.table("", group)


def row(cells: typing.Iterable[nodes.Node]) -> nodes.row:
    """Return one row."""
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("config-keys", ConfigKeys)
    return {"parallel_read_safe": True}
