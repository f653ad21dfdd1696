"""Exact scores, the choice among candidates, and the stored order."""

import numpy as np
import pytest

from mmgraph.graph.knn import canonical, rows
from mmgraph.graph.knn.canonical import Candidates, Lists, choose_nearest
from mmgraph.graph.knn.rows import build_rows


@pytest.mark.parametrize("dim", [1, 2, 7, 64, 9001])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("metric", ["cosine", "inner_product", "l2"])
def test_a_score_does_not_depend_on_the_pairs_beside_it(dim, dtype, metric, monkeypatch):
    x = np.random.default_rng(0).standard_normal((9, dim)).astype(dtype)
    of = build_rows(x, np.arange(9), metric)
    query, item = (part.ravel() for part in np.meshgrid(np.arange(9), np.arange(9)))
    together = canonical.exact_scores(of, query, item)
    monkeypatch.setattr(rows, "CHUNK_VALUES", 1)
    assert canonical.exact_scores(of, query, item).tobytes() == together.tobytes()
    # Either direction of a pair has the same score, to the last bit.
    assert canonical.exact_scores(of, item, query).tobytes() == together.tobytes()
    exact = x.astype(np.longdouble) @ x.astype(np.longdouble).T
    if metric == "cosine":
        exact /= np.sqrt(np.diag(exact))[:, None] * np.sqrt(np.diag(exact))
    if metric == "l2":
        exact = 2 * exact - np.diag(exact)[:, None] - np.diag(exact)
    assert together == pytest.approx(exact[query, item].astype(float), rel=1e-12, abs=1e-12 * dim)


def test_choice_is_by_score_then_number():
    # Row i has the product i // 2 with every other row of length one.
    x = np.array([[v] for v in (1, 1, 3, 3, 3, 2, 2, -1)], dtype=np.float64)
    of = build_rows(x, np.arange(8), "inner_product")
    query = np.array([1] * 7 + [0] * 7)
    item = np.array([7, 6, 5, 4, 3, 2, 0, 6, 4, 2, 1, 3, 5, 7])
    chosen = choose_nearest(of, Candidates(query, item, np.full(14, np.inf)), 4)
    assert chosen.query.tolist() == [0, 1]
    assert chosen.item.tolist() == [[2, 3, 4, 5]] * 2
    assert chosen.score.tolist() == [[3.0, 3.0, 3.0, 2.0]] * 2


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("margin", [0.0, 1e-7, 1e-2, np.inf])
def test_bounds_save_scores_and_change_nothing(dtype, margin, metric, kind, features, definition):
    x = features(kind, 60, 20).astype(dtype)
    of = build_rows(x, np.arange(60), metric)
    one, other = np.nonzero(~np.eye(60, dtype=bool))
    score = canonical.exact_scores(of, one, other)
    # As sharp as bounds can be, or noisy, or useless.
    noise = margin * of.unit * np.random.default_rng(1).random(len(score)) if margin else 0.0
    upper = score + noise
    place = np.lexsort((-upper, one[::-1]))
    chosen = choose_nearest(of, Candidates(one[place], other[place], upper[place]), 5)
    again = choose_nearest(of, Candidates(one, other, np.full(len(one), np.inf)), 5)
    assert [part.tobytes() for part in chosen] == [part.tobytes() for part in again]
    _, _, expected = definition(x, 5, metric)
    size = np.abs(expected).max()
    np.testing.assert_allclose(chosen.score, expected, rtol=1e-9, atol=1e-12 * size)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_what_cannot_be_chosen_is_not_scored(dtype, features, monkeypatch):
    x = features("isotropic", 200, 16).astype(dtype)
    of = build_rows(x, np.arange(200), "cosine")
    one, other = np.nonzero(~np.eye(200, dtype=bool))
    upper = canonical.exact_scores(of, one, other) + 1e-9
    place = np.lexsort((-upper, one))
    scored = []
    exact_scores = canonical.exact_scores

    def spy(of, query, item):
        scored.append(len(query))
        return exact_scores(of, query, item)

    monkeypatch.setattr(canonical, "exact_scores", spy)
    choose_nearest(of, Candidates(one[place], other[place], upper[place]), 5)
    assert sum(scored) < 200 * 8


def test_lists_are_put_together_by_query():
    one = Lists(np.array([4, 1]), np.array([[7], [8]]), np.array([[0.5], [0.25]]))
    other = Lists(np.array([2]), np.array([[9]]), np.array([[1.0]]))
    both = canonical.join_lists([one, other])
    assert both.query.tolist() == [1, 2, 4]
    assert both.item.tolist() == [[8], [9], [7]]
    assert both.score.tolist() == [[0.25], [1.0], [0.5]]
    assert both.take(np.array([True, False, True])).query.tolist() == [1, 4]


def test_a_copy_has_the_list_of_its_original_with_that_in_it():
    lists = Lists(np.array([0, 3]), np.array([[5, 6], [1, 2]]), np.array([[0.9, 0.5], [4.0, 3.0]]))
    copies = canonical.copied_lists(
        lists, np.array([8, 9, 7]), np.array([3, 0, 0]), np.array([3.0, 1.0, 0.1])
    )
    assert copies.query.tolist() == [8, 9, 7]
    assert copies.item.tolist() == [[1, 2], [0, 5], [5, 6]]
    assert copies.score.tolist() == [[4.0, 3.0], [1.0, 0.9], [0.9, 0.5]]
