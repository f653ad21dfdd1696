"""Co-interaction counts as scipy's ``A.T @ A`` with the diagonal taken out: all pairs, nothing else."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.rivals.answer import Counts, incidence_pair, phase


def count(
    user: NDArray[np.integer],
    item: NDArray[np.integer],
    *,
    num_users: int,
    num_items: int,
    side: str,
    top_k: int | None,
) -> Counts:
    """Return all pairs, ``top_k`` or not: selecting would only make this way slower."""
    seconds: dict[str, float] = {}
    with phase(seconds, "matrix"):
        transposed, matrix = incidence_pair(user, item, (num_users, num_items), side)
    with phase(seconds, "product"):
        product = transposed @ matrix
    with phase(seconds, "diagonal"):
        product.setdiag(0)
        product.eliminate_zeros()
    target = np.repeat(np.arange(product.shape[0]), np.diff(product.indptr))
    return Counts(product.indices.astype(np.int64), target, seconds)
