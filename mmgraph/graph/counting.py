"""How many partners two nodes share, counted exactly and a block of rows at a time.

There are two ways to count. *Listed*: write down every pair that a row makes through its partners, sort, and measure
the runs; time follows the number of pairs. *Dense*: partners with many nodes go through a product of 0/1 matrices in
int8, which adds in int32, and only the pairs of the others are listed; time follows the square of the number of
nodes. :func:`plan_counts` chooses from the sizes alone, so the choice is the same on every machine.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

_DENSE_SHARE = 40
"""A partner with more than this part of all nodes is cheaper in the dense product than listed."""

_MOST_DENSE = 1 << 30
"""Cells of the matrix of nodes and partners with many nodes up to which it is made dense."""

_CELL_COST, _PAIR_COST, _FLOP_COST = 2.0, 5.5, 0.003
"""Nanoseconds of one thread for a cell of a dense block, a listed pair, and a cell of one partner in the product."""

_CELLS_PER_PART, _CELLS_PER_PRODUCT = 4, 48
"""Cells of a dense part and of a dense product for each pair of a listed part."""

Made = TypeVar("Made")


class CountPlan:
    """The matrices and parts of one count; made by :func:`plan_counts`.

    Attributes:
        parts: First row and row after the last of each part.
        method: ``dense`` or ``listed``.
        num_nodes: Number of rows.
    """

    def __init__(self, incidence: Any, block_pairs: int):
        self.num_nodes = int(incidence.shape[0])
        degree = np.bincount(incidence.indices, minlength=incidence.shape[1])
        heavy = degree * _DENSE_SHARE > self.num_nodes
        light_pairs = int((degree[~heavy].astype(np.int64) ** 2).sum())
        listed_cost = _PAIR_COST * float((degree.astype(np.float64) ** 2).sum())
        dense_cost = _PAIR_COST * light_pairs + float(self.num_nodes) ** 2 * (
            _CELL_COST + _FLOP_COST * int(heavy.sum())
        )
        fits = self.num_nodes * int(heavy.sum()) <= _MOST_DENSE
        self.method = "dense" if heavy.any() and fits and dense_cost < listed_cost else "listed"
        self.heavy = torch.empty(self.num_nodes, 0, dtype=torch.int8)
        self.listed = incidence
        if self.method == "dense":
            self.heavy = _dense_columns(_columns(incidence, heavy))
            self.heavy_by_partner = self.heavy.T.contiguous()
            self.listed = _columns(incidence, ~heavy)
        self.partners = self.listed.T.tocsr()
        self.degree = np.diff(self.partners.indptr)
        work = self.listed @ self.degree.astype(np.int64)
        self.total = np.concatenate([[0], np.cumsum(work)])
        self.block_pairs = block_pairs
        # Row and column of a pair share one int32.
        most_rows = min((2**31 - 1) // max(self.num_nodes, 1), 1 << 16)
        if self.method == "dense":
            most_rows = _CELLS_PER_PART * block_pairs // self.num_nodes
        self.parts = list(self._cut(max(1, most_rows)))
        self.scratch = threading.local()

    def _cut(self, most_rows: int) -> Iterator[tuple[int, int]]:
        start = 0
        while start < self.num_nodes:
            pairs = self.total[start] + self.block_pairs
            stop = int(np.searchsorted(self.total, pairs, side="right")) - 1
            stop = min(max(stop, start + 1), start + most_rows, self.num_nodes)
            yield start, stop
            start = stop

    def is_long(self, start: int, stop: int) -> bool:
        """Return whether a part is one row with so many pairs that they are added up, not listed."""
        return int(self.total[stop] - self.total[start]) > 4 * self.block_pairs + self.num_nodes

    @property
    def products(self) -> Iterator[list[tuple[int, int]]]:
        """Parts in a row that share one dense product, which is slow for few rows."""
        rows = max(1, _CELLS_PER_PRODUCT * self.block_pairs // self.num_nodes)
        block: list[tuple[int, int]] = []
        for part in self.parts:
            if block and part[1] - block[0][0] > rows:
                yield block
                block = []
            block.append(part)
        yield block


def plan_counts(incidence: Any, block_pairs: int) -> CountPlan:
    """Choose how to count and cut the rows into parts.

    Args:
        incidence: Binary CSR array, one row for each node, one column for each partner, sorted.
        block_pairs: Pairs listed in one part; a single row may have more.

    Returns:
        What :func:`count_parts` takes.

    Complexity:
        O(interactions), and two bytes for each node and partner with many nodes.
    """
    return CountPlan(incidence, block_pairs)


def count_parts(
    plan: CountPlan, finish: Callable[[int, Any], Made], *, top_k: int | None = None
) -> Iterator[Made]:
    """Count what each node shares with every other, and finish the rows part by part, side by side.

    Args:
        plan: The plan.
        finish: Called in a thread with the first row of a part and its counts: a CSR array (rows, num_nodes) of int32
            with sorted columns, without diagonal and zeros.
        top_k: Keep only so many of each row before that, the largest counts, ties by smaller column.

    Yields:
        What ``finish`` returned, in the order of the rows.
    """

    def listed(start: int, stop: int) -> Made:
        key, count, diagonal = _listed_counts(plan, start, stop)
        count[diagonal] = 0
        if top_k is not None and len(key):
            key, count = _largest_listed(key, count, stop - start, plan.num_nodes, top_k)
        elif len(diagonal):
            keep = count > 0
            key, count = key[keep], count[keep]
        return finish(start, _block(key, count, stop - start, plan.num_nodes))

    def dense(cells: Tensor, start: int, stop: int) -> Made:
        counts = _add_listed(plan, cells, start, stop)
        if top_k is not None:
            key, count = _largest_cells(counts, top_k)
        else:
            key = np.flatnonzero(counts)
            count = counts.ravel()[key]
        return finish(start, _block(key, count, stop - start, plan.num_nodes))

    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads) as pool:
        if plan.method == "listed":
            # In waves, so that no more than a few parts wait for their turn.
            for first in range(0, len(plan.parts), 8 * threads):
                wave = plan.parts[first : first + 8 * threads]
                yield from pool.map(listed, *zip(*wave, strict=True))
            return
        rows = max(stop - block[0][0] for block in plan.products for _, stop in block[-1:])
        buffer = torch.empty(rows, plan.num_nodes, dtype=torch.int32)
        for block in plan.products:
            start, stop = block[0][0], block[-1][1]
            cells = buffer[: stop - start]
            torch._int_mm(plan.heavy[start:stop], plan.heavy_by_partner, out=cells)
            pieces = [cells[first - start : last - start] for first, last in block]
            yield from pool.map(dense, pieces, *zip(*block, strict=True))


def _largest_listed(
    key: NDArray[Any], count: NDArray[Any], rows: int, n: int, top_k: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return key and count of the largest counts of each row, rising by key."""
    bounds = np.searchsorted(key, np.arange(rows + 1, dtype=np.int64) * n)
    large = np.flatnonzero(count > 1)
    row = key[large] // n
    # Most counts are one, and among those the first columns win: as many leading places as
    # there are counts above one, the diagonal and `top_k` more hold all that can be chosen.
    lead = np.bincount(row, minlength=rows) + top_k + 1
    lead = np.minimum(lead, np.diff(bounds))
    shift = np.cumsum(lead) - lead
    leading = np.arange(int(lead.sum())) + np.repeat(bounds[:-1] - shift, lead)
    near = np.concatenate([leading, large[large >= bounds[row] + lead[row]]])
    # Row, count and column in one number: the larger count first, then the smaller column.
    scale = int(count.max()) + 1
    ranked = key[near].astype(np.int64)
    row = ranked // n
    ranked += (row * (scale - 1) + (scale - 1 - count[near])) * n
    ranked.sort()
    first = np.searchsorted(ranked, np.arange(rows + 1) * (scale * n))
    place = first[:-1, None] + np.arange(top_k)
    present = place < first[1:, None]
    ranked = ranked[np.minimum(place, len(ranked) - 1)]
    row = np.arange(rows)[:, None]
    count = np.where(present, scale - 1 - (ranked - row * (scale * n)) // n, 0)
    return _by_key(row * n + ranked % n, count)


def _by_key(
    key: NDArray[np.int64], count: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Order the columns within each row and leave out counts of zero."""
    order = np.argsort(key, axis=1)
    key = np.take_along_axis(key, order, axis=1).ravel()
    count = np.take_along_axis(count, order, axis=1).ravel()
    return key[count > 0], count[count > 0].astype(np.int32)


def _block(key: NDArray[Any], count: NDArray[Any], rows: int, n: int) -> Any:
    indptr = np.searchsorted(key, np.arange(rows + 1, dtype=np.int64) * n)
    first = np.repeat(np.arange(rows, dtype=key.dtype) * n, np.diff(indptr))
    block = sp.csr_array((count, (key - first).astype(np.int32), indptr), shape=(rows, n))
    block.has_sorted_indices = True
    return block


def _list_pairs(plan: CountPlan, start: int, stop: int) -> NDArray[np.int32]:
    """List ``row * num_nodes + column`` of every pair that a block of rows makes, row by row."""
    listed, partners = plan.listed, plan.partners
    total = int(plan.total[stop] - plan.total[start])
    at, pairs, _ = (buffer[:total] for buffer in _scratch(plan, total))
    if total == 0:
        return pairs
    partner = listed.indices[listed.indptr[start] : listed.indptr[stop]]
    # Places in `partners`: each is the one before plus one, or a jump to the next partner's list.
    first, end = partners.indptr[partner], partners.indptr[partner + 1]
    at.fill(1)
    at[0] = first[0]
    at[np.cumsum(plan.degree[partner])[:-1]] = first[1:] - end[:-1] + 1
    np.cumsum(at, out=at)
    np.take(partners.indices, at, out=pairs, mode="clip")
    row = np.arange(stop - start, dtype=np.int32) * np.int32(plan.num_nodes)
    pairs += np.repeat(row, np.diff(plan.total[start : stop + 1]))
    return pairs


def _listed_counts(
    plan: CountPlan, start: int, stop: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
    """Return ``row * num_nodes + column`` of each pair, rising; its count; where the diagonal is."""
    n = plan.num_nodes
    total = int(plan.total[stop] - plan.total[start])
    if plan.is_long(start, stop):
        block = (plan.listed[start:stop] @ plan.partners).tocsr()
        block.sort_indices()
        key, count = block.indices, block.data
    else:
        pairs = _list_pairs(plan, start, stop)
        pairs.sort()
        change = _scratch(plan, total)[2][:total]
        change[:1] = True
        np.not_equal(pairs[1:], pairs[:-1], out=change[1:])
        run = np.flatnonzero(change)
        key, count = pairs[run], np.empty(len(run), dtype=np.int32)
        np.subtract(run[1:], run[:-1], out=count[:-1], casting="same_kind")
        count[-1:] = total - run[-1:]
    own = np.arange(stop - start, dtype=np.int64) * n + np.arange(start, stop)
    place = np.searchsorted(key, own)
    inside = place < len(key)
    place, own = place[inside], own[inside]
    return key, count, place[key[place] == own]


def _scratch(plan: CountPlan, total: int) -> tuple[NDArray[Any], ...]:
    """Return this thread's buffers: fresh memory for each block would cost more than the counting."""
    held: tuple[NDArray[Any], ...] | None = getattr(plan.scratch, "buffers", None)
    if held is None or len(held[0]) < total:
        size = max(total, min(plan.block_pairs, int(plan.total[-1])))
        held = tuple(np.empty(size, dtype=kind) for kind in (np.int32, np.int32, np.bool_))
        plan.scratch.buffers = held
    return held


def _columns(incidence: Any, chosen: NDArray[np.bool_]) -> Any:
    keep = chosen[incidence.indices]
    number = np.cumsum(chosen, dtype=incidence.indices.dtype) - 1
    before = np.concatenate([[0], np.cumsum(keep)])
    return sp.csr_array(
        (incidence.data[keep], number[incidence.indices[keep]], before[incidence.indptr]),
        shape=(incidence.shape[0], int(chosen.sum())),
    )


def _dense_columns(incidence: Any) -> Tensor:
    # Whole registers of columns; torch 2.13 also gives wrong sums for a single one.
    width = -(-incidence.shape[1] // 64) * 64
    dense = torch.zeros(incidence.shape[0], width, dtype=torch.int8)
    row = np.repeat(np.arange(incidence.shape[0]), np.diff(incidence.indptr))
    dense.numpy()[row, incidence.indices] = 1
    return dense


def _add_listed(plan: CountPlan, cells: Tensor, start: int, stop: int) -> NDArray[np.int32]:
    """Add the pairs that the dense product left out, in place, and set the diagonal to zero."""
    counts = cells.numpy()
    if plan.is_long(start, stop):
        block = (plan.listed[start:stop] @ plan.partners).tocsr()
        counts[0, block.indices] += block.data
    else:
        pairs = torch.from_numpy(_list_pairs(plan, start, stop)).long()
        ones = torch.ones(1, dtype=torch.int32).expand(len(pairs))
        cells.view(-1).scatter_add_(0, pairs, ones)
    counts[np.arange(stop - start), np.arange(start, stop)] = 0
    return counts


def _largest_cells(
    counts: NDArray[np.int32], top_k: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return key and count of the largest counts of each row, rising by key; overwrites ``counts``."""
    rows, n = counts.shape
    top_k = min(top_k, n)
    fits = (int(counts.max()) + 1) * n < 2**31
    ranked = counts if fits else counts.astype(np.int64)
    # Count and column in one number: the larger count first, then the smaller column.
    ranked *= ranked.dtype.type(n)
    ranked += np.arange(n - 1, -1, -1, dtype=ranked.dtype)
    ranked.partition(n - top_k, axis=1)
    best = ranked[:, n - top_k :].astype(np.int64)
    return _by_key(np.arange(rows)[:, None] * n + (n - 1 - best % n), best // n)
