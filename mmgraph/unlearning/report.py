"""What unlearning has come to, next to the original model and to one that was trained anew."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmgraph.config import Recipe
from mmgraph.evaluation import EvaluationConfig, ScoreFunction, UserItems, rank_items
from mmgraph.experiment import tester_of, validator_of
from mmgraph.export import run_folder as names
from mmgraph.models.base import Recommender, score_function
from mmgraph.run import Run
from mmgraph.unlearning.draws import Draws
from mmgraph.unlearning.fit import Unlearned
from mmgraph.unlearning.measures import ForgetMeasures, list_overlap, score_divergence
from mmgraph.unlearning.retain import Division

_LENGTH = 20
_GOLD = "gold"

Figures = dict[str, float]


@dataclass(frozen=True, eq=False)
class Compared:
    """Models and runs to be compared, by ``original``, ``unlearned`` and, if there is one, ``gold``.

    Attributes:
        division: What was forgotten and what is retained.
        draws: The pairs that are looked at.
        recipe: Of the new run.
        device: Where to compute.
        models: With rows for all users and items; those that a model never learned are as they were drawn.
        runs: The runs they belong to.
    """

    division: Division
    draws: Draws
    recipe: Recipe
    device: torch.device
    models: Mapping[str, Recommender]
    runs: Mapping[str, Run]


def make_report(
    compared: Compared,
    how: Unlearned,
    *,
    seconds: float,
    known: Mapping[str, Figures] | None = None,
) -> dict[str, Any]:
    """Return how much each model recommends well, remembers and resembles the retrained one; one JSON object.

    Utility is measured on retained users and items. What is asked about the forget set is asked of the models with rows
    for it: of the unlearned one before these were taken out, of the retrained one with rows as it would have drawn
    them. The aim is to be as near as possible to the retrained model, not at zero: to rank forgotten items lower than a
    model that never saw them tells of them as well.

    Args:
        compared: Models and runs.
        how: How unlearning went.
        seconds: What it took, with the building of the graph and the ranking of the test part.
        known: The ``figures`` of an earlier report of some of the same models, which are not measured again.
    """
    division, runs, known = compared.division, compared.runs, known or {}
    rows = {
        name: {**known[name]} if name in known else _figures(compared, model)
        for name, model in compared.models.items()
    }
    report: dict[str, Any] = {
        "model": compared.recipe.model.name,
        "dataset": division.whole.name,
        "request": division.request.kind,
        "forgotten_interactions": len(division.forgotten),
        "retained_interactions": len(division.retained.train),
        **{name: str(run.path) for name, run in runs.items()},
        "epochs": how.epochs,
        "best_epoch": how.best_epoch,
        "reached_target": how.forgotten,
        "margin_above_target": how.gap,
        "seconds": {"unlearned": seconds},
        "figures": rows,
    }
    if _GOLD in rows:
        gold_s = float(runs[_GOLD].folder.read_json(names.TIMINGS)["total_s"])
        report["seconds"] |= {_GOLD: gold_s, "speedup": gold_s / seconds}
        for name, near in _nearness(compared).items():
            rows[name] |= near
        report["distance"] = distances(rows)
    return report


def distances(rows: Mapping[str, Figures]) -> dict[str, dict[str, Any]]:
    """Return how far the original and the unlearned model are from the retrained one, for each figure they share.

    Example:
        >>> rows = {"original": {"auc": 0.9}, "unlearned": {"auc": 0.6}, "gold": {"auc": 0.5}}
        >>> distances(rows)["auc"]["closer"], round(distances(rows)["auc"]["unlearned"], 4)
        (True, 0.1)
    """
    gold, found = rows[_GOLD], {}
    for name, wanted in gold.items():
        gaps = {row: abs(rows[row][name] - wanted) for row in ("original", "unlearned")}
        found[name] = {**gaps, "closer": gaps["unlearned"] < gaps["original"]}
    return found


def _figures(compared: Compared, model: Recommender) -> Figures:
    division, draws = compared.division, compared.draws
    retained, places, request = division.retained, division.places, division.request
    score, config = score_function(model), _measured(compared)
    narrow, k = places.narrow_scores(score), max(config.ks)
    found: Figures = {}
    if len(retained.valid):
        valid = validator_of(retained, config, compared.device).evaluate(narrow).mean
        found |= {f"valid {name}": value for name, value in valid.items()}
    test = tester_of(retained, config, compared.device).evaluate(narrow).mean
    found |= {f"test {name}": value for name, value in test.items()}
    measures = ForgetMeasures(
        forgotten=draws.goal.forgotten,
        matched=draws.matched,
        retained=draws.retained,
        items=torch.tensor(request.items, device=compared.device),
        readers=places.users.to(compared.device),
        config=EvaluationConfig(
            ks=(k,), metrics=("recall",), select_by=f"recall@{k}", block_size=config.block_size
        ),
    )
    if len(division.forgotten):
        found |= measures.of(score)
    if len(request.items):
        # Among all items, the forgotten ones included, which no list of the new run can hold.
        user, item = (x.to(compared.device) for x in places.pairs(retained.test))
        found[f"test recall@{k} with forgotten items"] = measures.recall(score, user, item)
    theirs = torch.isin(torch.tensor(division.whole.test.user), torch.tensor(request.users))
    if bool(theirs.any()):
        user, item = (
            torch.tensor(rows, device=compared.device)[theirs.to(compared.device)]
            for rows in (division.whole.test.user, division.whole.test.item)
        )
        found[f"test recall@{k} of forgotten users"] = measures.recall(score, user, item)
    return found


def _nearness(compared: Compared) -> dict[str, Figures]:
    """Return the overlap of lists with the retrained model's, and the divergence of scores, of the other models."""
    retained, places = compared.division.retained, compared.division.places
    users = torch.arange(retained.num_users, device=compared.device)
    k, size = max(_measured(compared).ks), compared.recipe.evaluation.block_size
    seen = UserItems.from_pairs(
        retained.train.user,
        retained.train.item,
        num_users=retained.num_users,
        num_items=retained.num_items,
        device=compared.device,
    )
    scores = {
        name: places.narrow_scores(score_function(model)) for name, model in compared.models.items()
    }

    def lists(score: ScoreFunction) -> Tensor:
        return rank_items(
            score, users, k=k, num_items=retained.num_items, seen=seen, block_size=size
        )

    gold = lists(scores[_GOLD])
    return {
        name: {
            f"overlap@{k} with gold": list_overlap(lists(score), gold),
            "divergence from gold": score_divergence(scores[_GOLD], score, users, block_size=size),
        }
        for name, score in scores.items()
    }


def _measured(compared: Compared) -> EvaluationConfig:
    k = min(_LENGTH, compared.division.retained.num_items)
    values = {"ks": (k,), "metrics": ("recall", "ndcg"), "select_by": f"recall@{k}"}
    return EvaluationConfig(**{**compared.recipe.evaluation.model_dump(), **values})
