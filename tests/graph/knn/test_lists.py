"""A planned search runs as planned, and what one way leaves over is served by another."""

import numpy as np
import pytest
import torch

from mmgraph.graph.knn import flat, lists
from mmgraph.graph.knn.choice import Plan
from mmgraph.graph.knn.lists import Clock, Search
from mmgraph.graph.knn.rows import build_rows


def search_of(x, method, *, targets=None, count=4, metric="cosine", max_memory=None, **options):
    rows = build_rows(x, np.arange(len(x)), metric)
    return Search(
        rows=rows,
        targets=np.arange(len(rows)) if targets is None else targets,
        count=count,
        plan=Plan(method, "float32", 0),
        device=torch.device("cpu"),
        min_recall=options.get("min_recall", 0.5),
        max_memory=max_memory,
        seed=0,
        progress=options.get("progress"),
    )


@pytest.mark.parametrize("method", ["join", "flat", "ivf", "hnsw"])
def test_every_target_has_its_list(method, metric, features, definition):
    x, targets = features("isotropic", 400, 8), np.array([0, 7, 8, 250, 399])
    found, recall = search_of(x, method, targets=targets, metric=metric).run(Clock())
    assert found.query.tolist() == targets.tolist()
    assert found.item.shape == found.score.shape == (5, 4)
    _, item, score = definition(x, 4, metric)
    if method in ("join", "flat"):
        assert recall == 1.0
        np.testing.assert_array_equal(found.item, item[targets])
    np.testing.assert_array_less(found.score, score[targets] + 1e-9 * np.abs(score).max())
    assert (np.diff(found.score, axis=1) <= 0).all()


def test_nothing_wanted_is_nothing_done(monkeypatch, features):
    x = features("isotropic", 50, 3)
    for name in ("join_candidates", "flat_candidates", "approximate_candidates"):
        monkeypatch.setattr(lists, name, None)
    for method in ("join", "flat", "ivf", "hnsw"):
        found, recall = search_of(x, method, targets=np.empty(0, np.int64)).run(Clock())
        assert (found.item.shape, recall) == ((0, 4), 1.0)
        found, _ = search_of(x, method, count=0).run(Clock())
        assert found.item.size == 0


@pytest.mark.parametrize("max_memory", [None, 10**9, 1000])
def test_what_a_join_leaves_over_is_searched_within_the_memory(
    max_memory, features, definition, monkeypatch
):
    x, thrifty = features("opposite", 300, 8), []
    candidates = flat.flat_candidates

    def spy(*arguments, **options):
        thrifty.append(options["thrifty"])
        return candidates(*arguments, **options)

    monkeypatch.setattr(lists, "flat_candidates", spy)
    found, _ = search_of(x, "join", count=30, max_memory=max_memory).run(Clock())
    assert thrifty == [max_memory == 1000]
    assert found.query.tolist() == list(range(300))
    np.testing.assert_array_equal(found.item, definition(x, 30, "cosine")[1])


def test_a_join_that_serves_all_makes_no_second_search(features, monkeypatch):
    monkeypatch.setattr(lists, "flat_candidates", None)
    found, _ = search_of(features("isotropic", 300, 8), "join").run(Clock())
    assert len(found.query) == 300


def test_phases_add_up_to_the_whole(features, monkeypatch):
    now = iter(range(1000))
    monkeypatch.setattr(lists.time, "perf_counter", lambda: float(next(now)))
    clock = Clock()
    clock.lap("one")
    clock.lap("two")
    clock.lap("one")
    assert clock.seconds == {"one": 2.0, "two": 1.0}
    search_of(features("isotropic", 300, 8), "ivf").run(clock)
    assert {"search", "score", "recall"} <= set(clock.seconds)
    assert all(seconds >= 1 for seconds in clock.seconds.values())
