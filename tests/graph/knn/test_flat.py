"""Candidate lists hold every exact neighbour, whichever way they were found."""

import numpy as np
import pytest

from mmgraph.graph.knn import flat
from mmgraph.graph.knn.canonical import choose_nearest, exact_scores, join_lists
from mmgraph.graph.knn.flat import flat_candidates, float32_rows
from mmgraph.graph.knn.float32 import float32_error
from mmgraph.graph.knn.rows import build_rows


@pytest.mark.parametrize("thrifty", [False, True])
@pytest.mark.parametrize("count", [1, 9])
def test_equals_the_definition(kind, metric, thrifty, count, features, definition):
    x = features(kind, 160, 24)
    rows = build_rows(x, np.arange(160), metric)
    found = list(flat_candidates(rows, np.arange(160), count, thrifty=thrifty))
    lists = join_lists([choose_nearest(rows, part, count) for part in found])
    who, item, score = definition(x, count, metric)
    np.testing.assert_array_equal(lists.query, who)
    np.testing.assert_array_equal(lists.item, item)
    np.testing.assert_allclose(lists.score, score, rtol=1e-9, atol=1e-12 * np.abs(score).max())
    for part in found:
        assert (part.query != part.item).all()
        exact = exact_scores(rows, part.query, part.item)
        assert (part.upper >= exact).all()
        # Queries come together, the candidates of each by falling bound.
        same = part.query[1:] == part.query[:-1]
        assert (~same).sum() + 1 == len(np.unique(part.query))
        assert (part.upper[1:] <= part.upper[:-1])[same].all()


def test_only_queries_are_answered(metric, features):
    rows = build_rows(features("clustered", 300, 8), np.arange(300), metric)
    asked = np.array([3, 4, 5, 99, 250])
    whole = list(flat_candidates(rows, np.arange(300), 4))
    whole = join_lists([choose_nearest(rows, part, 4) for part in whole])
    some = join_lists([choose_nearest(rows, part, 4) for part in flat_candidates(rows, asked, 4)])
    assert some.query.tolist() == asked.tolist()
    assert some.item.tobytes() == whole.item[asked].tobytes()
    assert some.score.tobytes() == whole.score[asked].tobytes()


def test_well_separated_rows_need_few_candidates():
    x = np.random.default_rng(1).standard_normal((500, 64))
    rows = build_rows(x, np.arange(500), "cosine")
    found = list(flat_candidates(rows, np.arange(500), 10))
    assert sum(len(part.query) for part in found) < 500 * 11


def test_thrifty_makes_no_copy_of_the_rows(monkeypatch, features):
    rows = build_rows(features("isotropic", 50, 4), np.arange(50), "cosine")
    monkeypatch.setattr(flat, "float32_rows", None)
    assert sum(
        len(np.unique(p.query)) for p in flat_candidates(rows, np.arange(50), 3, thrifty=True)
    )
    with pytest.raises(TypeError):
        list(flat_candidates(rows, np.arange(50), 3))


@pytest.mark.parametrize("offset", [0.0, 10.0])
def test_float32_products_stay_within_the_error(metric, offset):
    x = np.random.default_rng(0).standard_normal((120, 300)) * 7 + offset
    rows = build_rows(x, np.arange(120), metric)
    y = x / rows.scale[:, None]
    z = float32_rows(rows, np.arange(len(rows)))
    assert z.dtype == np.float32
    np.testing.assert_allclose(z, y, rtol=1e-6)
    if metric == "l2":
        exact = ((y[:, None] - y[None]) ** 2).sum(-1)
        rounded = (z**2).sum(1)[:, None] + (z**2).sum(1)[None] - 2 * (z @ z.T)
    else:
        exact, rounded = y @ y.T, z @ z.T
    bound = float32_error(rows) / rows.unit
    assert (np.abs(exact - rounded).max(axis=1) <= bound).all()
    assert bound.max() < 1e-3 * (4 if metric == "l2" else 1)


@pytest.mark.parametrize("metric", ["cosine", "inner_product", "l2"])
@pytest.mark.parametrize("kind", ["isotropic", "whole", "copies", "near 2^-24", "offset"])
def test_block_by_block_in_float64(kind, metric, features, definition, monkeypatch):
    x = features(kind, 400, 8)
    of = build_rows(x, np.arange(400), metric)
    expected = definition(x, 6, metric)[1]
    for block, room in ((7, 1 << 22), (64, 50), (1 << 13, 1 << 22)):
        monkeypatch.setattr(flat, "_DENSE_ROWS", block)
        monkeypatch.setattr(flat, "_DENSE_SCORES", room)
        parts = flat.flat_candidates(of, np.arange(400), 6, thrifty=True)
        lists = join_lists([choose_nearest(of, part, 6) for part in parts])
        assert lists.query.tolist() == list(range(400))
        np.testing.assert_array_equal(lists.item, expected)
