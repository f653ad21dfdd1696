"""Co-interaction counts as scipy's ``A.T @ A`` with the diagonal taken out: all pairs, nothing else."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from benchmarks.rivals.answer import Counts, phase


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
        ones = np.ones(len(user), dtype=np.int32)
        matrix = sp.csr_array((ones, (user, item)), shape=(num_users, num_items))
        if side == "user":
            matrix = matrix.T.tocsr()
        transposed = matrix.T.tocsr()
    with phase(seconds, "product"):
        product = transposed @ matrix
    with phase(seconds, "diagonal"):
        product.setdiag(0)
        product.eliminate_zeros()
    target = np.repeat(np.arange(product.shape[0]), np.diff(product.indptr))
    return Counts(product.indices.astype(np.int64), target, seconds)
