"""How far a trained run trusts each modality of an item."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmgraph.analysis.needs import check_model, check_run, item_degrees, item_names, missing
from mmgraph.data import MultimodalDataset
from mmgraph.errors import ConfigError
from mmgraph.experiment import Observer
from mmgraph.run import Run

Weights = dict[str, NDArray[np.float32]]

_WHAT = ("learned weights of the modalities", "modality_weights")
_BINS = 20
_MIDDLE = (0.4, 0.6)


def analyze_weights(
    run: Run,
    *,
    against: Run | None = None,
    k: int = 5,
    min_degree: int = 5,
    observer: Observer | None = None,
) -> dict[str, Any]:
    """Return the distribution of each modality's weight over the items, and the items at both of its ends.

    The distribution is over the items that have the modality and at least one other: without another there is nothing
    to weigh. The lists leave out items with few training interactions, whose weights have barely moved.

    Source: MARGO, figures of item-level weights and listing of the most and least reliable items.

    Args:
        run: A complete run of a model that learns such weights.
        against: Another one on the same data, such as the variant without calibration.
        k: Length of each list.
        min_degree: Least number of training interactions of an item in a list.
        observer: Is told what happens.

    Returns:
        For each run and modality the number of items, mean, standard deviation, share of weights in [0.4, 0.6] and the
        counts of 20 equal bins on [0, 1]; for the first run the ``k`` items with the largest and the smallest weight,
        ties by index; ``mirrored`` is whether there are two modalities, whose lists are each other turned round.

    Raises:
        ConfigError: a run is not complete, its model has no such weights, the two are of different data, or an option
            is out of range.
    """
    observer = observer or Observer()
    for name, value in (("k", k), ("min_degree", min_degree)):
        if value < (least := 1 if name == "k" else 0):
            raise ConfigError(
                f"{name} must be at least {least} (got {value}); raise --{name.replace('_', '-')}"
            )
    runs = [run] if against is None else [run, against]
    for each in runs:
        check_run(each)
        check_model(each, *_WHAT)
    edges = np.linspace(0, 1, _BINS + 1).round(9)
    weights = []
    for each in runs:
        observer.phase(f"loading {each.path}")
        weights.append(_weights(each))
    _check_same(runs)
    data = run.dataset
    return {
        "analysis": "weights",
        "model": run.recipe.model.name,
        "dataset": data.name,
        "k": k,
        "min_degree": min_degree,
        "middle": list(_MIDDLE),
        "edges": edges.tolist(),
        "mirrored": len(weights[0]) == 2,
        "runs": [
            {
                "run": str(each.path),
                "label": label,
                "seed": each.recipe.seed,
                "modalities": _distributions(found, data, edges),
            }
            for each, label, found in zip(runs, _labels(runs), weights, strict=True)
        ],
        "items": _ends(weights[0], data, k=k, min_degree=min_degree),
    }


def _weights(run: Run) -> Weights:
    with torch.no_grad():
        weights = run.model.modality_weights()
    if not weights:
        raise missing(run, *_WHAT)
    return {name: w.float().cpu().numpy() for name, w in weights.items()}


def _check_same(runs: list[Run]) -> None:
    first = runs[0]
    for other in runs[1:]:
        if other.dataset.content_hash != first.dataset.content_hash:
            raise ConfigError(
                f"{other.path}: the two runs must be on the same data and modalities (got "
                f"{other.dataset.name!r} against {first.dataset.name!r} with other content); train it on those"
            )


def _labels(runs: list[Run]) -> list[str]:
    names = [run.path.resolve().name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.path) for run in runs]


def _with_choice(name: str, data: MultimodalDataset) -> NDArray[np.bool_]:
    """Return which items have a modality and at least one other."""
    count = np.sum([feature.present for feature in data.features.values()], axis=0)
    choice: NDArray[np.bool_] = data.features[name].present & (count > 1)
    return choice


def _distributions(
    weights: Weights, data: MultimodalDataset, edges: NDArray[np.float64]
) -> dict[str, Any]:
    found = {}
    for name, every in weights.items():
        w = every[_with_choice(name, data)].astype(np.float64)
        some = len(w) > 0
        # The ends as float32 has them: 0.4 as a weight is a little more than 0.4.
        low, high = np.array(_MIDDLE, dtype=np.float32).astype(np.float64)
        found[name] = {
            "items": len(w),
            "mean": float(w.mean()) if some else None,
            "std": float(w.std()) if some else None,
            "in_middle": float(((w >= low) & (w <= high)).mean()) if some else None,
            "counts": np.histogram(w, bins=edges)[0].tolist(),
        }
    return found


def _ends(
    weights: Weights, data: MultimodalDataset, *, k: int, min_degree: int
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    degree = item_degrees(data)
    found = {}
    for name, w in weights.items():
        items = np.flatnonzero(_with_choice(name, data) & (degree >= min_degree))
        ends = {
            "most": items[np.argsort(-w[items], kind="stable")[:k]],
            "least": items[np.argsort(w[items], kind="stable")[:k]],
        }
        found[name] = {
            end: [
                {
                    **item_names(data, item),
                    "weight": float(w[item]),
                    "degree": int(degree[item]),
                }
                for item in rows.tolist()
            ]
            for end, rows in ends.items()
        }
    return found
