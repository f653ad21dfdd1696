"""Directives that list the keys of configuration classes, so that the page cannot lag behind the code."""

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

from mmgraph.models import MODELS, get_model
from mmgraph.models.backbone import WrapperConfig


class ConfigKeys(SphinxDirective):
    """Table of key, values and default of one class, given as ``module:Class``."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {"table": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        module, _, name = self.arguments[0].partition(":")
        config: type[BaseModel] = getattr(import_module(module), name)
        return [keys_table(config, table=self.options.get("table", ""))]


class ModelKeys(SphinxDirective):
    """Keys of every registered model, each under a heading of its own."""

    def run(self) -> list[nodes.Node]:
        """Return a section for each model."""
        sections = [model_section(name) for name in MODELS]
        for section in sections:
            self.state.document.note_implicit_target(section, section)
        return [*sections]


def model_section(name: str) -> nodes.section:
    """Return the keys of a model, and the keys of its graph whose default is another one for it."""
    model = get_model(name)
    section = nodes.section("", nodes.title(text=name), names=[f"model-{name}"])
    section += keys_table(model.Config, table="model")
    if issubclass(model.Config, WrapperConfig):
        inside = str(model.Config.default_backbone["name"])
        section += sentence(
            "model.backbone", " is a table: the name of the model inside, by default "
        )
        section[-1] += [nodes.literal(text=inside), nodes.Text(", and its keys.")]
    for key, value in model.graph_defaults(model.Config(name=name)).items():
        section += sentence(f"graph.{key}", " is by default ")
        section[-1] += [nodes.literal(text=json.dumps(value)), nodes.Text(".")]
    return section


def sentence(key: str, text: str) -> nodes.paragraph:
    """Return a paragraph that begins with a key."""
    return nodes.paragraph("", "", nodes.literal(text=key), nodes.Text(text))


def keys_table(config: type[BaseModel], *, table: str = "") -> nodes.table:
    """Return key, values and default of a class; ``table`` goes before each key, with a dot."""
    prefix = f"{table}." if table else ""
    rows = [
        (f"{prefix}{key}", values_of(field), default_of(field))
        for key, field in config.model_fields.items()
        if not holds_keys(field.annotation)
    ]
    return build_table(("key", "values", "default"), rows)


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
    app.add_directive("model-keys", ModelKeys)
    return {"parallel_read_safe": True}
