"""Exact scores of pairs, and the canonical choice among candidates.

What finds candidates may depend on block sizes, threads and the processor; what is chosen and
stored here does not.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmgraph.graph.knn.float32 import float32_error, float32_scores, has_float32
from mmgraph.graph.knn.rows import FeatureRows, for_chunks, rank_in_runs, run_sizes, sum_rows


class Candidates(NamedTuple):
    """Pairs of a query and a candidate, by position among the rows.

    All candidates of a query come together, queries in any order, the candidates of each by falling
    ``upper``. There are at least as many of each as neighbours are wanted.

    Attributes:
        query: First of each pair.
        item: Second of each pair, never the query itself.
        upper: No exact score lies above this; infinity where nothing is known.
    """

    query: NDArray[np.int64]
    item: NDArray[np.int64]
    upper: NDArray[np.float64]


class Lists(NamedTuple):
    """Neighbours of each query, nearest first, ties by smaller number.

    Shapes:
        query (queries,), item and score (queries, count).
    """

    query: NDArray[np.int64]
    item: NDArray[np.int64]
    score: NDArray[np.float64]

    def take(self, which: NDArray[Any]) -> "Lists":
        """Return some of the lists, by a mask or by position."""
        return Lists(self.query[which], self.item[which], self.score[which])


def join_lists(parts: Sequence[Lists]) -> Lists:
    """Put lists together, by ascending query."""
    query = np.concatenate([part.query for part in parts])
    order = np.argsort(query, kind="stable")
    item = np.concatenate([part.item for part in parts])
    score = np.concatenate([part.score for part in parts])
    return Lists(query, item, score).take(order)


def exact_scores(
    rows: FeatureRows, query: NDArray[np.int64], item: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Score pairs in float64 from the original rows; larger is nearer.

    Every pair is summed alone and along its own row, so its score does not depend on which pairs
    are scored with it, and both directions of a pair have the same.

    Args:
        rows: The rows.
        query: First of each pair, by position among the rows.
        item: Second of each pair.

    Returns:
        Cosines, inner products, or squared distances with the sign changed.

    Complexity:
        O(pairs * dim) time.
    """
    source, present, norm = rows.source, rows.present, rows.norm
    score = np.empty(len(query))
    combine = np.subtract if rows.metric == "l2" else np.multiply

    def work(part: slice, buffer: NDArray[np.float64]) -> None:
        values = buffer[: part.stop - part.start]
        left, right = source[present[query[part]]], source[present[item[part]]]
        combine(left, right, out=values, dtype=np.float64)
        if rows.metric == "l2":
            values *= values
            score[part] = -sum_rows(values)
        else:
            score[part] = sum_rows(values)

    for_chunks(len(query), rows.dim, work)
    if rows.metric == "cosine":
        score /= norm[query] * norm[item]
    return score


def choose_nearest(rows: FeatureRows, found: Candidates, count: int) -> Lists:
    """Choose the ``count`` candidates of largest exact score for every query, ties by smaller number.

    Scores get dearer the better they are, so each kind is computed only for the pairs that the last
    one left: whatever cannot exceed the worst of the first ``count`` candidates falls out, first by
    the bound of the search, then by a float32 score where the rows as given are float32.

    Complexity:
        O(dim) for each pair that is scored, and sorting the candidates.
    """
    sizes = run_sizes(found.query)
    first = rank_in_runs(sizes) < count
    upper = found.upper
    if has_float32(rows):
        upper = _sharper(rows, found, first, sizes, count)
    query, item = found.query[first], found.item[first]
    score = _pair_scores(rows, query, item, exact_scores)
    more = _still_open(first, upper, score.reshape(-1, count).min(axis=1), sizes)
    if len(more):
        query = np.concatenate([query, found.query[more]])
        item = np.concatenate([item, found.item[more]])
        rest = _pair_scores(rows, found.query[more], found.item[more], exact_scores)
        score = np.concatenate([score, rest])
    order = np.lexsort((item, -score, query))
    chosen = order[rank_in_runs(run_sizes(query[order])) < count]
    return Lists(
        query[chosen].reshape(-1, count)[:, 0],
        item[chosen].reshape(-1, count),
        score[chosen].reshape(-1, count),
    )


def _sharper(
    rows: FeatureRows,
    found: Candidates,
    first: NDArray[np.bool_],
    sizes: NDArray[np.int64],
    count: int,
) -> NDArray[np.float64]:
    """Return upper bounds by float32 scores, where the present ones leave a pair open."""
    error = float32_error(rows)
    upper = np.full(len(first), -np.inf)
    score = _pair_scores(rows, found.query[first], found.item[first], float32_scores)
    slack = error[found.query[first]]
    upper[first] = score + slack
    worst = (score - slack).reshape(-1, count).min(axis=1)
    more = _still_open(first, found.upper, worst, sizes)
    rest = _pair_scores(rows, found.query[more], found.item[more], float32_scores)
    upper[more] = rest + error[found.query[more]]
    return upper


def _still_open(
    scored: NDArray[np.bool_],
    upper: NDArray[np.float64],
    worst: NDArray[np.float64],
    sizes: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the pairs not yet scored that may reach the worst score of their query."""
    # The upper bound is a sharp one but for the roundings of its own arithmetic.
    limit = np.repeat(worst - 1e-9 * np.abs(worst), sizes)
    return np.flatnonzero(~scored & (upper >= limit))


def copied_lists(
    lists: Lists, copies: NDArray[np.int64], first: NDArray[np.int64], own: NDArray[np.float64]
) -> Lists:
    """Return the lists of copies, each from the list of the first row that is identical to it.

    A copy scores every row as its original does. The original is the one neighbour more.

    Args:
        lists: Lists of all originals at least, by ascending query.
        copies: The copies.
        first: The original of each.
        own: Score of each original with itself.

    Returns:
        The lists of the copies.
    """
    count = lists.item.shape[1]
    at = np.searchsorted(lists.query, first)
    item = np.concatenate([lists.item[at], first[:, None]], axis=1)
    score = np.concatenate([lists.score[at], own[:, None]], axis=1)
    order = np.lexsort((item, -score), axis=1)[:, :count]
    return Lists(
        copies, np.take_along_axis(item, order, axis=1), np.take_along_axis(score, order, axis=1)
    )


def _pair_scores(
    rows: FeatureRows,
    query: NDArray[np.int64],
    item: NDArray[np.int64],
    score_of: Callable[[FeatureRows, NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Score pairs; a pair that comes in both directions is scored once."""
    low, high = np.minimum(query, item), np.maximum(query, item)
    key = low * len(rows) + high
    pairs = np.sort(key)
    pairs = pairs[np.flatnonzero(np.diff(pairs, prepend=-1))]
    if len(pairs) == len(key):
        return score_of(rows, query, item)
    score = score_of(rows, pairs // len(rows), pairs % len(rows))
    return score[np.searchsorted(pairs, key)]
