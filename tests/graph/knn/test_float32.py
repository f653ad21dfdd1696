"""float32 scores of pairs: within their error, and only of rows for which they can be made."""

import numpy as np
import pytest

from mmgraph.graph.knn.canonical import exact_scores
from mmgraph.graph.knn.float32 import float32_error, float32_scores, has_float32
from mmgraph.graph.knn.rows import build_rows


def rows_of(x, metric="cosine"):
    return build_rows(x, np.arange(len(x)), metric)


@pytest.mark.parametrize("dim", [1, 3, 300])
def test_scores_stay_within_the_error(kind, metric, dim, features):
    x = features(kind, 80, dim)
    x = x[np.linalg.norm(x, axis=1) > 2e-6]
    rows = rows_of(x, metric)
    assert has_float32(rows)
    query, item = (part.ravel() for part in np.meshgrid(np.arange(len(x)), np.arange(len(x))))
    score = float32_scores(rows, query, item)
    off = np.abs(score - exact_scores(rows, query, item))
    # Either row's error will do.
    error = float32_error(rows)
    assert score.dtype == np.float64
    assert (off <= np.minimum(error[query], error[item])).all()


@pytest.mark.parametrize("length", [1.1e-6, 0.9e6])
def test_scores_stay_within_the_error_at_the_ends_of_the_range(length, metric):
    x = np.random.default_rng(0).standard_normal((40, 50))
    x[:, 1:] *= 10.0 ** np.random.default_rng(1).uniform(-30, 0, (40, 49))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True) * length).astype(np.float32)
    rows = rows_of(x, metric)
    assert has_float32(rows)
    query, item = (part.ravel() for part in np.meshgrid(np.arange(40), np.arange(40)))
    off = np.abs(float32_scores(rows, query, item) - exact_scores(rows, query, item))
    assert (off <= float32_error(rows)[query]).all()


def test_scores_are_of_the_rows_that_take_part(metric):
    x = np.random.default_rng(2).standard_normal((30, 4)).astype(np.float32)
    present = np.arange(3, 30, 2)
    rows = build_rows(x, present, metric)
    query, item = np.array([0, 5, 2]), np.array([1, 9, 2])
    alone = float32_scores(rows_of(x[present], metric), query, item)
    np.testing.assert_array_equal(float32_scores(rows, query, item), alone)
    assert len(float32_scores(rows, query[:0], item[:0])) == 0


def test_the_error_is_small_enough_to_be_of_use(metric, features):
    x = features("isotropic", 100, 128)
    rows = rows_of(x, metric)
    assert (float32_error(rows) < 2.0**-16 * rows.unit * (4 if metric == "l2" else 1)).all()


@pytest.mark.parametrize("dtype", ["f2", "f8", "i1", "i4", "?"])
def test_rows_of_another_type_have_no_float32(dtype):
    assert not has_float32(rows_of(np.ones((3, 4), dtype)))


@pytest.mark.parametrize(("length", "fits"), [(1e-7, False), (1, True), (1e7, False)])
def test_rows_must_be_far_from_the_ends_of_float32(length, fits, metric):
    x = np.eye(4, dtype=np.float32)
    x[2] *= length
    assert has_float32(rows_of(x, metric)) == fits


def test_no_rows_have_no_float32():
    assert not has_float32(rows_of(np.empty((0, 4), np.float32)))
    assert not has_float32(rows_of(np.zeros((3, 4), np.float32), "l2"))
