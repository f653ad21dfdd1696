"""Metrics by hand, against PyTorch Geometric's link-prediction metrics, and against trec_eval."""

import math
import re
from collections.abc import Iterator

import pytest
import pytrec_eval
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.metrics import (
    LinkPredHitRatio,
    LinkPredMAP,
    LinkPredMRR,
    LinkPredNDCG,
    LinkPredPrecision,
    LinkPredRecall,
)

from mmgraph.errors import ConfigError
from mmgraph.evaluation import METRICS, compute_metrics, parse_metric

NUM_ITEMS = 60
KS = (1, 5, 10, 20)


@pytest.fixture(params=[0, 1, 2])
def lists_and_relevant(request: pytest.FixtureRequest) -> tuple[Tensor, list[set[int]]]:
    """Random lists of 20 and between 1 and 45 relevant items for each of 40 users."""
    generator = torch.Generator().manual_seed(request.param)
    lists = torch.stack([torch.randperm(NUM_ITEMS, generator=generator)[:20] for _ in range(40)])
    counts = torch.randint(1, 46, (40,), generator=generator).tolist()
    relevant = [
        set(torch.randperm(NUM_ITEMS, generator=generator)[:count].tolist()) for count in counts
    ]
    return lists, relevant


def hits_of(lists: Tensor, relevant: list[set[int]]) -> tuple[Tensor, Tensor]:
    rows = [
        [item in own for item in row] for row, own in zip(lists.tolist(), relevant, strict=True)
    ]
    return torch.tensor(rows), torch.tensor([len(own) for own in relevant])


def test_worked_by_hand() -> None:
    # One user, three relevant items, hits at ranks 2 and 4.
    hits = torch.tensor([[False, True, False, True, False]])
    values = compute_metrics(hits, torch.tensor([3]), metrics=list(METRICS), ks=[2, 5])
    expected = {
        "recall@2": 1 / 3,
        "recall@5": 2 / 3,
        "ndcg@2": (1 / math.log2(3)) / (1 + 1 / math.log2(3)),
        "ndcg@5": (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3) + 1 / 2),
        "precision@2": 1 / 2,
        "precision@5": 2 / 5,
        "map@2": (1 / 2) / 2,
        "map@5": (1 / 2 + 2 / 4) / 3,
        "mrr@2": 1 / 2,
        "mrr@5": 1 / 2,
        "hit@2": 1.0,
        "hit@5": 1.0,
    }
    assert list(values) == list(expected)
    for name, value in expected.items():
        assert values[name].dtype == torch.float64
        assert values[name].item() == pytest.approx(value, abs=1e-15), name


def test_no_hit_is_zero_and_a_perfect_list_is_one() -> None:
    hits = torch.tensor([[False, False, False], [True, True, False]])
    values = compute_metrics(hits, torch.tensor([2, 2]), metrics=list(METRICS), ks=[1, 2])
    for name, value in values.items():
        best = 0.5 if name == "recall@1" else 1.0
        assert value.tolist() == [0.0, best], name


@pytest.fixture
def double_precision() -> Iterator[None]:
    """PyTorch Geometric accumulates in the default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("recall", LinkPredRecall),
        ("precision", LinkPredPrecision),
        ("ndcg", LinkPredNDCG),
        ("map", LinkPredMAP),
        ("mrr", LinkPredMRR),
        ("hit", LinkPredHitRatio),
    ],
)
@pytest.mark.parametrize("k", KS)
def test_every_user_agrees_with_pytorch_geometric(
    lists_and_relevant: tuple[Tensor, list[set[int]]], name: str, reference: type, k: int
) -> None:
    lists, relevant = lists_and_relevant
    hits, num_relevant = hits_of(lists, relevant)
    values = METRICS[name](hits, num_relevant, k=k)
    together = reference(k)
    for row, own in enumerate(relevant):
        items = torch.tensor(sorted(own))
        alone = reference(k)
        alone.update(lists[row : row + 1], torch.stack([torch.zeros_like(items), items]))
        assert abs(float(alone.compute()) - float(values[row])) < 1e-9
        together.update(lists[row : row + 1], torch.stack([torch.zeros_like(items), items]))
    assert abs(float(together.compute()) - float(values.mean())) < 1e-9


@pytest.mark.parametrize("k", KS)
def test_every_user_agrees_with_trec_eval(
    lists_and_relevant: tuple[Tensor, list[set[int]]], k: int
) -> None:
    lists, relevant = lists_and_relevant
    hits, num_relevant = hits_of(lists, relevant)
    judged = {str(row): {str(item): 1 for item in own} for row, own in enumerate(relevant)}
    # trec_eval cuts no list for the reciprocal rank, so it gets k items. Scores fall with the rank.
    run = {
        str(row): {str(item): float(-rank) for rank, item in enumerate(items[:k])}
        for row, items in enumerate(lists.tolist())
    }
    names = {f"{m}.{k}" for m in ("recall", "P", "ndcg_cut", "map_cut", "success")}
    found = pytrec_eval.RelevanceEvaluator(judged, names | {"recip_rank"}).evaluate(run)
    values = compute_metrics(hits, num_relevant, metrics=list(METRICS), ks=[k])
    for row, own in enumerate(relevant):
        trec = found[str(row)]
        # trec_eval divides the summed precisions by all relevant items, also by those past k.
        average_precision = trec[f"map_cut_{k}"] * len(own) / min(len(own), k)
        expected = {
            "recall": trec[f"recall_{k}"],
            "precision": trec[f"P_{k}"],
            "ndcg": trec[f"ndcg_cut_{k}"],
            "map": average_precision,
            "mrr": trec["recip_rank"],
            "hit": trec[f"success_{k}"],
        }
        for name, value in expected.items():
            assert abs(float(values[f"{name}@{k}"][row]) - value) < 1e-9, name


HITS = st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=5)


@settings(deadline=None)
@given(HITS, st.integers(0, 9), st.integers(1, 6))
def test_bounds_and_relations(rows: list[list[bool]], missed: int, k: int) -> None:
    hits = torch.tensor(rows)
    num_relevant = (hits.sum(dim=1) + missed).clamp(min=1)
    values = {name: METRICS[name](hits, num_relevant, k=k) for name in METRICS}
    for name, value in values.items():
        assert bool((value >= 0).all()), name
        assert bool((value <= 1 + 1e-12).all()), name
        assert bool(((value > 0) == (values["hit"] == 1)).all()), name
    assert torch.allclose(values["recall"] * num_relevant, values["precision"] * k, atol=1e-12)
    # A hit moved to the front can only help; the first place decides mrr.
    ahead = hits.sort(dim=1, descending=True, stable=True).values
    for name, value in values.items():
        assert bool((METRICS[name](ahead, num_relevant, k=k) >= value - 1e-12).all()), name


def test_parse_metric() -> None:
    assert parse_metric("recall@20") == ("recall", 20)
    assert [parse_metric(f"{name}@5") for name in METRICS] == [(name, 5) for name in METRICS]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "recal@20",
            "metric must be one of recall, ndcg, precision, map, mrr, hit (got 'recal'); did",
        ),
        (
            "auc@20",
            "metric must be one of recall, ndcg, precision, map, mrr, hit (got 'auc'); known",
        ),
        ("recall", "metric must be NAME@K with K a positive integer (got 'recall'); "),
        ("recall@", "metric must be NAME@K with K a positive integer (got 'recall@'); "),
        ("recall@0", "metric must be NAME@K with K a positive integer (got 'recall@0'); "),
        ("recall@-5", "metric must be NAME@K with K a positive integer (got 'recall@-5'); "),
        ("recall@5.0", "metric must be NAME@K with K a positive integer (got 'recall@5.0'); "),
        ("recall@²", "metric must be NAME@K with K a positive integer (got 'recall@²'); "),
        ("recall@20@5", "metric must be NAME@K with K a positive integer (got 'recall@20@5'); "),
    ],
)
def test_parse_metric_rejects(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match="^" + re.escape(message)):
        parse_metric(text)


def test_compute_metrics_rejects_an_unknown_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'ndcg'"):
        compute_metrics(torch.ones(1, 1), torch.ones(1), metrics=["ndgc"], ks=[1])


@pytest.mark.parametrize("name", list(METRICS))
@pytest.mark.parametrize(
    ("num_relevant", "k", "message"),
    [
        ([1, 1], 4, "k must be between 1 and the list length (got 4 with 3 places); "),
        ([1, 1], 0, "k must be between 1 and the list length (got 0 with 3 places); "),
        ([1, 0], 3, "row 1: num_relevant must be at least 1 (got 0); "),
        ([1], 3, "hits must be users by places with one num_relevant for each user "),
    ],
)
def test_metrics_reject(name: str, num_relevant: list[int], k: int, message: str) -> None:
    with pytest.raises(ConfigError, match="^" + re.escape(message)):
        METRICS[name](torch.zeros(2, 3, dtype=torch.bool), torch.tensor(num_relevant), k=k)
