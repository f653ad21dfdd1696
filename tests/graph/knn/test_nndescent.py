"""NN-descent: what surrounds the optional library, with a stand-in for it, and the library itself."""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from mmgraph.errors import GraphError, MissingDependency
from mmgraph.graph.knn import knn_search, lists, nndescent
from mmgraph.graph.knn.canonical import exact_scores
from mmgraph.graph.knn.choice import choose_method, needed_memory
from mmgraph.graph.knn.flat import float32_rows
from mmgraph.graph.knn.nndescent import (
    COMPILER_BYTES,
    check_usable,
    descend,
    descent_bytes,
    find_library,
)
from mmgraph.graph.knn.rows import build_rows

METRICS = ("cosine", "l2")

needs_library = pytest.mark.skipif(find_library() is None, reason="pynndescent is not installed")


def always(kept):
    return True


def as_bytes(graph):
    return graph.edge_index.numpy().tobytes() + graph.edge_weight.numpy().tobytes()


@pytest.fixture
def stand_in(monkeypatch):
    """Have a library that finds everything from an effort on, and half of it below; record the calls."""
    calls = []

    def set_effort(enough):
        def neighbours(rows, kept, seed):
            calls.append(kept)
            x = float32_rows(rows, np.arange(len(rows)))
            distance = np.stack([np.sqrt(((x - row) ** 2).sum(axis=1)) for row in x])
            if kept < enough:
                # Every second row is never found.
                distance[:, ::2] = np.inf
            np.fill_diagonal(distance, 0)
            item = np.argsort(distance, axis=1, kind="stable")[:, :kept].astype(np.int32)
            distance = np.take_along_axis(distance, item.astype(np.int64), axis=1)
            return np.where(np.isinf(distance), -1, item).astype(np.int32), distance

        monkeypatch.setitem(sys.modules, "pynndescent", ModuleType("pynndescent"))
        monkeypatch.setattr(nndescent, "_neighbours", neighbours)
        return calls

    return set_effort


@pytest.fixture
def no_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynndescent", None)


def test_its_absence_is_told_with_the_install_line_before_any_work(no_library, monkeypatch):
    monkeypatch.setattr("mmgraph.graph.knn.search.read_matrix", None)
    with pytest.raises(MissingDependency) as caught:
        knn_search(np.eye(4), 1, method="nndescent")
    message = str(caught.value)
    assert message.startswith("method 'nndescent' needs pynndescent (")
    assert message.endswith("run: pip install 'mmgraph[nndescent]'")
    assert "\n" not in message
    assert find_library() is None


@pytest.mark.parametrize("library", [True, False])
def test_inner_products_are_refused(library, stand_in, monkeypatch):
    stand_in(0)
    if not library:
        monkeypatch.setitem(sys.modules, "pynndescent", None)
    with pytest.raises(GraphError) as caught:
        knn_search(np.eye(4), 1, method="nndescent", metric="inner_product")
    assert str(caught.value) == (
        "method 'nndescent' must have metric 'cosine' or 'l2' (got 'inner_product'); use "
        "method='ivf' or method='hnsw'"
    )
    if library:
        assert [check_usable(metric) for metric in METRICS] == [None, None]


@pytest.mark.parametrize("metric", METRICS)
def test_what_is_found_is_scored_and_chosen_exactly(metric, stand_in, features):
    stand_in(0)
    for kind in ("clustered", "copies", "few", "whole", "offset"):
        x = features(kind, 400, 6)
        graph = knn_search(x, 5, metric=metric, method="nndescent", min_recall=0.9)
        exact = knn_search(x, 5, metric=metric, method="flat")
        assert (graph.method, graph.precision) == ("nndescent", "float32")
        edges = {
            (int(s), int(t)): float(w)
            for (s, t), w in zip(exact.edge_index.T, exact.edge_weight, strict=True)
        }
        found = [(int(s), int(t)) for s, t in graph.edge_index.T]
        same = [
            edges[pair] == float(w)
            for pair, w in zip(found, graph.edge_weight, strict=True)
            if pair in edges
        ]
        assert len(found) == len(edges)
        # Exactly equal scores at the end of a list may be cut otherwise; all others are there.
        assert len(same) > 0.8 * len(edges)
        assert all(same)


@pytest.mark.parametrize("metric", METRICS)
def test_bounds_of_candidates_hold(metric, stand_in, features):
    stand_in(0)
    for kind in ("clustered", "opposite", "near 2^-24", "lengths"):
        rows = build_rows(features(kind, 400, 10), np.arange(400), metric)
        graph = descend(rows, 5, min_recall=0.5, seed=0, fits=always)
        targets = np.arange(0, 400, 3)
        found, left = graph.candidates(targets, 5)
        queries = []
        for part in found:
            assert (part.query != part.item).all()
            assert (part.upper >= exact_scores(rows, part.query, part.item)).all()
            same = part.query[1:] == part.query[:-1]
            assert (part.upper[1:] <= part.upper[:-1])[same].all()
            queries.append(np.unique(part.query))
        assert np.concatenate(queries).tolist() == targets.tolist()
        assert sum(map(len, left)) == 0


def test_the_effort_is_doubled_until_the_sample_finds_enough(stand_in, features):
    calls = stand_in(enough=40)
    rows = build_rows(features("isotropic", 600, 8), np.arange(600), "cosine")
    graph = descend(rows, 9, min_recall=0.9, seed=0, fits=always)
    assert (calls, graph.recall) == ([10, 20, 40], 1.0)
    assert graph.item.shape == graph.distance.shape == (600, 40)
    calls.clear()
    # Nothing more is tried where half is enough, where memory ends, and beyond eight times.
    assert descend(rows, 9, min_recall=0.2, seed=0, fits=always).recall == pytest.approx(
        0.5, abs=0.05
    )
    assert descend(rows, 9, min_recall=0.9, seed=0, fits=lambda kept: kept <= 20).recall < 0.9
    assert calls == [10, 10, 20]
    calls.clear()
    stand_in(enough=1000)
    assert descend(rows, 9, min_recall=0.9, seed=0, fits=always).item.shape == (600, 80)
    assert calls == [10, 20, 40, 80]


def test_too_little_recall_is_an_error(stand_in, features):
    stand_in(enough=1000)
    with pytest.raises(GraphError) as caught:
        knn_search(features("isotropic", 600, 8), 9, method="nndescent", min_recall=0.9)
    message = str(caught.value)
    assert message.startswith("recall must be at least 0.9 (min_recall; got 0.")
    assert message.endswith("with method 'nndescent'); lower min_recall or use method='exact'")


def test_auto_goes_another_way_where_too_little_is_found(stand_in, features, monkeypatch, rates):
    rates(1e12)
    monkeypatch.setattr("mmgraph.graph.knn.choice.LARGE_CATALOGUE", 500)
    monkeypatch.setattr("mmgraph.graph.knn.choice._COMPILED_WORK", 0)
    x, options = features("isotropic", 600, 8), {"min_recall": 0.9}
    calls = stand_in(enough=0)
    found = knn_search(x, 9, **options)
    assert (found.method, calls) == ("nndescent", [10])
    assert found.memory == needed_memory("nndescent", "float32", 600, 600, 8, 9)
    calls = stand_in(enough=1000)
    instead = knn_search(x, 9, **options)
    assert (instead.method, len(calls)) == ("ivf", 5)
    assert instead.memory == needed_memory("nndescent", "float32", 600, 600, 8, 9, kept=80)
    by_clusters = as_bytes(knn_search(x, 9, method="ivf", **options))
    assert as_bytes(instead) == by_clusters
    # Enough for the first sample, but not for the one that judges.
    stand_in(enough=0)
    recalls = iter([0.8, 0.95])
    monkeypatch.setattr(lists, "measure_recall", lambda *of: next(recalls))
    instead = knn_search(x, 9, **options)
    assert (instead.method, instead.recall) == ("ivf", 0.95)
    assert as_bytes(instead) == by_clusters


@pytest.mark.parametrize(
    ("changes", "method"),
    [
        ({}, "nndescent"),
        ({"metric": "l2"}, "nndescent"),
        ({"metric": "inner_product"}, "ivf"),
        ({"dim": 32}, "ivf"),
        ({"min_recall": 1.0}, "join"),
        ({"num_rows": 250_000, "num_targets": 250_000}, "join"),
    ],
)
def test_auto_takes_it_where_it_can_be_used(changes, method, stand_in, rates, monkeypatch):
    rates(bfloat16=4e11, float32=1e11)
    options = {
        "num_rows": 10**6,
        "num_targets": 10**6,
        "dim": 2048,
        "count": 10,
        "metric": "cosine",
        "device": torch.device("cpu"),
        "min_recall": 0.9,
        "max_memory": None,
    } | changes
    stand_in(0)
    plan = choose_method("auto", **options)
    assert plan.method == method
    assert (plan.instead.method if method == "nndescent" else plan.instead) in ("ivf", None)
    # One byte less than it needs: the next way.
    if method == "nndescent":
        less = choose_method("auto", **options | {"max_memory": plan.memory - 1})
        assert less.method in ("join", "flat")
    monkeypatch.setitem(sys.modules, "pynndescent", None)
    assert choose_method("auto", **options).method == ("ivf" if method == "nndescent" else method)


def test_memory_limits_the_effort_and_is_told(stand_in, features):
    calls = stand_in(enough=40)
    x = features("isotropic", 600, 8)
    sizes = "nndescent", "float32", 600, 600, 8, 9
    least, more = needed_memory(*sizes), needed_memory(*sizes, kept=40)
    assert least < needed_memory(*sizes, kept=20) < more
    options = {"method": "nndescent", "min_recall": 0.9}
    assert knn_search(x, 9, max_memory=more, **options).memory == more
    assert calls == [10, 20, 40]
    calls.clear()
    with pytest.raises(GraphError, match=r"recall must be at least 0\.9"):
        knn_search(x, 9, max_memory=more - 1, **options)
    assert calls == [10, 20]
    calls.clear()
    with pytest.raises(GraphError, match=f"max_memory must be at least {least} bytes"):
        knn_search(x, 9, max_memory=least - 1, **options)
    assert calls == []


def test_the_estimate_grows_with_what_is_asked():
    for metric_free in ((20_000, 64, 11), (300_000, 128, 11), (1_000_000, 512, 44)):
        least = descent_bytes(*metric_free)
        for place in range(3):
            more = list(metric_free)
            more[place] *= 4
            assert descent_bytes(*more) > least


@pytest.mark.parametrize("metric", METRICS)
def test_few_rows_are_compared_with_one_another(metric, stand_in, features):
    calls = stand_in(0)
    for num_items, k in ((2, 1), (9, 8), (40, 38), (256, 5), (400, 120)):
        x = features("isotropic", num_items, 4)
        graph = knn_search(x, k, method="nndescent", metric=metric, min_recall=0.5)
        assert as_bytes(graph) == as_bytes(knn_search(x, k, method="flat", metric=metric))
        assert (graph.method, graph.num_left_over) == ("nndescent", num_items)
    x = np.full((20, 3), 2.0, np.float32)
    graph = knn_search(x, 3, method="nndescent", metric=metric, include_self=True)
    assert as_bytes(graph) == as_bytes(
        knn_search(x, 3, method="flat", metric=metric, include_self=True)
    )
    assert calls == []


@pytest.mark.parametrize("metric", METRICS)
def test_items_with_too_few_candidates_are_left_and_served(metric, stand_in, features, monkeypatch):
    stand_in(0)
    x = features("isotropic", 500, 6)
    whole = nndescent._neighbours

    def with_holes(rows, kept, seed):
        item, distance = whole(rows, kept, seed)
        item[::7, 3:], distance[::7, 3:] = -1, np.inf
        return item, distance

    monkeypatch.setattr(nndescent, "_neighbours", with_holes)
    graph = knn_search(x, 5, metric=metric, method="nndescent", min_recall=0.5)
    assert graph.num_left_over == len(range(0, 500, 7))
    assert as_bytes(graph) == as_bytes(knn_search(x, 5, metric=metric, method="flat"))


@pytest.mark.parametrize("metric", METRICS)
def test_parts_are_the_whole(metric, stand_in, features):
    stand_in(enough=12)
    x = features("clustered", 600, 6)
    mask = np.random.default_rng(0).random(600) < 0.9
    options = {"metric": metric, "method": "nndescent", "min_recall": 0.3, "mask": mask}
    whole = knn_search(x, 6, include_self=True, **options)
    edges, weights = [], []
    for targets in np.array_split(np.arange(600), 4):
        part = knn_search(x, 6, include_self=True, targets=targets, **options)
        edges.append(part.edge_index.numpy())
        weights.append(part.edge_weight.numpy())
    np.testing.assert_array_equal(np.concatenate(edges, axis=1), whole.edge_index.numpy())
    np.testing.assert_array_equal(np.concatenate(weights), whole.edge_weight.numpy())
    assert int((whole.edge_index[0] == whole.edge_index[1]).sum()) == int(mask.sum())


def test_progress_rises_to_one(stand_in, features):
    stand_in(0)
    done = []
    x = features("isotropic", 500, 4)
    knn_search(x, 3, method="nndescent", min_recall=0.5, progress=done.append)
    assert done == sorted(done)
    assert done[-1] == 1.0


# The library compiles for about twenty seconds in a process; all that follows shares one.


@needs_library
@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
def test_the_library_finds_what_it_tells(metric, features, with_threads):
    with_threads(2)
    x = features("clustered", 3000, 24)
    mask = np.random.default_rng(0).random(3000) < 0.9
    options = {"metric": metric, "method": "nndescent", "mask": mask}
    graph = knn_search(x, 8, min_recall=0.95, **options)
    exact = knn_search(x, 8, metric=metric, method="flat", mask=mask)
    assert graph.num_left_over == 0
    assert (graph.edge_index[1] == exact.edge_index[1]).all()
    got, wanted = ({(int(s), int(t)) for s, t in found.edge_index.T} for found in (graph, exact))
    true = len(got & wanted) / len(wanted)
    assert true >= 0.95
    # A sample of 512 lists of 8.
    assert abs(true - graph.recall) < 0.03
    again = knn_search(x, 8, min_recall=0.95, **options)
    assert as_bytes(again) == as_bytes(graph)


@needs_library
@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
def test_the_library_orders_opposite_rows_too(metric, features):
    # A fortieth of the rows has cosines below zero with all others: no neighbours but those.
    x = features("opposite", 2000, 16)
    graph = knn_search(x, 60, metric=metric, method="nndescent", min_recall=0.9)
    assert graph.recall >= 0.9
    rows = build_rows(x, np.arange(2000), metric)
    found = descend(rows, 60, min_recall=0.9, seed=0, fits=always)
    for part in found.candidates(np.arange(2000), 60)[0]:
        assert (part.upper >= exact_scores(rows, part.query, part.item)).all()
        pairs = part.query * 2000 + part.item
        assert len(np.unique(pairs)) == len(pairs)


@needs_library
@pytest.mark.slow
def test_the_library_warns_of_nothing_and_leaves_its_threads(features):
    import numba

    before = numba.get_num_threads()
    # Rows of a few kinds: leaves full of copies.
    knn_search(features("few", 800, 6), 4, method="nndescent", min_recall=0.1)
    assert numba.get_num_threads() == before


MEASURE = """
    x = np.random.default_rng(0).standard_normal((30_000, 64), dtype=np.float32)
    centres = np.random.default_rng(1).standard_normal((600, 64), dtype=np.float32)
    x *= 0.3
    x += centres[np.random.default_rng(2).integers(0, 600, len(x))]
    options = {"method": "nndescent", "metric": "l2", "min_recall": 0.3}
    compiling, graph = growth(lambda: knn_search(x[:2000], 10, **options))
    for k in (10, 60):
        limit = choice.needed_memory("nndescent", "float32", len(x), len(x), x.shape[1], k)
        used, graph = growth(lambda: knn_search(x, k, max_memory=limit, **options))
        print(graph.memory, limit, compiling, used)
"""


@needs_library
@pytest.mark.slow
def test_a_search_stays_within_the_memory_it_was_given(run_python):
    numbers = np.array(run_python(MEASURE), dtype=np.int64).reshape(2, 4)
    for estimate, limit, compiling, used in numbers:
        assert estimate == limit
        assert used <= 1.1 * (estimate - COMPILER_BYTES)
        assert compiling + used <= 1.1 * estimate
