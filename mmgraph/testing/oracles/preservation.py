"""How much of the features is left in the final vectors, pair by pair."""

import math

import numpy as np
from numpy.typing import ArrayLike

from mmgraph.testing.oracles.blocks import Matrix


def similarity_change(final: ArrayLike, features: ArrayLike, present: ArrayLike) -> Matrix:
    """Return the mean of |cos(f_j, f_l) - cos(x_j, x_l)| over the other items l; NaN without the modality.

    Source: MARIO, the modality-preservation measurement, steps 1 to 5.

    Example:
        >>> similarity_change([[1.0], [-1.0]], [[2.0, 0.0], [0.0, 1.0]], [True, True]).tolist()
        [1.0, 1.0]
    """
    f = np.asarray(final, dtype=np.float64)
    x = np.asarray(features, dtype=np.float64)
    has = np.asarray(present, dtype=np.bool_)
    result = np.full(len(x), np.nan)
    for j in np.flatnonzero(has):
        differences = [
            abs(_cosine(f[j], f[other]) - _cosine(x[j], x[other]))
            for other in np.flatnonzero(has)
            if other != j
        ]
        result[j] = sum(differences) / len(differences)
    return result


def _cosine(a: Matrix, b: Matrix) -> float:
    lengths = math.sqrt(float(a @ a)) * math.sqrt(float(b @ b))
    return float(a @ b) / lengths if lengths else 0.0
