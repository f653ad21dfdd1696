"""Candidates by comparing queries with every row: FAISS in float32, float64 where that is not enough."""

# torch comes before faiss on purpose: both bring an OpenMP runtime, the first one is shared.
import torch  # noqa: F401, I001
import faiss
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from mmgraph.graph.knn.canonical import Candidates
from mmgraph.graph.knn.float32 import float32_error
from mmgraph.graph.knn.rows import (
    FeatureRows,
    for_chunks,
    has_whole_numbers,
    rank_in_runs,
    scaled_rows,
)

QUERY_ROWS = 4096
"""Queries given to FAISS at a time."""

_DENSE_SCORES = 1 << 20
"""Scores held at a time where queries must be compared with every row in float64."""

_DENSE_ROWS = 1 << 13
"""Rows they are compared with at a time."""

_DENSE_VALUES = 1 << 22
"""Features converted at a time for that."""


def flat_candidates(
    rows: FeatureRows,
    queries: NDArray[np.int64],
    count: int,
    *,
    thrifty: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Iterator[Candidates]:
    """Yield candidates that include the ``count`` exactly nearest other rows of every query.

    A float32 score is off by at most ``bound``. So an exact neighbour scores at least (the count-th
    best score - 2 bounds), and a list is complete when its last entry lies below that. Lists that
    are not are fetched four times as long, and what is still open is compared with every row.

    Args:
        rows: The rows; each may be chosen.
        queries: Positions of the rows whose neighbours are wanted, ascending.
        count: Number of neighbours wanted, without the row itself; fewer than there are rows.
        thrifty: Whether to compare in float64 at once, which needs no copy of the rows but time.
        progress: Called with the share of the queries that is done.

    Yields:
        Pairs; every query exactly once.

    Complexity:
        O(queries * items * dim) time; memory of a float32 copy of the rows and one block of queries.
    """
    searched = np.empty((0, rows.dim), np.float32)
    if not thrifty:
        searched = float32_rows(rows, np.arange(len(rows)))
    bound = float32_error(rows) / rows.unit
    whole: bool | None = None
    fetch = min(count + 1 + max(8, count // 2), len(rows))
    for start in range(0, len(queries), QUERY_ROWS):
        asked = queries[start : start + QUERY_ROWS]
        for size in () if thrifty else (fetch, min(4 * fetch, len(rows))):
            found, asked = _fetch(rows, searched, bound, asked, count, size)
            if len(found.query):
                yield found
            if len(asked) == 0:
                break
        if len(asked) and whole is None:
            whole = has_whole_numbers(rows)
        step = max(1, _DENSE_SCORES // min(len(rows), _DENSE_ROWS))
        for at in range(0, len(asked), step):
            yield from _compare_all(rows, asked[at : at + step], count, whole=bool(whole))
        if progress is not None:
            progress(min(1.0, (start + QUERY_ROWS) / len(queries)))


def float32_rows(rows: FeatureRows, positions: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return some of the rows in float32, divided by their scale."""
    search = np.empty((len(positions), rows.dim), dtype=np.float32)

    def convert(part: slice, buffer: NDArray[np.float64]) -> None:
        search[part] = scaled_rows(rows, positions[part], buffer)

    for_chunks(len(positions), rows.dim, convert)
    return search


def _fetch(
    rows: FeatureRows,
    searched: NDArray[np.float32],
    bound: NDArray[np.float64],
    queries: NDArray[np.int64],
    count: int,
    size: int,
) -> tuple[Candidates, NDArray[np.int64]]:
    """Return the candidates of the lists that are complete, and the queries whose lists are not."""
    contiguous = len(queries) == queries[-1] - queries[0] + 1
    asked = searched[queries[0] : queries[-1] + 1] if contiguous else searched[queries]
    if rows.metric == "l2":
        distance, item = faiss.knn(asked, searched, size, metric=faiss.METRIC_L2)
        score = -distance
    else:
        score, item = faiss.knn(asked, searched, size, metric=faiss.METRIC_INNER_PRODUCT)
    itself = item == queries[:, None]
    # Scores descend; the row itself does not count.
    last = np.where(itself[:, :count].any(axis=1), count, count - 1)
    margin = 2 * bound[queries]
    needed = score[np.arange(len(queries)), last].astype(np.float64) - margin
    complete = (score[:, -1] < needed) | (size == len(rows))
    row, column = np.nonzero((score >= needed[:, None]) & ~itself & complete[:, None])
    upper = (score[row, column] + margin[row]) * rows.unit
    return Candidates(queries[row], item[row, column], upper), queries[~complete]


def _compare_all(
    rows: FeatureRows, queries: NDArray[np.int64], count: int, *, whole: bool
) -> Iterator[Candidates]:
    """Compare queries with every row in float64; of ``whole`` numbers, choose among ties already.

    Rows come block by block. What reaches the count-th best score so far is kept; rows rise in
    number, so that of exactly equal scores no more than the first ``count`` of a block can matter.
    """
    size = np.ones(len(queries))
    if rows.metric == "inner_product":
        size = rows.norm[queries] * rows.norm.max()
    elif rows.metric == "l2":
        size = (rows.norm[queries] + rows.norm.max()) ** 2
    # Both this product and the exact score round; two scores are compared.
    slack = 0.0 if whole else 4 * (rows.dim + 16) * 2.0**-53 * size[:, None]
    best = np.full((len(queries), count), -np.inf)
    kept: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
    held = 0
    for start in range(0, len(rows), _DENSE_ROWS):
        part = slice(start, min(start + _DENSE_ROWS, len(rows)))
        score = _dense_scores(rows, queries, part)
        inside = np.flatnonzero((queries >= part.start) & (queries < part.stop))
        score[inside, queries[inside] - start] = -np.inf
        best = _merge_best(best, score)
        worst = best[:, :1]
        keep = score > worst if whole else score >= worst - slack
        if whole:
            tied = score == worst
            keep |= tied & (np.cumsum(tied, axis=1, dtype=np.int32) <= count)
        row, column = np.nonzero(keep & np.isfinite(score))
        kept.append((row, column + start, score[row, column]))
        held += len(row)
        if held > _DENSE_SCORES and len(queries) > 1:
            # Rows that float64 hardly tells apart: fewer queries at a time.
            for half in np.array_split(queries, 2):
                yield from _compare_all(rows, half, count, whole=whole)
            return
    row, item, value = (np.concatenate(part) for part in zip(*kept, strict=True))
    last = np.flatnonzero(value >= (best[:, :1] - slack)[row, 0])
    last = last[np.argsort(row[last], kind="stable")]
    yield Candidates(queries[row[last]], item[last], np.full(len(last), np.inf))


def _merge_best(best: NDArray[np.float64], score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest of both in each row, the smallest of them first."""
    count = best.shape[1]
    better = score > best[:, :1]
    held = better.sum(axis=1)
    most = int(held.max(initial=0))
    if most == 0:
        return best
    if most > 4 * count:
        every = np.concatenate([best, score], axis=1)
    else:
        # After the first blocks only a few scores are better.
        row, column = np.nonzero(better)
        every = np.full((len(best), count + most), -np.inf)
        every[:, :count] = best
        every[row, count + rank_in_runs(held)] = score[row, column]
    every.partition(every.shape[1] - count, axis=1)
    return every[:, -count:].copy()


def _dense_scores(
    rows: FeatureRows, queries: NDArray[np.int64], part: slice
) -> NDArray[np.float64]:
    left = rows.source[rows.present[queries]].astype(np.float64)
    score = np.empty((len(queries), part.stop - part.start))
    step = max(1, _DENSE_VALUES // rows.dim)
    for start in range(part.start, part.stop, step):
        some = slice(start, min(start + step, part.stop))
        right = rows.source[rows.present[some]].astype(np.float64)
        np.matmul(left, right.T, out=score[:, some.start - part.start : some.stop - part.start])
    if rows.metric == "cosine":
        score /= rows.norm[queries][:, None] * rows.norm[part]
    elif rows.metric == "l2":
        score *= 2
        score -= rows.square[queries][:, None] + rows.square[part]
    return score
