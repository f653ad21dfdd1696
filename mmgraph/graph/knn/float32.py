"""Scores of single pairs in float32 by FAISS, and how far they can be from the exact ones."""

# torch comes before faiss on purpose: both bring an OpenMP runtime, the first one is shared.
import torch  # noqa: F401, I001
import faiss

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmgraph.graph.knn.rows import FeatureRows

UNIT_ROUNDOFF = 2.0**-24

_SAFE = 1e-6, 1e6
"""Lengths between which float32 products of two rows lose nothing to its range."""


def has_float32(rows: FeatureRows) -> bool:
    """Return whether pairs can be scored in float32 without a copy of the rows."""
    return (
        rows.source.dtype == np.float32
        and len(rows) > 0
        and rows.norm.min() > _SAFE[0]
        and rows.norm.max() < _SAFE[1]
    )


def float32_scores(
    rows: FeatureRows, query: NDArray[np.int64], item: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Score pairs by float32 products, many times faster than exactly.

    Args:
        rows: Rows for which :func:`has_float32`.
        query: First of each pair, by position among the rows.
        item: Second of each pair.

    Returns:
        Scores that differ from the exact ones by at most :func:`float32_error` of either row.
    """
    score = np.empty(len(query), dtype=np.float32)
    if len(query) == 0:
        return score.astype(np.float64)
    pairwise: Any = faiss
    name = "L2sqr" if rows.metric == "l2" else "inner_product"
    compare = getattr(pairwise, f"pairwise_indexed_{name}")
    left, right = rows.present[query], rows.present[item]
    x, one, other, out = map(faiss.swig_ptr, (rows.source, left, right, score))
    compare(rows.dim, len(query), x, one, x, other, out)
    exact = score.astype(np.float64)
    if rows.metric == "l2":
        return -exact
    return exact / (rows.norm[query] * rows.norm[item]) if rows.metric == "cosine" else exact


def float32_error(rows: FeatureRows) -> NDArray[np.float64]:
    """Return for each row how far a float32 score of a pair with it can be from the exact one.

    The bound is the textbook one for an inner product of ``dim`` terms in any order of summation,
    ``(dim + 16) u / (1 - (dim + 16) u)`` times the lengths of both rows with ``u = 2 ** -24``; the 16
    pays for the rounding of the rows themselves and for the few extra steps of a squared distance.
    """
    steps = (rows.dim + 16) * UNIT_ROUNDOFF
    longest = rows.norm.max(initial=0.0)
    size = np.ones(len(rows))
    if rows.metric != "cosine":
        size = rows.norm * longest if rows.metric == "inner_product" else (rows.norm + longest) ** 2
    # The second term pays for numbers too small for full precision.
    return np.asarray(steps / (1 - steps) * size + rows.dim * 1e-25 * rows.unit)
