"""Candidates for the nearest neighbours of every row: found in float32, sure to hold them all."""

# torch comes before faiss on purpose: both bring an OpenMP runtime, the first one is shared.
import torch  # noqa: F401, I001
import faiss
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmgraph.graph.knn.rows import FeatureRows, has_whole_numbers

_QUERY_ROWS = 4096
"""Queries given to FAISS at a time."""

_DENSE_SCORES = 1 << 22
"""Scores held at a time where every row must be compared with every other."""

_DENSE_VALUES = 1 << 22
"""Features converted at a time for that."""


class Candidates(NamedTuple):
    """Pairs of a query and a candidate, by position among the rows, query by query."""

    query: NDArray[np.int64]
    item: NDArray[np.int64]


def find_candidates(
    rows: FeatureRows, database: NDArray[np.int64], count: int
) -> Iterator[Candidates]:
    """Yield candidates that include the ``count`` exactly nearest other rows of every row.

    A float32 score is off by at most ``bound``. So an exact neighbour scores at least (the count-th
    best score - 2 bounds), and a list is complete when its last entry lies below that. Lists that
    are not are fetched four times as long, and what is still open is compared with every row.

    Args:
        rows: The rows; each is a query.
        database: Positions of the rows that may be chosen, ascending, at least ``count + 1``.
        count: Number of neighbours wanted, without the row itself.

    Yields:
        Pairs; every query exactly once.

    Complexity:
        O(items^2 * dim) time; memory of one block of queries.
    """
    searched = rows.search if len(database) == len(rows) else rows.search[database]
    whole: bool | None = None
    fetch = min(count + 1 + max(8, count // 2), len(database))
    for start in range(0, len(rows), _QUERY_ROWS):
        queries = np.arange(start, min(start + _QUERY_ROWS, len(rows)))
        for size in (fetch, min(4 * fetch, len(database))):
            found, queries = _fetch(rows, searched, database, queries, count, size)
            yield found
            if len(queries) == 0:
                break
        if len(queries) and whole is None:
            whole = has_whole_numbers(rows)
        step = max(1, _DENSE_SCORES // len(database))
        for at in range(0, len(queries), step):
            part = queries[at : at + step]
            yield _compare_all(rows, database, part, count, whole=bool(whole))


def _fetch(
    rows: FeatureRows,
    searched: NDArray[np.float32],
    database: NDArray[np.int64],
    queries: NDArray[np.int64],
    count: int,
    size: int,
) -> tuple[Candidates, NDArray[np.int64]]:
    """Return the candidates of the lists that are complete, and the queries whose lists are not."""
    contiguous = len(queries) == queries[-1] - queries[0] + 1
    asked = rows.search[queries[0] : queries[-1] + 1] if contiguous else rows.search[queries]
    if rows.metric == "l2":
        distance, number = faiss.knn(asked, searched, size, metric=faiss.METRIC_L2)
        score = -distance
    else:
        score, number = faiss.knn(asked, searched, size, metric=faiss.METRIC_INNER_PRODUCT)
    item = database[number]
    itself = item == queries[:, None]
    # Scores descend; the row itself does not count.
    last = np.where(itself[:, :count].any(axis=1), count, count - 1)
    needed = score[np.arange(len(queries)), last].astype(np.float64) - 2 * rows.bound[queries]
    complete = (score[:, -1] < needed) | (size == len(database))
    row, column = np.nonzero((score >= needed[:, None]) & ~itself & complete[:, None])
    return Candidates(queries[row], item[row, column]), queries[~complete]


def _compare_all(
    rows: FeatureRows,
    database: NDArray[np.int64],
    queries: NDArray[np.int64],
    count: int,
    *,
    whole: bool,
) -> Candidates:
    """Compare queries with every row in float64; of ``whole`` numbers, choose among ties already."""
    score = _dense_scores(rows, database, queries)
    score[database == queries[:, None]] = -np.inf
    best = np.partition(score, len(database) - count, axis=1)[:, len(database) - count, None]
    if whole:
        keep, tied = score > best, score == best
        missing = count - keep.sum(axis=1, keepdims=True)
        keep |= tied & (np.cumsum(tied, axis=1, dtype=np.int32) <= missing)
    else:
        norm = rows.norm
        size = np.ones(len(queries))
        if rows.metric == "inner_product":
            size = norm[queries] * norm.max()
        elif rows.metric == "l2":
            size = (norm[queries] + norm.max()) ** 2
        # Both this product and the exact score round; two scores are compared.
        keep = score >= best - 4 * (rows.source.shape[1] + 16) * 2.0**-53 * size[:, None]
    row, column = np.nonzero(keep)
    return Candidates(queries[row], database[column])


def _dense_scores(
    rows: FeatureRows, database: NDArray[np.int64], queries: NDArray[np.int64]
) -> NDArray[np.float64]:
    left = rows.source[rows.present[queries]].astype(np.float64)
    score = np.empty((len(queries), len(database)))
    step = max(1, _DENSE_VALUES // left.shape[1])
    for start in range(0, len(database), step):
        part = slice(start, start + step)
        np.matmul(
            left, rows.source[rows.present[database[part]]].astype(np.float64).T, out=score[:, part]
        )
    if rows.metric == "cosine":
        score /= rows.norm[queries][:, None] * rows.norm[database]
    elif rows.metric == "l2":
        score *= 2
        score -= rows.square[queries][:, None] + rows.square[database]
    return score
