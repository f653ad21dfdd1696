"""Item-item and user-user graphs: how often two items share a user, or two users an item.

Counts come a block of rows at a time, so that a graph with ``top_k`` never holds all pairs at once.
"""

from collections.abc import Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmgraph.errors import GraphError
from mmgraph.graph.bipartite import check_pairs
from mmgraph.graph.counting import count_parts, plan_counts
from mmgraph.graph.normalize import COUNT_NORMS, CountNorm, check_norm, count_weights

_BLOCK_PAIRS = 1 << 17
"""Pairs that are counted together; a single row may have more."""

_BY_COUNT = ("none", "max", "row_max")
"""Normalisations that order a row as its counts do."""


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


def limit_partners(incidence: Any, limit: int, seed: int) -> tuple[Any, dict[str, int]]:
    """Keep at most ``limit`` nodes of each partner, a random subset where it has more.

    A partner of ``d`` nodes makes ``d^2`` pairs: a few of them dominate the time and say little about any one pair.

    Source: Schelter, Boden and Markl, RecSys 2012, section 3 (the interaction cut).

    Args:
        incidence: The matrix of :func:`incidence_matrix`.
        limit: Nodes kept of one partner.
        seed: Decides the subsets; the one of a partner does not depend on any other partner.

    Returns:
        The smaller matrix, and ``partners_limited`` and ``interactions_left_out``.
    """
    by_partner = incidence.T.tocsr()
    degree = np.diff(by_partner.indptr)
    keep = np.ones(by_partner.nnz, dtype=bool)
    partners = np.flatnonzero(degree > limit)
    for partner in partners.tolist():
        start, size = int(by_partner.indptr[partner]), int(degree[partner])
        generator = np.random.default_rng((seed, partner))
        keep[start : start + size] = False
        keep[start + generator.permutation(size)[:limit]] = True
    column = np.repeat(np.arange(by_partner.shape[0]), degree)[keep]
    row = by_partner.indices[keep]
    smaller = sp.csr_array((by_partner.data[keep], (row, column)), shape=incidence.shape)
    smaller.sum_duplicates()
    left_out = int(incidence.nnz - smaller.nnz)
    return smaller, {"partners_limited": len(partners), "interactions_left_out": left_out}


def count_blocks(incidence: Any) -> Iterator[tuple[int, Any]]:
    """Yield the off-diagonal co-interaction counts in blocks of rows.

    Args:
        incidence: The matrix of :func:`incidence_matrix`.

    Yields:
        The number of the first row and a CSR block of int32 counts, without diagonal, columns
        sorted.
    """
    plan = plan_counts(incidence, _BLOCK_PAIRS)
    yield from count_parts(plan, lambda start, block: (start, block))


def cointeraction_graph(
    user: Tensor | NDArray[np.integer],
    item: Tensor | NDArray[np.integer],
    *,
    num_users: int,
    num_items: int,
    side: Literal["item", "user"] = "item",
    top_k: int | None = None,
    normalize: CountNorm = "max",
    max_interactions: int | None = None,
    seed: int = 0,
    report: MutableMapping[str, Any] | None = None,
) -> tuple[Tensor, Tensor]:
    """Connect items that share users, or users that share items, weighted by how many they share.

    The diagonal (the popularity of a node) is removed before anything else. Weights are computed
    from all counts; then ``top_k`` keeps for each receiving node the edges of largest weight, ties
    by smaller source: the count itself decides where it orders a row (``none``, ``max``,
    ``row_max``), elsewhere the float32 weight. The list of one node is its own, so a graph cut by
    ``top_k`` is directed; without ``top_k`` it is symmetric.

    Source: Wu et al., MM-GEF, 2023, eq. (3)-(4) for counts over their largest value (``max``);
    Church and Hanks, 1990, eq. (1) for ``pmi``.

    Args:
        user: User of each training pair.
        item: Item of each training pair; a pair that is repeated counts once.
        num_users: Number of users.
        num_items: Number of items.
        side: ``item`` for a graph over items, ``user`` for one over users.
        top_k: Edges kept for each receiving node; all of them when None.
        normalize: ``none`` keeps counts, ``max`` divides by the largest count of the graph,
            ``row_max`` by that of the receiving node, ``sym`` by the square root of both row sums,
            ``cosine`` by the square root of both degrees, ``jaccard`` by the size of the union;
            ``pmi`` is ``log(c_ij N / (d_i d_j))`` with ``N`` the number of partners that have any
            interaction, and pairs that meet no more often than by chance have no edge.
        max_interactions: Users (items, where ``side`` is ``user``) with more interactions count
            with a random subset of this many, in everything above; no limit when None.
        seed: Decides those subsets.
        report: Receives ``method`` (``dense`` or ``listed``), ``partners_limited`` and
            ``interactions_left_out``.

    Returns:
        ``edge_index`` and ``edge_weight`` on the CPU, sorted by target then source; both empty when
        nothing is shared.

    Shapes:
        edge_index (2, num_edges) int64, edge_weight (num_edges,) float32.

    Raises:
        GraphError: A pair is out of range, ``top_k`` or ``max_interactions`` is below one, or a
            name is unknown.

    Complexity:
        For ``item``: O(sum over users of degree squared) time, where a user with more than a
        fortieth of all items costs num_items squared int8 products instead; memory of the kept
        edges, one block for each thread, and two bytes for each item and such user.

    Example:
        >>> user, item = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 0, 1, 2])
        >>> edge_index, edge_weight = cointeraction_graph(user, item, num_users=2, num_items=3)
        >>> edge_index.tolist(), edge_weight.tolist()
        ([[1, 2, 0, 2, 0, 1], [0, 0, 1, 1, 2, 2]], [1.0, 0.5, 1.0, 0.5, 0.5, 0.5])
    """
    check_norm(normalize, COUNT_NORMS)
    for name, value in (("top_k", top_k), ("max_interactions", max_interactions)):
        if value is not None and not (isinstance(value, int | np.integer) and value >= 1):
            raise GraphError(
                f"{name} must be a whole number from 1 on (got {value!r}); leave it out for no limit"
            )
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise GraphError(f"seed must be a whole number from 0 on (got {seed!r}); such as 0")
    incidence = incidence_matrix(user, item, num_users=num_users, num_items=num_items, side=side)
    facts = {"partners_limited": 0, "interactions_left_out": 0}
    if max_interactions is not None:
        incidence, facts = limit_partners(incidence, max_interactions, seed)
    plan = plan_counts(incidence, _BLOCK_PAIRS)
    if report is not None:
        report.update(method=plan.method, **facts)
    sizes = _node_sizes(incidence, normalize)
    total = len(np.unique(incidence.indices)) if normalize == "pmi" else 1
    finish = partial(_weigh_part, normalize, sizes, total, top_k)
    at_once = top_k if normalize in _BY_COUNT else None
    made = list(count_parts(plan, finish, top_k=at_once))
    largest = max((count for _, _, count in made), default=1)
    blocks: list[tuple[int, Any]] = [(start, block) for start, block, _ in made]
    del made
    return _assemble(blocks, largest if normalize == "max" else 1)


def _assemble(blocks: list[tuple[int, Any]], scale: int) -> tuple[Tensor, Tensor]:
    ends = np.cumsum([block.nnz for _, block in blocks]).tolist() or [0]
    edge_index = np.empty((2, ends[-1]), dtype=np.int64)
    edge_weight = np.empty(ends[-1], dtype=np.float32)

    def fill(number: int) -> None:
        start, block = blocks[number]
        blocks[number] = (start, None)
        place = slice(ends[number] - block.nnz, ends[number])
        edge_index[0, place] = block.indices
        target = np.arange(start, start + block.shape[0])
        edge_index[1, place] = np.repeat(target, np.diff(block.indptr))
        np.divide(block.data, scale, out=edge_weight[place], dtype=np.float64, casting="same_kind")

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(fill, range(len(blocks))))
    return torch.from_numpy(edge_index), torch.from_numpy(edge_weight)


def _weigh_part(
    norm: CountNorm,
    sizes: NDArray[np.int64],
    total: int,
    top_k: int | None,
    start: int,
    block: Any,
) -> tuple[int, Any, int]:
    """Return the first row, the weighed block (counts for ``none`` and ``max``), its largest count."""
    largest = int(block.data.max(initial=0))
    row_sizes = np.diff(block.indptr)
    if norm == "row_max":
        filled = row_sizes > 0
        own = np.zeros(block.shape[0], dtype=np.int64)
        own[filled] = np.maximum.reduceat(block.data, block.indptr[:-1][filled])
        sizes_of_targets = np.repeat(own, row_sizes)
        block.data = _weights(block.data, sizes_of_targets, sizes_of_targets, norm, total)
    elif norm not in _BY_COUNT:
        own = np.repeat(sizes[start : start + block.shape[0]], row_sizes)
        block.data = _weights(block.data, own, sizes[block.indices], norm, total)
        if norm == "pmi":
            block = _keep(block, block.data > 0)
        if top_k is not None:
            block = _largest_of_rows(block, top_k)
    return start, block, largest


def _weights(
    count: NDArray[Any],
    target_size: NDArray[np.int64],
    source_size: NDArray[np.int64],
    norm: CountNorm,
    total: int,
) -> NDArray[np.float32]:
    weight = count_weights(
        torch.from_numpy(count),
        torch.from_numpy(target_size),
        torch.from_numpy(source_size),
        norm,
        total=total,
    )
    return np.asarray(weight.float().numpy())


def _node_sizes(incidence: Any, norm: CountNorm) -> NDArray[np.int64]:
    """Return what each node is measured by under a normalisation; see :func:`count_weights`."""
    if norm == "sym":
        # A row sum needs no product: each partner contributes its other partners.
        others = np.bincount(incidence.indices, minlength=incidence.shape[1]).astype(np.int64) - 1
        return np.asarray(incidence @ others)
    return np.asarray(np.diff(incidence.indptr), dtype=np.int64)


def _keep(block: Any, keep: NDArray[np.bool_]) -> Any:
    row = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row[keep], minlength=block.shape[0]))])
    return sp.csr_array((block.data[keep], block.indices[keep], indptr), shape=block.shape)


def _largest_of_rows(block: Any, top_k: int) -> Any:
    """Keep the ``top_k`` largest weights of each row, ties by smaller column (columns are sorted)."""
    row_sizes = np.diff(block.indptr)
    if row_sizes.max(initial=0) <= top_k:
        return block
    # Row, weight and place in one number: the larger weight first, then the smaller column. The
    # bits of a float32 that is not negative rise with it; blocks are small enough for 64 bits.
    ranked = np.repeat(np.arange(block.shape[0], dtype=np.uint64) << np.uint64(31), row_sizes)
    ranked += np.uint32(0x7FFFFFFF) - block.data.view(np.uint32)
    ranked <<= np.uint64(max(block.nnz - 1, 1).bit_length())
    ranked += np.arange(block.nnz, dtype=np.uint64)
    ranked.sort()
    place = ranked & np.uint64((1 << max(block.nnz - 1, 1).bit_length()) - 1)
    rank = np.arange(block.nnz) - np.repeat(block.indptr[:-1], row_sizes)
    keep = np.zeros(block.nnz, dtype=bool)
    keep[place[rank < top_k].astype(np.int64)] = True
    return _keep(block, keep)
