"""Approximate searches: the recall they promise, measured right, and an answer for every item."""

import numpy as np
import pytest

from mmgraph.errors import GraphError
from mmgraph.graph.knn import approximate, knn_search
from mmgraph.graph.knn.approximate import (
    approximate_candidates,
    exact_lists,
    measure_recall,
)
from mmgraph.graph.knn.canonical import Lists, exact_scores
from mmgraph.graph.knn.rows import build_rows

METHODS = ("ivf", "hnsw")


def neighbour_sets(graph, count):
    target = graph.edge_index[1].numpy()
    order = np.argsort(target, kind="stable")
    return graph.edge_index[0].numpy()[order].reshape(-1, count)


def as_bytes(graph):
    return graph.edge_index.numpy().tobytes() + graph.edge_weight.numpy().tobytes()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("min_recall", [0.6, 0.95])
def test_reaches_the_recall_it_tells(method, min_recall, metric, features):
    x = features("clustered", 1500, 24)
    graph = knn_search(x, 8, metric=metric, method=method, min_recall=min_recall)
    exact = knn_search(x, 8, metric=metric, method="flat")
    assert (graph.method, graph.precision) == (method, "float32")
    got, wanted = neighbour_sets(graph, 8), neighbour_sets(exact, 8)
    true = np.mean([len(set(a) & set(b)) / 8 for a, b in zip(got, wanted, strict=True)])
    assert min_recall <= graph.recall <= 1
    # A sample of 512 lists of 8 of 1,500.
    assert abs(true - graph.recall) < 0.03
    # What was found is scored exactly.
    pairs = {
        (int(s), int(t)): float(w)
        for (s, t), w in zip(exact.edge_index.T, exact.edge_weight, strict=True)
    }
    same = [
        pairs[int(s), int(t)] == float(w)
        for (s, t), w in zip(graph.edge_index.T, graph.edge_weight, strict=True)
        if (int(s), int(t)) in pairs
    ]
    assert len(same) > 0.5 * len(pairs)
    assert all(same)


def test_measured_recall_is_that_of_the_sample(metric, features, definition):
    x = features("isotropic", 700, 6)
    rows = build_rows(x, np.arange(700), metric)
    generator = np.random.default_rng(0)
    _, item, _ = definition(x, 5, metric)
    # A random part of every list is lost; what comes instead is worse than all of the list.
    lost = generator.random(item.shape) < generator.random((700, 1))
    _, far, _ = definition(x, 50, metric)
    item = np.where(lost, far[:, 45:50], item)
    of = np.repeat(np.arange(700), 5)
    lists = Lists(np.arange(700), item, exact_scores(rows, of, item.ravel()).reshape(-1, 5))
    sample = np.random.default_rng(8).choice(np.arange(700), approximate.SAMPLE, replace=False)
    expected = 1 - lost[sample].mean()
    assert measure_recall(rows, lists, 7) == pytest.approx(expected, abs=1e-12)
    # Lists of a few items only.
    some = lists.take(np.arange(0, 700, 9))
    assert measure_recall(rows, some, 7) == pytest.approx(1 - lost[::9].mean(), abs=1e-12)


def test_another_neighbour_of_the_same_score_counts_as_found():
    x = np.repeat(np.eye(4), 10, axis=0)
    rows = build_rows(x, np.arange(40), "cosine")
    last = np.stack(
        [np.setdiff1d(np.arange(i // 10 * 10, i // 10 * 10 + 10), i)[-3:] for i in range(40)]
    )
    assert measure_recall(rows, Lists(np.arange(40), last, np.ones((40, 3))), 0) == 1.0


def test_exact_lists_of_a_few_rows_are_exact(metric, features, definition):
    x = features("near 2^-24", 200, 5)
    rows = build_rows(x, np.arange(200), metric)
    lists = exact_lists(rows, np.array([4, 50, 199]), 6)
    assert lists.query.tolist() == [4, 50, 199]
    np.testing.assert_array_equal(lists.item, definition(x, 6, metric)[1][[4, 50, 199]])


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_bytes(method, features, with_threads):
    with_threads(1)
    x = features("clustered", 900, 12)
    options = {"method": method, "min_recall": 0.5}
    first = knn_search(x, 5, seed=3, **options)
    assert as_bytes(knn_search(x, 5, seed=3, **options)) == as_bytes(first)
    assert knn_search(x, 5, seed=3, **options).recall == first.recall


@pytest.mark.parametrize("method", METHODS)
def test_too_little_recall_is_an_error(method, features, monkeypatch):
    x = features("isotropic", 3000, 64)
    # No effort but the least.
    monkeypatch.setattr(
        approximate, "_choose_effort", lambda index, *rest: approximate._set_effort(index, 1)
    )
    with pytest.raises(GraphError) as caught:
        knn_search(x, 5, method=method, min_recall=0.999)
    message = str(caught.value)
    assert "recall must be at least 0.999 (min_recall; got 0." in message
    assert f"with method '{method}'); lower min_recall or use method='exact'" in message
    assert "\n" not in message
    graph = knn_search(x, 5, method=method, min_recall=1e-6)
    assert 0 < graph.recall < 0.999


@pytest.mark.parametrize("method", METHODS)
def test_every_pair_is_found_where_every_pair_must_be(method, metric, features):
    for num_items, k in ((2, 1), (3, 2), (9, 8), (40, 39), (40, 38)):
        x = features("isotropic", num_items, 4).astype(np.float64)
        graph = knn_search(x, k, method=method, metric=metric, min_recall=0.5)
        exact = knn_search(x, k, method="flat", metric=metric)
        if k == num_items - 1 or method == "ivf":
            assert as_bytes(graph) == as_bytes(exact)
        assert graph.edge_index.size(1) == num_items * k


@pytest.mark.parametrize("method", METHODS)
def test_targets_masks_copies_and_oneself(method, metric, features):
    x = features("clustered", 400, 6)
    x[50:90], x[7] = x[3], 0
    mask = np.random.default_rng(0).random(400) < 0.9
    targets = np.r_[3, 60:80, 7, 200:300]
    options = {"metric": metric, "mask": mask, "targets": targets, "include_self": True}
    graph = knn_search(x, 6, method=method, min_recall=0.3, **options)
    exact = knn_search(x, 6, method="flat", **options)
    assert (graph.edge_index[1] == exact.edge_index[1]).all()
    assert (graph.num_searched, graph.num_without_edges) == (
        exact.num_searched,
        exact.num_without_edges,
    )
    edges = graph.edge_index
    assert int((edges[0] == edges[1]).sum()) == len(edges[0]) // 6


def test_items_with_too_few_candidates_are_left_and_served(metric, features, monkeypatch):
    # Clusters of eight rows, one of them looked at: never ten neighbours.
    x = np.repeat(features("isotropic", 60, 16), 8, axis=0)
    x += 1e-3 * features("isotropic", 480, 16, seed=1)
    monkeypatch.setattr(
        approximate, "_choose_effort", lambda index, *rest: approximate._set_effort(index, 1)
    )
    rows = build_rows(x, np.arange(480), metric)
    found, left = approximate_candidates(
        rows, np.arange(480), 30, method="ivf", min_recall=0.5, seed=0
    )
    served = [np.unique(part.query) for part in found]
    every = np.sort(np.concatenate([*served, *left]))
    assert every.tolist() == list(range(480))
    assert sum(map(len, left)) > 0
    graph = knn_search(x, 30, metric=metric, method="ivf", min_recall=0.1)
    assert graph.edge_index.size(1) == 480 * 30
    exact = knn_search(x, 30, metric=metric, method="flat")
    at = np.isin(graph.edge_index[1], np.concatenate(left))
    assert (graph.edge_index[:, at] == exact.edge_index[:, at]).all()


def test_bounds_of_candidates_hold(metric, features):
    for method in METHODS:
        rows = build_rows(features("clustered", 300, 10), np.arange(300), metric)
        found, _ = approximate_candidates(
            rows, np.arange(300), 5, method=method, min_recall=0.5, seed=0
        )
        for part in found:
            assert (part.query != part.item).all()
            assert (part.upper >= exact_scores(rows, part.query, part.item)).all()
            same = part.query[1:] == part.query[:-1]
            assert (part.upper[1:] <= part.upper[:-1])[same].all()
            assert np.bincount(part.query)[np.unique(part.query)].min() >= 5


def test_progress_rises_to_one(features):
    done = []
    knn_search(features("isotropic", 500, 4), 3, method="ivf", min_recall=0.5, progress=done.append)
    assert done == sorted(done)
    assert done[-1] == 1.0
