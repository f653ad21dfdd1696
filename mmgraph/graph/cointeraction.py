"""Item-item and user-user graphs: how often two items share a user, or two users an item.

Counts come from sparse products of the binary training matrix, block of rows by block of rows, so
that a graph with ``top_k`` never holds all pairs at once.
"""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmgraph.errors import GraphError
from mmgraph.graph.bipartite import check_pairs
from mmgraph.graph.normalize import CountNorm, check_norm, count_weights

_BLOCK_PAIRS = 1 << 22
"""Upper limit of the pairs counted in one block of rows (a single row may exceed it)."""


def incidence_matrix(
    user: Tensor | NDArray[np.integer],
    item: Tensor | NDArray[np.integer],
    *,
    num_users: int,
    num_items: int,
    side: Literal["item", "user"],
) -> Any:
    """Build the binary matrix with one row for each node of ``side``; repeated pairs count once.

    Returns:
        A scipy CSR array of int32 ones, (num_items, num_users) for ``item`` and (num_users,
        num_items) for ``user``.

    Raises:
        GraphError: A pair is out of range, or the side is neither.
    """
    if side not in ("item", "user"):
        raise GraphError(f"side must be 'item' or 'user' (got {side!r})")
    users, items = check_pairs(user, item, num_users=num_users, num_items=num_items)
    rows, columns, shape = (
        (items, users, (num_items, num_users))
        if side == "item"
        else (users, items, (num_users, num_items))
    )
    matrix = sp.csr_array((np.ones(len(rows), dtype=np.int32), (rows, columns)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def count_blocks(incidence: Any) -> Iterator[tuple[int, Any]]:
    """Yield the off-diagonal co-interaction counts in blocks of rows.

    Args:
        incidence: The matrix of :func:`incidence_matrix`.

    Yields:
        The number of the first row and a CSR block of int32 counts, without diagonal, columns in no
        particular order.
    """
    transposed = incidence.T.tocsr()
    # An upper bound of the entries of a row: every partner brings all of its own partners.
    work = incidence @ np.diff(transposed.indptr).astype(np.int64)
    total = np.concatenate([[0], np.cumsum(work)])
    start = 0
    while start < incidence.shape[0]:
        stop = int(np.searchsorted(total, total[start] + _BLOCK_PAIRS, side="right")) - 1
        stop = min(max(stop, start + 1), incidence.shape[0])
        block = incidence[start:stop] @ transposed
        row = np.repeat(np.arange(start, stop, dtype=block.indices.dtype), np.diff(block.indptr))
        keep = block.indices != row
        indptr = np.concatenate(
            [[0], np.cumsum(np.bincount(row[keep] - start, minlength=stop - start))]
        )
        yield (
            start,
            sp.csr_array((block.data[keep], block.indices[keep], indptr), shape=block.shape),
        )
        start = stop


def cointeraction_graph(
    user: Tensor | NDArray[np.integer],
    item: Tensor | NDArray[np.integer],
    *,
    num_users: int,
    num_items: int,
    side: Literal["item", "user"] = "item",
    top_k: int | None = None,
    normalize: CountNorm = "max",
) -> tuple[Tensor, Tensor]:
    """Connect items that share users, or users that share items, weighted by how many they share.

    The diagonal (the popularity of a node) is removed before anything else. Weights are computed
    from all counts; then ``top_k`` keeps for each receiving node the edges of largest weight, ties
    by smaller source. The list of one node is its own, so a graph cut by ``top_k`` is directed;
    without ``top_k`` it is symmetric.

    Source: Wu et al., MM-GEF, 2023, eq. (3)-(4) for counts over their largest value (``max``).

    Args:
        user: User of each training pair.
        item: Item of each training pair; a pair that is repeated counts once.
        num_users: Number of users.
        num_items: Number of items.
        side: ``item`` for a graph over items, ``user`` for one over users.
        top_k: Edges kept for each receiving node; all of them when None.
        normalize: ``none`` keeps counts, ``max`` divides by the largest count of the graph,
            ``row_max`` by that of the receiving node, ``sym`` by the square root of both row sums,
            ``cosine`` by the square root of both degrees, ``jaccard`` by the size of the union.

    Returns:
        ``edge_index`` and ``edge_weight`` on the CPU, sorted by target then source; both empty when
        nothing is shared.

    Shapes:
        edge_index (2, num_edges) int64, edge_weight (num_edges,) float32.

    Raises:
        GraphError: A pair is out of range, ``top_k`` is below one, or a name is unknown.

    Complexity:
        For ``item``: O(sum over users of degree squared) time; memory of the kept edges and one
        block.

    Example:
        >>> user, item = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 0, 1, 2])
        >>> edge_index, edge_weight = cointeraction_graph(user, item, num_users=2, num_items=3)
        >>> edge_index.tolist(), edge_weight.tolist()
        ([[1, 2, 0, 2, 0, 1], [0, 0, 1, 1, 2, 2]], [1.0, 0.5, 1.0, 0.5, 0.5, 0.5])
    """
    check_norm(normalize, ("none", "max", "row_max", "sym", "cosine", "jaccard"))
    if top_k is not None and top_k < 1:
        raise GraphError(f"top_k must be at least 1 (got {top_k}); leave it out to keep every edge")
    incidence = incidence_matrix(user, item, num_users=num_users, num_items=num_items, side=side)
    sizes = _node_sizes(incidence, normalize)
    largest, num_edges = 0, 0
    blocks: list[tuple[int, Any]] = []
    for start, block in count_blocks(incidence):
        if block.nnz == 0:
            continue
        largest = max(largest, int(block.data.max()))
        block.data = _block_weights(start, block, sizes, normalize)
        block = _largest_of_rows(block, top_k)
        block.sort_indices()
        blocks.append((start, block))
        num_edges += block.nnz
    edge_index = np.empty((2, num_edges), dtype=np.int64)
    edge_weight = np.empty(num_edges, dtype=np.float32)
    scale = largest if normalize == "max" else 1
    at = 0
    while blocks:
        start, block = blocks.pop(0)
        end = at + block.nnz
        edge_index[0, at:end] = block.indices
        edge_index[1, at:end] = np.repeat(
            np.arange(start, start + block.shape[0]), np.diff(block.indptr)
        )
        edge_weight[at:end] = block.data.astype(np.float64) / scale
        at = end
    return torch.from_numpy(edge_index), torch.from_numpy(edge_weight)


def _node_sizes(incidence: Any, norm: CountNorm) -> NDArray[np.int64]:
    """Return what each node is measured by under a normalisation; see :func:`count_weights`."""
    if norm == "sym":
        # A row sum needs no product: each partner contributes its other partners.
        others = np.bincount(incidence.indices, minlength=incidence.shape[1]).astype(np.int64) - 1
        return np.asarray(incidence @ others)
    return np.asarray(np.diff(incidence.indptr), dtype=np.int64)


def _block_weights(
    start: int, block: Any, sizes: NDArray[np.int64], norm: CountNorm
) -> NDArray[Any]:
    if norm in ("none", "max"):
        return np.asarray(block.data)
    row_sizes = np.diff(block.indptr)
    own = sizes[start : start + block.shape[0]]
    if norm == "row_max":
        own = np.zeros(block.shape[0], dtype=np.int64)
        filled = row_sizes > 0
        own[filled] = np.maximum.reduceat(block.data, block.indptr[:-1][filled])
    target_size = torch.from_numpy(np.repeat(own, row_sizes))
    source_size = torch.from_numpy(sizes[block.indices])
    return count_weights(torch.from_numpy(block.data), target_size, source_size, norm).numpy()


def _largest_of_rows(block: Any, top_k: int | None) -> Any:
    row_sizes = np.diff(block.indptr)
    if top_k is None or row_sizes.max() <= top_k:
        return block
    keep = np.ones(block.nnz, dtype=bool)
    for row in np.flatnonzero(row_sizes > top_k):
        part = slice(block.indptr[row], block.indptr[row + 1])
        keep[part] = _largest(block.data[part], block.indices[part], top_k)
    indptr = np.concatenate([[0], np.cumsum(np.minimum(row_sizes, top_k))])
    return sp.csr_array((block.data[keep], block.indices[keep], indptr), shape=block.shape)


def _largest(value: NDArray[Any], index: NDArray[Any], top_k: int) -> NDArray[np.bool_]:
    """Mark the ``top_k`` largest values, ties by smaller index; linear time, nothing is sorted."""
    threshold = np.partition(value, -top_k)[-top_k]
    keep = value > threshold
    tied = np.flatnonzero(value == threshold)
    missing = top_k - int(keep.sum())
    if missing < len(tied):
        tied = tied[np.argpartition(index[tied], missing - 1)[:missing]]
    keep[tied] = True
    return np.asarray(keep)
