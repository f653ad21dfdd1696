"""Evaluation: from a score function and held-out interactions to ranked lists and metrics.

This room knows no model and no data set. It takes a function ``score(users) -> (len(users),
num_items)`` and index arrays; ``ranking`` turns scores into lists, ``metrics`` turns lists into
numbers, ``evaluator`` puts the two together. ``preservation`` compares vectors with features,
``significance`` models with each other.
"""

from mmgraph.evaluation.evaluator import (
    EvaluationConfig,
    EvaluationResult,
    Evaluator,
    write_per_user,
)
from mmgraph.evaluation.metrics import METRICS, compute_metrics, parse_metric
from mmgraph.evaluation.preservation import high_degree_items, similarity_change
from mmgraph.evaluation.ranking import ScoreFunction, UserItems, rank_items, top_k_items
from mmgraph.evaluation.significance import PairedTest, holm, paired_t_test

__all__ = [
    "METRICS",
    "EvaluationConfig",
    "EvaluationResult",
    "Evaluator",
    "PairedTest",
    "ScoreFunction",
    "UserItems",
    "compute_metrics",
    "high_degree_items",
    "holm",
    "paired_t_test",
    "parse_metric",
    "rank_items",
    "similarity_change",
    "top_k_items",
    "write_per_user",
]
