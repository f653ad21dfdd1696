"""Scores of single pairs in float32 by FAISS, and how far they can be from the exact ones."""

# torch comes before faiss on purpose: both bring an OpenMP runtime, the first one is shared.
import torch  # noqa: F401, I001
import faiss

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmgraph.graph.knn.rows import FeatureRows

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


def summation_error(terms: int) -> float:
    """Return the relative error of an inner product that is accumulated in float32, in any order.

    That is the textbook ``n u / (1 - n u)`` with ``u = 2 ** -24``. Sixteen terms more pay for the
    rounding of the rows themselves and for the few extra steps of a squared distance.
    """
    steps = (terms + 16) * 2.0**-24
    return steps / (1 - steps)


def float32_error(rows: FeatureRows) -> NDArray[np.float64]:
    """Return for each row how far a float32 score of a pair with it can be from the exact one.

    The bound is :func:`summation_error` times the lengths of both rows.
    """
    longest = rows.norm.max(initial=0.0)
    size = np.ones(len(rows))
    if rows.metric != "cosine":
        size = rows.norm * longest if rows.metric == "inner_product" else (rows.norm + longest) ** 2
    # The second term pays for numbers too small for full precision.
    return np.asarray(summation_error(rows.dim) * size + rows.dim * 1e-25 * rows.unit)
