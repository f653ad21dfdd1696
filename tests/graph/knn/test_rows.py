"""The rows of a search: lengths, error bounds, and which copies are worth searching."""

import numpy as np
import pytest

from mmgraph.graph.knn.rows import (
    build_rows,
    drop_copies,
    has_whole_numbers,
    read_matrix,
    sum_rows,
)


def rows_of(x, metric="cosine"):
    return build_rows(x, np.arange(len(x)), metric)


def test_search_rows_have_length_one_and_zero_rows_drop_out():
    x = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, -2.0]], dtype=np.float32)
    rows = rows_of(x)
    assert rows.present.tolist() == [0, 2]
    assert rows.norm.tolist() == [5.0, 2.0]
    assert rows.search.dtype == np.float32
    np.testing.assert_allclose(rows.search, [[0.6, 0.8], [0.0, -1.0]], rtol=1e-7)
    assert rows_of(x, "l2").present.tolist() == [0, 1, 2]


def test_lengths_are_taken_in_float64():
    assert rows_of(np.array([[1e-30, 0.0], [3e30, 4e30]], dtype=np.float32)).norm.tolist() == (
        pytest.approx([1e-30, 5e30], rel=1e-6)
    )


@pytest.mark.parametrize("metric", ["cosine", "inner_product", "l2"])
@pytest.mark.parametrize("offset", [0.0, 10.0])
def test_float32_scores_stay_within_the_bound(metric, offset):
    x = np.random.default_rng(0).standard_normal((120, 300)) * 7 + offset
    rows = rows_of(x, metric)
    y = x / (rows.norm[:, None] if metric == "cosine" else rows.norm.max())
    z = rows.search
    if metric == "l2":
        exact = ((y[:, None] - y[None]) ** 2).sum(-1)
        rounded = (z**2).sum(1)[:, None] + (z**2).sum(1)[None] - 2 * (z @ z.T)
    else:
        exact, rounded = y @ y.T, z @ z.T
    error = np.abs(exact - rounded).max(axis=1)
    assert (error <= rows.bound).all()
    assert rows.bound.max() < 1e-3 * (4 if metric == "l2" else 1)


def test_only_the_first_copies_are_searched():
    x = np.random.default_rng(1).standard_normal((10, 3)).astype(np.float32)
    x[[2, 4, 5, 9]] = x[2]
    x[7] = -x[2]
    assert drop_copies(rows_of(x), 2).tolist() == [0, 1, 2, 3, 4, 6, 7, 8]
    assert drop_copies(rows_of(x), 4).tolist() == list(range(10))


def test_rows_of_equal_length_are_not_taken_for_copies():
    assert drop_copies(rows_of(np.eye(6)), 1).tolist() == list(range(6))


def test_a_matrix_is_viewed_not_copied():
    x = np.zeros((3, 2), dtype=np.float16)
    assert read_matrix(x) is x


@pytest.mark.parametrize("dim", [1, 2, 3, 37, 4096, 9001])
def test_a_sum_of_a_row_is_its_own(dim):
    values = np.random.default_rng(2).standard_normal((7, dim))
    together = sum_rows(values.copy())
    alone = [sum_rows(values[i : i + 1].copy())[0] for i in range(7)]
    assert together.tolist() == alone
    assert together == pytest.approx(values.astype(np.longdouble).sum(1).astype(float), rel=1e-11)


def test_whole_numbers_are_recognised_while_their_products_are_exact():
    x = np.random.default_rng(3).integers(-5, 6, (20, 4)).astype(np.float32)
    assert has_whole_numbers(rows_of(x))
    assert not has_whole_numbers(rows_of(x + np.eye(20, 4, dtype=np.float32) / 2))
    assert not has_whole_numbers(rows_of(x.astype(np.float64) * 2.0**30))
