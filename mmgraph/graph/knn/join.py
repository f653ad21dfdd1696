"""Candidates by joining the rows with themselves: half of all products, each for both of its rows.

A block of products is made in low precision, and only what can still matter is taken out of it.
Four things keep that cheap. Products are compared as integers. Groups of eight are represented by
their largest. The count-th largest of the group maxima bounds the count-th best product of a row,
so lists need no sorting while blocks arrive. And rows are joined in random order, so that the
bounds become tight after the first blocks, whatever the order of the data.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event, Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmgraph.graph.knn.canonical import Candidates
from mmgraph.graph.knn.operand import DTYPES, Operand, Precision, build_operand, full_precision
from mmgraph.graph.knn.pool import CandidatePool
from mmgraph.graph.knn.rows import FeatureRows, release_pages

GROUP = 8
"""Products represented by their maximum when they are compared."""

LARGEST_COUNT = 160
"""Neighbours up to which the bounds of the widest blocks, from their group maxima, are tight enough."""

_WIDEST = 2048

_GROWTH = 1.3
"""How much more of the rows must have been seen before a bound is made anew."""

_CROWD = 64
"""Groups of one row in one block, over ``count``, from which on its products are too close."""

_HELD = 3
"""Candidates that a pool has room for at first, for each row and neighbour wanted."""

_MOST_HELD = 10
"""The same for what it may hold on average after all that is too little was dropped."""

_MOST_OF_ROW = 16
"""The same for a single row."""

_BATCH = 1 << 21
"""Candidates handed over at a time; a pair that comes in both directions is scored once in each."""

_ORDER_SEED = 0


def block_rows(num_rows: int, count: int) -> int:
    """Return the width of the blocks: their products stay in the cache, their calls stay few."""
    size = 512 if num_rows <= 3000 else 1024 if num_rows <= 16000 else _WIDEST
    # Fewer groups than that bound the count-th best product too loosely.
    while size < _WIDEST and 8 * count > 5 * size // GROUP:
        size *= 2
    return size


def segments(size: int, count: int) -> int:
    """Return into how many classes the other rows are divided to bound the count-th best product."""
    return min(size // GROUP, 1 << max(6, (6 * count).bit_length()))


def join_candidates(
    rows: FeatureRows,
    targets: NDArray[np.int64],
    count: int,
    *,
    precision: Precision,
    device: torch.device | None = None,
    block: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> tuple[Iterator[Candidates], NDArray[np.int64]]:
    """Find candidates that include the ``count`` exactly nearest other rows of every target.

    Args:
        rows: The rows; each may be chosen.
        targets: Positions of the rows whose neighbours are wanted, ascending.
        count: Number of neighbours wanted, at most ``LARGEST_COUNT``.
        precision: Type of the products that filter.
        device: Where products are made; the CPU when None.
        block: Rows of a block, a power of two from 512 on; chosen when None, and wider where
            ``count`` needs it.
        progress: Called with the share of the products that is done, by one thread at a time.

    Returns:
        Candidates, every served target exactly once, and the targets that were not served because
        too many rows are too close to each other for low precision, or too few near.

    Complexity:
        O(targets * (items - targets / 2) * dim) time; memory of the rows in low precision, of
        O(targets * count) and of one block.
    """
    device = device or torch.device("cpu")
    size = max(block or 0, block_rows(len(rows) if block is None else 0, count))
    random = np.random.default_rng(_ORDER_SEED)
    others = np.setdiff1d(np.arange(len(rows)), targets, assume_unique=True)
    # Targets come first: blocks of other rows are never joined with each other.
    order = np.concatenate([random.permutation(targets), random.permutation(others)])
    padded = -(-len(rows) // size) * size
    operand = build_operand(rows, order, padded=padded, precision=precision, device=device)
    release_pages(rows.source)
    with full_precision(device):
        join = _Join(operand, len(targets), count, size)
        blocks = range(-(-len(targets) // size))
        pairs = [(one, two) for one in blocks for two in range(one, join.num_blocks)]
        join.run(pairs, progress or (lambda share: None))
    served = join.served()
    return join.candidates(order, served), np.sort(order[: len(targets)][~served])


class _Join:
    """The state of one join: bounds of all rows, and the candidates found so far.

    All rows are numbered in search order here. ``best`` holds for each row the largest keys seen in
    each of ``segments`` residue classes of the other rows, so that its count-th largest is a key
    that at least ``count`` different rows reach.
    """

    def __init__(self, operand: Operand, num_targets: int, count: int, size: int) -> None:
        self.operand, self.count, self.size = operand, count, size
        self.num_rows, self.num_targets = len(operand.error), num_targets
        self.num_blocks = operand.right.size(0) // size
        dtype, integer = DTYPES[operand.precision]
        device = operand.right.device
        self.integer, self.lowest = integer, torch.iinfo(integer).min
        self.highest = torch.iinfo(integer).max
        self.segments = segments(size, count)
        padded = self.num_blocks * size
        self.best = torch.full((self.segments, padded), self.lowest, dtype=integer, device=device)
        self.threshold = torch.full((padded,), self.highest, dtype=integer, device=device)
        self.sound = np.zeros(padded, dtype=bool)
        self.crowded = torch.zeros(padded, dtype=torch.bool, device=device)
        self.seen, self.due = [0] * self.num_blocks, [0] * self.num_blocks
        # Whoever changes or reads what belongs to a block of rows holds its lock.
        self.locks = [Lock() for _ in range(self.num_blocks)]
        self.dtype, self.device = dtype, device
        # One pool for each block of targets: a row by its place there, a neighbour, and their key.
        rooms = [self._room(_HELD)] * -(-num_targets // size)
        self.pools = [CandidatePool(room, integer, device) for room in rooms]
        self.telling = Lock()

    def run(self, pairs: Sequence[tuple[int, int]], progress: Callable[[float], None]) -> None:
        """Join pairs of blocks, the first of each one with targets and not after the second."""
        waiting, done, every = iter(pairs), itertools.count(1), 1 + self.num_blocks // 4

        def work(stop: Event) -> None:
            scratch = _Scratch(self)
            for first, second in waiting:
                self._join_blocks(first, second, scratch)
                number = next(done)
                if number % every == 0 and self._is_hopeless():
                    stop.set()
                if stop.is_set():
                    return
                with self.telling:
                    progress(number / len(pairs))

        on_cpu = self.device.type == "cpu"
        run_threads(work, min(torch.get_num_threads(), -(-len(pairs) // 2)) if on_cpu else 1)
        for block in range(len(self.pools)):
            self._update_bounds(block)
            self._thin(block)
        if self._is_hopeless():
            # Better begin anew in another way than score what is left for the few.
            self.crowded[: self.num_targets] = True

    def _is_hopeless(self) -> bool:
        return int(self.crowded.sum()) > self.num_targets // 4

    def _join_blocks(self, first: int, second: int, scratch: "_Scratch") -> None:
        size, operand = self.size, self.operand
        own = slice(first * size, (first + 1) * size)
        other = slice(second * size, (second + 1) * size)
        torch.mm(operand.left[own], operand.right[other].T, out=scratch.product)
        key = operand.keys(scratch.product)
        if first == second:
            key.fill_diagonal_(self.lowest)
        if second == self.num_blocks - 1:
            key[:, self.num_rows - other.start :] = self.lowest
        if first == self.num_blocks - 1:
            key[self.num_rows - own.start :] = self.lowest
        torch.amax(key.view(size, GROUP, size // GROUP), 1, out=scratch.across)
        maxima = scratch.across.view(size, -1, self.segments).amax(1).T
        self._raise_bounds(first, maxima)
        self._take_across(key, scratch.across, own, other.start)
        # Products with rows of the same block are there twice, once in either direction.
        if first != second and other.start < self.num_targets:
            torch.amax(key.view(GROUP, size // GROUP, size), 0, out=scratch.down)
            self._raise_bounds(second, scratch.down.view(-1, self.segments, size).amax(0))
            self._take_down(key, scratch.down, own.start, other)

    def _raise_bounds(self, block: int, maxima: Tensor) -> None:
        """Take note of the largest keys of a block of rows; now and then raise its bounds by them."""
        with self.locks[block]:
            best = self.best[:, block * self.size : (block + 1) * self.size]
            torch.maximum(best, maxima, out=best)
            self.seen[block] += self.size
            if self.seen[block] > self.due[block]:
                self._update_bounds(block)
                self.due[block] = int(self.seen[block] * _GROWTH)

    def _update_bounds(self, block: int) -> None:
        part = slice(block * self.size, min((block + 1) * self.size, self.num_targets))
        by_row = self.best[:, part].T.contiguous()
        kth = by_row.topk(self.count, dim=1).values[:, -1].contiguous()
        threshold, self.sound[part] = self.operand.threshold(kth, part)
        self.threshold[part] = torch.where(self.crowded[part], self.highest, threshold)

    def _take_across(self, key: Tensor, across: Tensor, own: slice, start: int) -> None:
        """Take the products that can matter to the rows of a block."""
        size, width = self.size, self.size // GROUP
        threshold = self.threshold[own]
        row, group = _nonzero(across >= threshold[:, None])
        row, group = self._leave_crowded(own.start, row, group)
        at = (row * size + group)[:, None] + torch.arange(0, size, width, device=row.device)
        value = key.view(-1)[at]
        which, column = (value >= threshold[row][:, None]).nonzero(as_tuple=True)
        item = group[which] + column * width + start
        self._keep(own, row[which], item, value[which, column])

    def _take_down(self, key: Tensor, down: Tensor, start: int, other: slice) -> None:
        """Take the products that can matter to the columns of a block."""
        size, height = self.size, self.size // GROUP
        threshold = self.threshold[other]
        group, column = _nonzero(down >= threshold)
        column, group = self._leave_crowded(other.start, column, group)
        step = torch.arange(0, size, height, device=group.device) * size
        value = key.view(-1)[(group * size + column)[:, None] + step]
        which, line = (value >= threshold[column][:, None]).nonzero(as_tuple=True)
        item = group[which] + line * height + start
        self._keep(other, column[which], item, value[which, line])

    def _leave_crowded(self, start: int, owner: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
        """Give up rows with too many products near their bound; they are compared otherwise."""
        over = torch.bincount(owner, minlength=self.size) > self.count + _CROWD
        if not bool(over.any()):
            return owner, group
        with self.locks[start // self.size]:
            self._give_up(start, over)
        stay = ~over[owner]
        return owner[stay], group[stay]

    def _give_up(self, start: int, over: Tensor) -> None:
        rows = over.nonzero().view(-1) + start
        self.crowded[rows] = True
        self.threshold[rows] = self.highest

    def _keep(self, part: slice, owner: Tensor, item: Tensor, key: Tensor) -> None:
        block = part.start // self.size
        with self.locks[block]:
            pool = self.pools[block]
            pool.add(owner.short(), item.int(), key)
            if pool.full:
                self._thin(block)

    def _thin(self, block: int) -> None:
        """Drop what lies below the present bounds; give up rows that still hold too much."""
        start, pool = block * self.size, self.pools[block]
        threshold = self.threshold[start : start + self.size]
        held = pool.drop_below(threshold)
        most = _MOST_OF_ROW if pool.held <= self._room(_MOST_HELD) else _MOST_OF_ROW // 2
        over = held > most * (self.count + 4)
        if bool(over.any()):
            self._give_up(start, over)
            pool.drop_below(threshold)
        pool.room = max(pool.room, pool.held + self._room(_HELD) // 2)

    def _room(self, each: int) -> int:
        return each * (self.count + 4) * self.size

    def served(self) -> NDArray[np.bool_]:
        """Return which targets have all their candidates."""
        crowded: NDArray[np.bool_] = self.crowded[: self.num_targets].cpu().numpy()
        return self.sound[: self.num_targets] & ~crowded

    def candidates(
        self, order: NDArray[np.int64], served: NDArray[np.bool_]
    ) -> Iterator[Candidates]:
        """Yield the candidates of the served targets, numbered as the rows are; empties the pools."""
        # Only the error bounds are needed from here on.
        none = self.operand.left.new_empty(0)
        self.operand = replace(self.operand, left=none, right=none)
        parts: list[Candidates] = []
        held = 0
        for block, pool in enumerate(self.pools):
            start = block * self.size
            owner, item, key = (part.cpu() for part in pool.take())
            # One sort puts owners together, and the largest keys of each first.
            place = torch.argsort(owner.long() << 32 | (self.highest - key.long()))
            row = owner[place].numpy().astype(np.int64) + start
            keep = served[row]
            upper = self.operand.upper_bound(key[place], row)
            items = item[place].numpy()
            parts.append(Candidates(order[row[keep]], order[items[keep]], upper[keep]))
            held += len(parts[-1].query)
            if held and (held >= _BATCH or block == len(self.pools) - 1):
                yield Candidates(*(np.concatenate(part) for part in zip(*parts, strict=True)))
                parts, held = [], 0


class _Scratch:
    """Where one thread puts the products of a block and their group maxima."""

    def __init__(self, join: _Join) -> None:
        def empty(rows: int, columns: int, dtype: torch.dtype) -> Tensor:
            return torch.empty(rows, columns, dtype=dtype, device=join.device)

        size, groups = join.size, join.size // GROUP
        self.product = empty(size, size, join.dtype)
        self.across = empty(size, groups, join.integer)
        self.down = empty(groups, size, join.integer)


def run_threads(work: Callable[[Event], None], number: int) -> None:
    """Run ``work`` in threads that each use one thread of torch.

    So every thread goes its own way through blocks of its own. If all of torch's threads shared
    every small operation they would wait for each other a thousand times a second, which costs
    little on an idle machine and everything on a busy one.

    torch keeps the number of threads for each thread, but lets new ones begin with the number that
    was set last anywhere: a thread that someone else starts meanwhile may begin with one.

    Args:
        work: Takes the event that tells it to stop: it was interrupted, or another one failed.
        number: Number of threads; the calling one does the work when it is one.
    """
    stop = Event()
    if number <= 1:
        work(stop)
        return
    threads = torch.get_num_threads()

    def alone(_: int) -> None:
        torch.set_num_threads(1)
        try:
            work(stop)
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(number) as pool:
        try:
            list(pool.map(alone, range(number)))
        finally:
            stop.set()
            torch.set_num_threads(threads)


def _nonzero(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return where a sparse mask is true, reading eight values at a time."""
    words = mask.view(torch.int64).view(-1).nonzero().view(-1)
    word, byte = mask.view(-1, 8)[words].nonzero(as_tuple=True)
    flat = words[word] * 8 + byte
    width = mask.size(1)
    row = torch.div(flat, width, rounding_mode="floor")
    return row, flat - row * width
