"""The recipe: everything an experiment is made of, read from TOML, changed with ``--set``, stored with every run."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
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
from mmgraph.evaluation import EvaluationConfig, parse_metric
from mmgraph.graph import GraphConfig
from mmgraph.models import MODELS, get_model
from mmgraph.models.backbone import WrapperConfig
from mmgraph.models.base import ModelConfig
from mmgraph.toml import copy_tables, parse_value, read_toml, set_keys, to_toml
from mmgraph.training import TrainingConfig

Config = TypeVar("Config", bound=BaseModel)


class DataConfig(BaseModel):
    """Which data, and which part of it.

    Attributes:
        dataset: Bundled name or folder; ``--dataset`` goes before it.
        modalities: Modalities to use, in the order of the data set's card; None means all.
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
        ablations: Variants for ``mmgraph ablate``, by label: keys with dots and their values, as for ``--set``.

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
    ablations: dict[str, dict[str, Any]] = {}

    @classmethod
    def build(cls, values: Mapping[str, Any], *, origin: str = "recipe") -> "Recipe":
        """Check plain values and fill in the defaults; ``model.k`` is ``graph.k``, the graph is what the model needs.

        Args:
            values: Tables as read from TOML.
            origin: What to call the values in error messages.

        Raises:
            ConfigError: a key is unknown or a value breaks a rule; the message names its path.
        """
        table = values.get("model", {})
        if not isinstance(table, Mapping) or "name" not in table:
            raise ConfigError(f"{origin}: key 'model.name' is missing; known: {', '.join(MODELS)}")
        graph = parse_config(GraphConfig, values.get("graph", {}), origin=origin, prefix=("graph",))
        with _blaming(origin):
            model_class = get_model(str(table["name"]))
        model = _parse_model(model_class.Config, table, graph.k, origin=origin)
        defaults = {
            key: value
            for key, value in model_class.graph_defaults(model).items()
            if key not in graph.model_fields_set
        }
        for key, value in model_class.graph_rules(model).items():
            if key in graph.model_fields_set and getattr(graph, key) != value:
                raise ConfigError(
                    f"{origin}: graph.{key} must be {value!r} for the equations of {model.name} "
                    f"(got {getattr(graph, key)!r}); remove graph.{key}"
                )
            defaults[key] = value
        edges = model_class.edges_for(model)
        chosen = graph.edges if "edges" in graph.model_fields_set else edges
        _check_follows(origin, "graph.edges", sorted(chosen), "what the model needs", sorted(edges))
        graph = graph.model_copy(update={**defaults, "edges": edges})
        graph.model_fields_set.difference_update(defaults)  # nobody chose these
        return parse_config(cls, {**values, "model": model, "graph": graph}, origin=origin)

    def fitted_to(self, num_items: int, *, chosen_too: bool = False) -> "Recipe":
        """Leave out default list lengths that a small catalogue cannot fill; lengths the user chose stay.

        Args:
            num_items: Size of the catalogue.
            chosen_too: Leave out lengths the user chose as well: the catalogue has shrunk since.
        """
        chosen = self.evaluation
        if max(chosen.ks) <= num_items or ("ks" in chosen.model_fields_set and not chosen_too):
            return self
        ks = tuple(k for k in chosen.ks if k <= num_items) or (1,)
        metric, k = parse_metric(chosen.select_by)
        select_by = chosen.select_by
        if "select_by" not in chosen.model_fields_set or (chosen_too and k not in ks):
            select_by = f"{metric}@{max(ks)}"
        values = {**chosen.model_dump(), "ks": ks, "select_by": select_by}
        evaluation = parse_config(EvaluationConfig, values, origin="recipe", prefix=("evaluation",))
        if "ks" not in chosen.model_fields_set:  # another catalogue may be fitted anew
            evaluation.model_fields_set.intersection_update(chosen.model_fields_set)
        return self.model_copy(update={"evaluation": evaluation})

    def settings(self, *, exclude_unset: bool = False) -> dict[str, Any]:
        """Return what decides how a run comes out, as plain values: not words for the reader, nor where the data lie.

        Args:
            exclude_unset: Leave out what nobody chose.
        """
        no_settings: dict[str, Any] = {"published": True, "ablations": True, "data": {"dataset"}}
        return self.model_dump(mode="json", exclude=no_settings, exclude_unset=exclude_unset)

    def to_toml(self) -> str:
        """Return the resolved recipe as TOML that ``read_recipe`` reads back to an equal recipe."""
        return to_toml(_without_derived(self.model_dump(mode="json", exclude_none=True)))


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
    values, origin = recipe_values(recipe, dataset, overrides=overrides, seed=seed)
    return Recipe.build(values, origin=origin)


def recipe_values(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    dataset: str | Path | MultimodalDataset | None = None,
    *,
    overrides: Iterable[str] = (),
    seed: int | None = None,
) -> tuple[dict[str, Any], str]:
    """Return the plain values that :func:`resolve_recipe` builds a recipe from, and what to call them in messages."""
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
    return values, origin


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
        return read_toml(path)
    shipped = shipped_recipes()
    if str(name) in shipped:
        return read_toml(shipped[str(name)])
    hint = nearest(str(name), [*MODELS, *shipped], listed=MODELS)
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
    changes = []
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals or not path.strip():
            raise ConfigError(
                f"--set takes key=value, such as model.num_layers=2 (got {override!r})"
            )
        changes.append((path.strip(), parse_value(text.strip())))
    return set_keys(values, changes)


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
            same = wanted is None or set(wanted) == set(loaded[key])
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


@contextmanager
def _blaming(origin: str) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from None


def _without_derived(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out what follows from other keys, so that these can be changed later."""
    values = copy_tables(values)
    model, graph = values.setdefault("model", {}), values.setdefault("graph", {})
    model.pop("k", None)
    model.get("backbone", {}).pop("k", None)
    graph.pop("edges", None)
    return values


def _check_follows(origin: str, key: str, value: Any, leader: str, expected: Any) -> None:
    if value != expected:
        raise ConfigError(
            f"{origin}: {key} follows {leader} (got {value}, which is {expected}); remove {key}"
        )


def _parse_model(
    config: type[Config], table: Mapping[str, Any], k: int, *, origin: str, path: str = "model"
) -> Config:
    """Return a model's table as its config, and its backbone's likewise; ``k`` in either is the graph's."""
    table = dict(table)
    if "k" in config.model_fields:
        _check_follows(origin, f"{path}.k", table.get("k", k), "graph.k", k)
        table["k"] = k
    if issubclass(config, WrapperConfig):
        with _blaming(origin):
            inside, given = config.read_backbone(table.get("backbone", {}))
        if "backbone" in table or "k" in inside.Config.model_fields:
            inner = _parse_model(inside.Config, given, k, origin=origin, path=f"{path}.backbone")
            table["backbone"] = inner
    return parse_config(config, table, origin=origin, prefix=tuple(path.split(".")))


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
