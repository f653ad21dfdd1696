"""Exact scores, the choice among candidates, and the stored order."""

import numpy as np
import pytest

from mmgraph.graph.knn import canonical
from mmgraph.graph.knn.rows import build_rows


@pytest.mark.parametrize("dim", [1, 2, 7, 64, 9001])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("metric", ["cosine", "inner_product", "l2"])
def test_a_score_does_not_depend_on_the_pairs_beside_it(dim, dtype, metric, monkeypatch):
    x = np.random.default_rng(0).standard_normal((9, dim)).astype(dtype)
    rows = build_rows(x, np.arange(9), metric)
    query, item = (part.ravel() for part in np.meshgrid(np.arange(9), np.arange(9)))
    together = canonical.exact_scores(rows, query, item)
    monkeypatch.setattr(canonical, "_CHUNK_VALUES", 1)
    assert canonical.exact_scores(rows, query, item).tobytes() == together.tobytes()
    # Either direction of a pair has the same score, to the last bit.
    assert canonical.exact_scores(rows, item, query).tobytes() == together.tobytes()
    exact = x.astype(np.longdouble) @ x.astype(np.longdouble).T
    if metric == "cosine":
        exact /= np.sqrt(np.diag(exact))[:, None] * np.sqrt(np.diag(exact))
    if metric == "l2":
        exact = 2 * exact - np.diag(exact)[:, None] - np.diag(exact)
    assert together == pytest.approx(exact[query, item].astype(float), rel=1e-12, abs=1e-12 * dim)


def test_choice_is_by_score_then_number():
    query = np.array([5, 5, 5, 2, 2, 5])
    item = np.array([9, 3, 4, 8, 7, 1])
    score = np.array([0.5, 0.5, 0.9, -0.0, 0.0, 0.1])
    chosen = canonical.choose(query, item, score, 2)
    assert sorted(zip(query[chosen].tolist(), item[chosen].tolist(), strict=True)) == [
        (2, 7),
        (2, 8),
        (5, 3),
        (5, 4),
    ]
    assert len(canonical.choose(query[:0], item[:0], score[:0], 2)) == 0


def test_stored_order_is_target_then_source():
    target, source = np.array([1, 0, 1, 0]), np.array([0, 3, 2, 1])
    assert canonical.stored_order(target, source).tolist() == [3, 1, 0, 2]
