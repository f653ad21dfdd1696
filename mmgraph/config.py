"""The recipe: everything an experiment is made of, read from TOML, changed with ``--set``, stored with every run."""

import json
import tomllib
from collections.abc import Iterable, Mapping
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
)

from mmgraph.data import MultimodalDataset, SplitConfig
from mmgraph.data.card import CARD_NAME
from mmgraph.errors import ConfigError, explain_validation, nearest
from mmgraph.evaluation import EvaluationConfig
from mmgraph.graph import GraphConfig
from mmgraph.models import MODELS, get_model
from mmgraph.models.base import ModelConfig
from mmgraph.training import TrainingConfig

Config = TypeVar("Config", bound=BaseModel)


class DataConfig(BaseModel):
    """Which data, and which part of it.

    Attributes:
        dataset: Bundled name or folder; ``--dataset`` goes before it.
        modalities: Modalities to use, in this order; None means all.
        split: Replaces the split of the data set's own card.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str | None = None
    modalities: tuple[str, ...] | None = None
    split: SplitConfig | None = None


class Recipe(BaseModel):
    """One experiment: data, graph, model, training, evaluation and a seed.

    Attributes:
        seed: Of initial weights, batches and negatives.
        published: Figures others reported for this setting, with their source; facts for the reader, never used.

    Example:
        >>> recipe = Recipe.build({"model": {"name": "lightgcn", "num_layers": 2}})
        >>> recipe.model.num_layers, recipe.training.batch_size
        (2, 2048)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=2026, ge=0, lt=2**63)
    data: DataConfig = DataConfig()
    graph: GraphConfig = GraphConfig()
    model: SerializeAsAny[ModelConfig]
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    published: dict[str, Any] = {}

    @classmethod
    def build(cls, values: Mapping[str, Any], *, origin: str = "recipe") -> "Recipe":
        """Check plain values and fill in the defaults; ``model.k`` is ``graph.k``, the graph is what the model needs.

        Args:
            values: Tables as read from TOML.
            origin: What to call the values in error messages.

        Raises:
            ConfigError: a key is unknown or a value breaks a rule; the message names its path.
        """
        values = dict(values)
        table = values.get("model", {})
        if not isinstance(table, Mapping) or "name" not in table:
            raise ConfigError(f"{origin}: key 'model.name' is missing; known: {', '.join(MODELS)}")
        try:
            model_class = get_model(str(table["name"]))
        except ConfigError as error:
            raise ConfigError(f"{origin}: {error}") from None
        graph = parse_config(GraphConfig, values.get("graph", {}), origin=origin, prefix=("graph",))
        if "k" in model_class.Config.model_fields:
            _check_follows(origin, "model.k", table.get("k", graph.k), "graph.k", graph.k)
            table = {**table, "k": graph.k}
        model = parse_config(model_class.Config, dict(table), origin=origin, prefix=("model",))
        defaults = {
            key: value
            for key, value in model_class.graph_defaults(model).items()
            if key not in graph.model_fields_set
        }
        graph = graph.model_copy(update=defaults)
        edges = model_class.edges_for(model)
        chosen = graph.edges if "edges" in graph.model_fields_set else edges
        _check_follows(origin, "graph.edges", sorted(chosen), "what the model needs", sorted(edges))
        graph = graph.model_copy(update={"edges": edges})
        values |= {"model": model, "graph": graph}
        return parse_config(cls, values, origin=origin)

    def fitted_to(self, num_items: int) -> "Recipe":
        """Leave out default list lengths that a small catalogue cannot fill; lengths the user chose stay."""
        chosen = self.evaluation
        if "ks" in chosen.model_fields_set or max(chosen.ks) <= num_items:
            return self
        ks = tuple(k for k in chosen.ks if k <= num_items) or (1,)
        select_by = chosen.select_by
        if "select_by" not in chosen.model_fields_set:
            select_by = f"recall@{max(ks)}"
        values = {**chosen.model_dump(), "ks": ks, "select_by": select_by}
        evaluation = parse_config(EvaluationConfig, values, origin="recipe", prefix=("evaluation",))
        return self.model_copy(update={"evaluation": evaluation})

    def to_toml(self) -> str:
        """Return the resolved recipe as TOML that ``read_recipe`` reads back to an equal recipe."""
        return _toml(_without_derived(self.model_dump(mode="json", exclude_none=True)))


def parse_config(
    model: type[Config], values: Any, *, origin: str, prefix: tuple[str, ...] = ()
) -> Config:
    """Return plain values as one of the configs.

    Args:
        model: Class of the config.
        values: Its keys and values.
        origin: Where they come from, for the message.
        prefix: Tables that lead to them.

    Raises:
        ConfigError: a key is unknown or a value breaks a rule; the message names its path.

    Example:
        >>> parse_config(GraphConfig, {"k": 3}, origin="--set").k
        3
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _config_error(origin, error, model, prefix=prefix) from None


def resolve_recipe(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    dataset: str | Path | MultimodalDataset | None = None,
    *,
    overrides: Iterable[str] = (),
    seed: int | None = None,
) -> Recipe:
    """Return the complete recipe that ``train`` with the same arguments would use."""
    origin = "recipe"
    if isinstance(recipe, Recipe):
        # What was not chosen stays open: it may still be fitted to the data set.
        values = _without_derived(recipe.model_dump(mode="json", exclude_unset=True))
        values["model"] = {"name": recipe.model.name, **values["model"]}
    elif isinstance(recipe, Mapping):
        values = dict(recipe)
    else:
        values, origin = read_recipe(recipe), str(recipe)
    values = apply_overrides(values, overrides)
    if seed is not None:
        values["seed"] = seed
    data = values.get("data", {})
    if not isinstance(data, Mapping):
        raise ConfigError(
            f"{origin}: data must be a table (got {data!r}); write [data] dataset = ..."
        )
    if isinstance(dataset, MultimodalDataset):
        values["data"] = _as_loaded(data, dataset, origin)
    elif dataset is not None or "dataset" in data:
        name = data["dataset"] if dataset is None else dataset
        values["data"] = {**data, "dataset": _portable(name)}
    return Recipe.build(values, origin=origin)


def read_recipe(name: str | Path) -> dict[str, Any]:
    """Return the plain values of a recipe file, a shipped recipe (``dataset/model``) or a bare model name.

    Raises:
        ConfigError: there is no such recipe, or it is not TOML.

    Example:
        >>> read_recipe("lightgcn")
        {'model': {'name': 'lightgcn'}}
    """
    if str(name) in MODELS:
        return {"model": {"name": str(name)}}
    path = Path(name)
    if path.suffix == ".toml":
        return _read_toml(path)
    shipped = shipped_recipes()
    if str(name) in shipped:
        return _read_toml(shipped[str(name)])
    hint = nearest(str(name), [*MODELS, *shipped])
    raise ConfigError(
        f"a recipe is a .toml file, a shipped recipe or a model (got {str(name)!r}){hint}"
    )


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that come with the package, by ``dataset/model``."""
    root = Path(str(files("mmgraph"))) / "recipes"
    return {f"{p.parent.name}/{p.stem}": p for p in sorted(root.glob("*/*.toml"))}


def apply_overrides(values: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Return the values with ``a.b=c`` assignments applied; ``c`` is a TOML value, or else a plain string.

    Raises:
        ConfigError: an assignment has no ``=``, or goes through a key that is no table.

    Example:
        >>> apply_overrides({"model": {"name": "lightgcn"}}, ["model.num_layers=2"])
        {'model': {'name': 'lightgcn', 'num_layers': 2}}
    """
    result = _copy_tables(values)
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals or not path.strip():
            raise ConfigError(
                f"--set takes key=value, such as model.num_layers=2 (got {override!r})"
            )
        *tables, key = path.strip().split(".")
        table: Any = result
        for part in tables:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise ConfigError(
                    f"--set {path.strip()}: {part!r} is a value, not a table; correct the path"
                )
        table[key] = _parse_value(text.strip())
    return result


def _as_loaded(data: Mapping[str, Any], dataset: MultimodalDataset, origin: str) -> dict[str, Any]:
    """Describe a loaded data set; a recipe that wants other modalities or another split is refused."""
    loaded: dict[str, Any] = {
        "dataset": dataset.source,
        "modalities": list(dataset.modalities),
        "split": dataset.split_config.model_dump(mode="json"),
    }
    for key in ("modalities", "split"):
        wanted = data.get(key)
        if isinstance(wanted, Mapping):
            same = all(loaded[key].get(name) == value for name, value in wanted.items())
        else:
            same = wanted is None or list(wanted) == loaded[key]
        if not same:
            raise ConfigError(
                f"{origin}: data.{key} must be that of the loaded data set (got {wanted}, loaded "
                f"{loaded[key]}); load it with load_dataset(..., {key}=...)"
            )
    return {**data, **loaded}


def _portable(dataset: str | Path) -> str:
    """Return folders as absolute paths, so that a run is found again from elsewhere; names stay names."""
    is_folder = (Path(dataset) / CARD_NAME).is_file()
    return str(Path(dataset).resolve()) if is_folder else str(dataset)


def _copy_tables(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _copy_tables(v) if isinstance(v, Mapping) else v for k, v in values.items()}


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _read_toml(path: Path) -> dict[str, Any]:
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


def _without_derived(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out what follows from other keys, so that these can be changed later."""
    drop = {"model": "k", "graph": "edges"}
    for table, key in drop.items():
        values[table] = {k: v for k, v in values.get(table, {}).items() if k != key}
    return values


def _check_follows(origin: str, key: str, value: Any, leader: str, expected: Any) -> None:
    if value != expected:
        raise ConfigError(
            f"{origin}: {key} follows {leader} (got {value}, which is {expected}); remove {key}"
        )


def _config_error(
    origin: str, error: ValidationError, model: type[BaseModel], *, prefix: tuple[str, ...] = ()
) -> ConfigError:
    complaints = [{**e, "loc": (*prefix, *e["loc"])} for e in error.errors(include_url=False)]
    known = partial(_known_keys, model, len(prefix))
    return ConfigError(f"{origin}: {explain_validation(complaints, known)}")


def _known_keys(model: type[BaseModel], skip: int, table: tuple[str, ...]) -> list[str]:
    for part in table[skip:]:
        annotation = model.model_fields[part].annotation
        members = [annotation, *getattr(annotation, "__args__", ())]
        nested = [m for m in members if isinstance(m, type) and issubclass(m, BaseModel)]
        if not nested:
            return []
        model = nested[0]
    return list(model.model_fields)


def _toml(values: Mapping[str, Any], path: str = "") -> str:
    """Write tables of scalars and lists: JSON's notation for those is also TOML's."""
    scalars = {k: v for k, v in values.items() if not isinstance(v, dict)}
    lines = [f"{_toml_key(k)} = {json.dumps(v, ensure_ascii=False)}" for k, v in scalars.items()]
    text = "".join(f"{line}\n" for line in lines)
    for key, table in values.items():
        if isinstance(table, dict) and table:
            name = f"{path}{_toml_key(key)}"
            text += f"\n[{name}]\n{_toml(table, f'{name}.')}"
    return text


def _toml_key(key: str) -> str:
    return (
        key
        if key.isascii() and key.replace("_", "").isalnum()
        else json.dumps(key, ensure_ascii=False)
    )
