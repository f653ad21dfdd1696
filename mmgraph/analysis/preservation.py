"""How much of the items' raw features is left in the final vectors of trained runs."""

import math
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmgraph.analysis.needs import check_model, check_run, item_degrees, missing
from mmgraph.errors import ConfigError
from mmgraph.evaluation import high_degree_items, similarity_change
from mmgraph.experiment import Observer
from mmgraph.run import Run

Final = Literal["fused", "concat", "per_modality"]

_PER_MODALITY = ("modality_vectors", "modality_embeddings", "modality_widths")
_BINS = 50
_STEP = 0.05


def analyze_preservation(
    runs: Sequence[Run],
    *,
    final: Final = "fused",
    high_degree: float = 0.8,
    observer: Observer | None = None,
) -> dict[str, Any]:
    """Return how far similarities among items have moved away from those of their raw features.

    Source: MARIO (the modality-preservation measurement); ``final="per_modality"`` is the reading of MONET, another
    quantity, not comparable with it.

    Args:
        runs: Complete runs of one recipe with different seeds; one is enough, five say more.
        final: The vectors compared: ``fused``, one for each item (``item_vectors``); ``concat``, all that an item has
            side by side (``encode``), which is another where each user weighs its parts; or ``per_modality``, those of
            the same modality (``modality_vectors``).
        high_degree: Share of the items that are not of high degree.
        observer: Is told what happens.

    Returns:
        Means over items for each run, their mean and standard deviation over runs (None for one run), for all items and
        those of high degree; and the counts of a histogram, for each modality.

    Raises:
        ConfigError: a run is not complete or has other settings than the first, a seed is given twice, there is no
            modality, or the model has no vectors for each of them.
    """
    observer = observer or Observer()
    for run in runs:
        check_run(run)
        if final == "per_modality":
            check_model(run, "vectors of each modality", *_PER_MODALITY)
    _check_seeds(runs)
    # Asked for before anything is computed: the answer does not depend on the data.
    high_degree_items(torch.zeros(1), quantile=high_degree)
    changes: dict[str, list[NDArray[np.float64]]] = {}
    for run in runs:
        observer.phase(f"loading {run.path}")
        for name, values in _changes(run, final, observer).items():
            changes.setdefault(name, []).append(values)
    degree = torch.from_numpy(item_degrees(runs[0].dataset))
    best = high_degree_items(degree, quantile=high_degree).numpy()
    return {
        "analysis": "preservation",
        "model": runs[0].recipe.model.name,
        "dataset": runs[0].dataset.name,
        "final": final,
        "high_degree": high_degree,
        "runs": [{"run": str(run.path), "seed": run.recipe.seed} for run in runs],
        "modalities": {name: _summary(values, best) for name, values in changes.items()},
    }


def _check_seeds(runs: Sequence[Run]) -> None:
    seeds = [run.recipe.seed for run in runs]
    for place, run in enumerate(runs):
        if _settings(run) != _settings(runs[0]):
            raise ConfigError(
                f"{run.path}: runs given together must differ in their seed only (this one has another recipe "
                f"or other data than {runs[0].path}); give each its own command"
            )
        if seeds.index(run.recipe.seed) != place:
            raise ConfigError(
                f"{run.path}: runs given together must have different seeds (seed {run.recipe.seed} is given "
                "twice); leave one out"
            )


def _settings(run: Run) -> dict[str, Any]:
    # Where the data lie is not what they are.
    values = run.recipe.model_dump(exclude={"seed": True, "data": {"dataset"}})
    return {**values, "data_hash": run.folder.facts()["dataset_hash"]}


def _changes(run: Run, final: Final, observer: Observer) -> dict[str, NDArray[np.float64]]:
    features = run.dataset.features
    if not features:
        raise ConfigError(
            f"{run.path}: the data set of the run must have item features (got none); "
            "name modalities in data.modalities and train again"
        )
    vectors = _vectors(run, final, tuple(features))
    found = {}
    for name, vector in vectors.items():
        observer.phase(f"comparing similarities, {name}")
        x = torch.from_numpy(features[name].x).to(vector.device)
        present = torch.from_numpy(features[name].present).to(vector.device)
        change = similarity_change(vector, x, present=present, progress=observer.progress)
        found[name] = change.cpu().numpy()
    return found


def _vectors(run: Run, final: Final, modalities: Sequence[str]) -> Mapping[str, Tensor]:
    with torch.no_grad():
        if final == "fused":
            return dict.fromkeys(modalities, run.model.item_vectors())
        if final == "concat":
            return dict.fromkeys(modalities, run.model.encode().item)
        vectors = run.model.modality_vectors()
    # What a model adds of its own, such as a part for the interactions, has no features to be compared with.
    vectors = {name: vectors[name] for name in modalities if name in vectors}
    if not vectors:
        raise missing(run, "vectors of each modality", *_PER_MODALITY)
    return vectors


def _summary(runs: Sequence[NDArray[np.float64]], best: NDArray[np.bool_]) -> dict[str, Any]:
    has = ~np.isnan(runs[0])
    every = np.concatenate([values[has] for values in runs])
    low = math.floor(every.min() / _STEP) * _STEP
    high = max(math.ceil(every.max() / _STEP) * _STEP, low + _STEP)
    edges = np.linspace(low, high, _BINS + 1).round(9)
    groups = {"all": has, "high_degree": has & best}
    return {
        "edges": edges.tolist(),
        **{name: _group([values[rows] for values in runs], edges) for name, rows in groups.items()},
    }


def _group(runs: Sequence[NDArray[np.float64]], edges: NDArray[np.float64]) -> dict[str, Any]:
    """Return the figures of some items; none of them may have the modality."""
    means = [float(values.mean()) for values in runs if len(values)]
    return {
        "items": len(runs[0]),
        "mean": mean(means) if means else None,
        "spread": stdev(means) if len(means) > 1 else None,
        "means": means,
        "counts": [np.histogram(values, bins=edges)[0].tolist() for values in runs],
    }
