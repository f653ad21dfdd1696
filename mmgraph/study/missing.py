"""Which runs of a study are missing. What could make its rows no comparison is found before the first is trained."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from mmgraph.config import Recipe
from mmgraph.errors import ConfigError, GraphError
from mmgraph.evaluation import EvaluationConfig
from mmgraph.graph.knn.arguments import check_k
from mmgraph.models import get_model
from mmgraph.run import Run, load_data
from mmgraph.study.trial import Trial, stored_run

Part = Literal["valid", "test"]
"""Of what a run has measured."""

# How many users are scored at once changes no figure.
_NO_CONVENTION = {"block_size"}


class _Facts(NamedTuple):
    """What a study must know of its data."""

    num_items: int
    present: Mapping[str, int]  # how many items have each modality
    has_valid: bool
    split_hash: str
    dataset_hash: str


def missing_trials(
    trials: Iterable[Trial], *, parts: Sequence[Part], metric: str | None = None
) -> list[Trial]:
    """Return the trials that are not complete, all checked: recipes, folders, data, measures.

    The data are read once for each way in which trials read them. Where they lie is no matter; what they are is
    compared by the hashes that every run has noted.

    Args:
        trials: All that are needed.
        parts: What they will be judged by.
        metric: What they will be judged by there, if it is not the recipe's own choice.

    Raises:
        ConfigError: a recipe or a folder cannot be used, there is a run on other data, a model cannot have what it
            wants of their features, a trial does not measure that, or rows differ in their split or in how they are
            evaluated; nothing was written.
        DataError: the data cannot be used.
    """
    missing = []
    facts_of: dict[str, _Facts] = {}
    splits: dict[str, str] = {}
    measures: dict[str, EvaluationConfig] = {}
    for trial in trials:
        run = stored_run(trial)
        key = trial.recipe.data.model_dump_json()
        if key not in facts_of:
            facts_of[key] = _facts(trial.recipe)
        facts = facts_of[key]
        if run is not None:
            _check_data(run, facts)
        if run is None or not run.folder.is_complete:
            _check_features(trial, facts)
            missing.append(trial)
        measure = trial.recipe.fitted_to(facts.num_items).evaluation
        _check_measured(trial.label, measure, facts, parts=parts, metric=metric)
        splits.setdefault(facts.split_hash, trial.label)
        measures.setdefault(trial.label, measure)
    check_one_split(splits)
    _check_alike(measures)
    return missing


def check_one_split(splits: Mapping[str, str]) -> None:
    """Refuse rows on different splits.

    Args:
        splits: The label of a row by the hash of its split.

    Raises:
        ConfigError: there is more than one.
    """
    if len(splits) > 1:
        raise ConfigError(
            f"all rows must have the same split (got {len(splits)} different ones, such as those of "
            f"{' and '.join(list(splits.values())[:2])}); give all the same data.split, or choose another --out"
        )


def _facts(recipe: Recipe) -> _Facts:
    data = load_data(recipe)
    present = {name: int(feature.present.sum()) for name, feature in data.features.items()}
    return _Facts(data.num_items, present, len(data.valid) > 0, data.split_hash, data.content_hash)


def _check_features(trial: Trial, facts: _Facts) -> None:
    """Refuse what the graph or the model would refuse of the modalities there are, when the trial's turn came."""
    config, graph, label = trial.recipe.model, trial.recipe.graph, trial.label
    if not facts.present:
        if get_model(config.name).reads_features(config):
            raise ConfigError(
                f"{label}: {config.name} needs item features (got none); leave the row out, or give the data some"
            )
        return
    try:
        config.check_modalities(facts.present)
        for name, count in facts.present.items() if "knn" in graph.edges else ():
            there = f"items that have {name!r}"
            check_k(graph.k, count, f"the number of {there}", there)
    except (ConfigError, GraphError) as error:
        raise ConfigError(f"{label}: {error}") from None


def _check_data(run: Run, facts: _Facts) -> None:
    noted = run.folder.facts()
    for key, what in (("split_hash", "split"), ("dataset_hash", "content")):
        found, kept = getattr(facts, key), str(noted.get(key))
        if kept != found:
            raise ConfigError(
                f"{run.path}: must be a run on the data that are asked for (the hash of their {what} is "
                f"{found[:12]}, the run's {kept[:12]}); choose another --out"
            )


def _check_measured(
    label: str,
    measure: EvaluationConfig,
    facts: _Facts,
    *,
    parts: Sequence[Part],
    metric: str | None,
) -> None:
    if "valid" in parts and not facts.has_valid:
        other = "name the row to test against with --against, or " if "test" in parts else ""
        raise ConfigError(
            f"{label}: choosing needs a validation part (got none); {other}give the data another split, such as "
            "--set data.split.method=ratio"
        )
    if metric is not None and metric not in measure.names:
        raise ConfigError(
            f"{label}: --metric must be one that is measured (got {metric!r}); "
            f"known: {', '.join(measure.names)}"
        )


def _check_alike(measures: Mapping[str, EvaluationConfig]) -> None:
    """Refuse rows whose figures do not mean the same."""
    conventions = [(label, _conventions(measure)) for label, measure in measures.items()]
    for (first, wanted), (label, found) in pairwise(conventions):
        for key, value in wanted.items():
            if found[key] != value:
                raise ConfigError(
                    f"all rows must be evaluated alike (evaluation.{key} is {value!r} for {first}, {found[key]!r} "
                    f"for {label}); give all rows the same"
                )


def _conventions(measure: EvaluationConfig) -> dict[str, Any]:
    values = measure.model_dump(mode="json", exclude=_NO_CONVENTION)
    return {key: sorted(v) if isinstance(v, list) else v for key, v in values.items()}
