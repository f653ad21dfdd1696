"""Evaluation: from a score function and held-out interactions to ranked lists and metrics.

This room knows no model and no data set. It takes a function ``score(users) -> (len(users),
num_items)`` and index arrays; ``ranking`` turns scores into lists, ``metrics`` turns lists into
numbers, ``evaluator`` puts the two together.
"""

from mmgraph.evaluation.evaluator import (
    EvaluationConfig,
    EvaluationResult,
    Evaluator,
    write_per_user,
)
from mmgraph.evaluation.metrics import METRICS, compute_metrics, parse_metric
from mmgraph.evaluation.ranking import ScoreFunction, UserItems, rank_items, top_k_items

__all__ = [
    "METRICS",
    "EvaluationConfig",
    "EvaluationResult",
    "Evaluator",
    "ScoreFunction",
    "UserItems",
    "compute_metrics",
    "parse_metric",
    "rank_items",
    "top_k_items",
    "write_per_user",
]
