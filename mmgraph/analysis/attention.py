"""Which part of an item decided its score for one user."""

from statistics import mean
from typing import Any

import numpy as np
import torch

from mmgraph.analysis.needs import check_model, check_run, item_names, missing
from mmgraph.data import MultimodalDataset
from mmgraph.experiment import Observer
from mmgraph.run import Run

_WHAT = ("an influence of each modality on a score", "modality_influence")


def analyze_attention(
    run: Run, user: str, *, k: int = 20, observer: Observer | None = None
) -> dict[str, Any]:
    """Return the share of each part of an item in a user's scores, for the training items and the recommended ones.

    The parts are the interactions and the modalities.

    Source: MARIO, the modality-aware attention of a pair of user and item.

    Args:
        run: A complete run of a model that weighs modalities for each pair.
        user: External id.
        k: Number of recommended items.
        observer: Is told what happens.

    Returns:
        All training items, the latest first where times are known, and the ``k`` best recommended ones, each with its
        shares, which sum to 1; and the mean shares of both lists, None for an empty one.

    Raises:
        ConfigError: the run is not complete, its model has no such shares, or ``k`` is out of range.
        DataError: the user is unknown; the message names the nearest.
    """
    observer = observer or Observer()
    check_run(run)
    check_model(run, *_WHAT)
    observer.phase(f"loading {run.path}")
    data = run.dataset
    row = data.users.index(user)
    best = run.recommend(user, k=k)
    history = _history(data, row)
    recommended = [data.items.index(entry.item) for entry in best]
    shares = _shares(run, row, [*history, *recommended])
    parts = list(shares[0])
    facts = [
        {"rank": entry.rank, "score": entry.score, "held_out": entry.held_out} for entry in best
    ]
    lists: dict[str, list[dict[str, Any]]] = {
        "history": [
            {**item_names(data, item), "shares": share}
            for item, share in zip(history, shares, strict=False)
        ],
        "recommended": [
            {**item_names(data, item), **fact, "shares": share}
            for item, fact, share in zip(recommended, facts, shares[len(history) :], strict=True)
        ],
    }
    return {
        "analysis": "attention",
        "model": run.recipe.model.name,
        "dataset": data.name,
        "run": str(run.path),
        "user": user,
        "k": k,
        "parts": parts,
        "means": {name: _means(items, parts) for name, items in lists.items()},
        **lists,
    }


def _history(data: MultimodalDataset, user: int) -> list[int]:
    rows = np.flatnonzero(data.train.user == user)
    if data.train.timestamp is not None:
        rows = rows[np.argsort(data.train.timestamp[rows], kind="stable")[::-1]]
    items: list[int] = data.train.item[rows].tolist()
    return items


def _shares(run: Run, user: int, items: list[int]) -> list[dict[str, float]]:
    """Return the shares of each item; every user has training items, so there is at least one."""
    model = run.model
    place = torch.tensor(items, device=run.device)
    with torch.no_grad():
        influence = model.modality_influence(torch.full_like(place, user), place)
    if not influence:
        raise missing(run, *_WHAT)
    columns = [share.tolist() for share in influence.values()]
    return [dict(zip(influence, row, strict=True)) for row in zip(*columns, strict=True)]


def _means(items: list[dict[str, Any]], parts: list[str]) -> dict[str, float] | None:
    if not items:
        return None
    return {part: mean(item["shares"][part] for item in items) for part in parts}
