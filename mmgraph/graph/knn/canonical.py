"""Exact scores of pairs, the canonical choice among them, and the order of stored edges.

A float32 search depends on block sizes, threads and the processor; what is chosen and stored here
does not.
"""

import numpy as np
from numpy.typing import NDArray

from mmgraph.graph.knn.rows import FeatureRows, sum_rows

_CHUNK_VALUES = 1 << 17
"""Values of one side scored at a time: they fit into the cache of a core."""


def exact_scores(
    rows: FeatureRows, query: NDArray[np.int64], item: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Score pairs in float64 from the original rows; larger is nearer.

    Every pair is summed alone and along its own row, so its score does not depend on which pairs
    are scored with it.

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
    step = max(1, _CHUNK_VALUES // source.shape[1])
    for start in range(0, len(query), step):
        part = slice(start, start + step)
        left = source[present[query[part]]].astype(np.float64, order="C")
        right = source[present[item[part]]].astype(np.float64, order="C")
        if rows.metric == "l2":
            left -= right
            left *= left
            score[part] = -sum_rows(left)
        else:
            left *= right
            score[part] = sum_rows(left)
    if rows.metric == "cosine":
        score /= norm[query] * norm[item]
    return score


def choose(
    query: NDArray[np.int64], item: NDArray[np.int64], score: NDArray[np.float64], count: int
) -> NDArray[np.int64]:
    """Choose for every query the ``count`` candidates of largest score, ties by smaller number.

    Returns:
        Positions of the chosen pairs.
    """
    order = np.lexsort((item, -score, query))
    ordered = query[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(ordered)])
    rank = np.arange(len(ordered)) - np.repeat(
        first, np.diff(np.concatenate([first, [len(ordered)]]))
    )
    return order[rank < count]


def stored_order(target: NDArray[np.int64], source: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the order of edges by target, then source."""
    return np.lexsort((source, target))
