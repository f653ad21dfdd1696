"""Co-interaction counts by sparse_dot_topn: a product that keeps the largest of each row only."""

import importlib

import numpy as np
import scipy.sparse as sp
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
    """Return the pairs of the ``top_k + 1`` largest counts of each row without the row itself."""
    topn = importlib.import_module("sparse_dot_topn")
    seconds: dict[str, float] = {}
    with phase(seconds, "matrix"):
        # It takes scipy's older matrices only.
        transposed, matrix = map(
            sp.csr_matrix, incidence_pair(user, item, (num_users, num_items), side)
        )
    with phase(seconds, "product"):
        wanted = matrix.shape[1] if top_k is None else top_k + 1
        product = topn.sp_matmul_topn(transposed, matrix, top_n=wanted, n_threads=_threads())
    with phase(seconds, "diagonal"):
        product = product.tocsr()
        target = np.repeat(np.arange(product.shape[0]), np.diff(product.indptr))
        other = product.indices != target
    # A node whose every count is its own keeps top_k + 1; one more than wanted is cut off.
    source, target, value = product.indices[other], target[other], product.data[other]
    order = np.lexsort((source, -value, target))
    source, target = source[order].astype(np.int64), target[order].astype(np.int64)
    if top_k is not None:
        first = np.searchsorted(target, np.arange(product.shape[0]))
        keep = np.arange(len(target)) - first[target] < top_k
        source, target = source[keep], target[keep]
    return Counts(source, target, seconds)


def _threads() -> int:
    import torch

    return torch.get_num_threads()
