"""From a plan to the lists of all items: the search that was planned, and what it leaves over."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mmgraph.graph.knn.approximate import approximate_candidates, measure_recall
from mmgraph.graph.knn.canonical import Candidates, Lists, choose_nearest, join_lists
from mmgraph.graph.knn.choice import APPROXIMATE, Plan, needed_memory, recall_error
from mmgraph.graph.knn.flat import flat_candidates
from mmgraph.graph.knn.join import join_candidates
from mmgraph.graph.knn.nndescent import descend
from mmgraph.graph.knn.rows import FeatureRows


class Clock:
    """Adds up the seconds of phases, one after another."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, phase: str) -> None:
        """Add the time since the last call to a phase."""
        now = time.perf_counter()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self._last
        self._last = now


@dataclass
class Search:
    """One search, ready to run.

    Attributes:
        rows: The rows; each may be chosen.
        targets: Positions of the rows whose lists are wanted, ascending.
        count: Neighbours of each.
        plan: The way to go; of a descent that found too little, the way that was gone instead.
        device: Where products are made.
        min_recall: Least recall of an approximate search.
        max_memory: Bytes that may be used; no limit when None.
        seed: For approximate searches.
        progress: Called with the share that is done; begins anew for what the first way leaves over.
        num_left_over: Targets that the planned way could not serve and FAISS had to.
    """

    rows: FeatureRows
    targets: NDArray[np.int64]
    count: int
    plan: Plan
    device: torch.device
    min_recall: float
    max_memory: int | None
    seed: int
    progress: Callable[[float], None] | None
    num_left_over: int = 0

    def run(self, clock: Clock) -> tuple[Lists, float]:
        """Return the lists of all targets, by ascending target, and the recall.

        Raises:
            GraphError: The recall is below ``min_recall``.
        """
        if not self.count or not len(self.targets):
            shape = len(self.targets), self.count
            return Lists(self.targets, np.empty(shape, np.int64), np.empty(shape)), 1.0
        if self.plan.method == "nndescent":
            return self._by_descent(clock)
        if self.plan.method in APPROXIMATE:
            return self._approximate(clock)
        parts, left = [], self.targets
        if self.plan.method == "join":
            found, left = join_candidates(
                self.rows,
                self.targets,
                self.count,
                precision=self.plan.precision,
                device=self.device,
                progress=self.progress,
            )
            parts = self._choose(found, clock)
        return join_lists([*parts, *self._flat(left, clock)]), 1.0

    def _approximate(self, clock: Clock) -> tuple[Lists, float]:
        found, few = approximate_candidates(
            self.rows,
            self.targets,
            self.count,
            method=self.plan.method,
            min_recall=self.min_recall,
            seed=self.seed,
            progress=self.progress,
        )
        return self._enough(*self._measured(found, few, clock))

    def _by_descent(self, clock: Clock) -> tuple[Lists, float]:
        graph = descend(
            self.rows,
            self.count,
            min_recall=self.min_recall,
            seed=self.seed,
            fits=lambda kept: self.max_memory is None or self._memory(kept) <= self.max_memory,
        )
        clock.lap("search")
        instead = self.plan.instead
        needed = max(self.plan.memory, self._memory(graph.item.shape[1]))
        self.plan = self.plan._replace(memory=needed)
        if instead is None or graph.recall >= self.min_recall:
            found, few = graph.candidates(self.targets, self.count, self.progress)
            lists, recall = self._measured(found, few, clock)
            if instead is None or recall >= self.min_recall:
                return self._enough(lists, recall)
            del found, lists
        del graph
        self.plan, self.num_left_over = instead._replace(memory=max(needed, instead.memory)), 0
        return self.run(clock)

    def _memory(self, kept: int) -> int:
        """Return the bytes that a descent needs which keeps so many neighbours."""
        sizes = len(self.rows), len(self.targets), self.rows.dim, self.count
        return needed_memory("nndescent", "float32", *sizes, kept=kept)

    def _measured(
        self, found: Iterable[Candidates], few: list[NDArray[np.int64]], clock: Clock
    ) -> tuple[Lists, float]:
        """Return the lists of candidates and of the targets with too few, and their recall."""
        parts = self._choose(found, clock)
        lists = join_lists([*parts, *self._flat(np.concatenate(few), clock)])
        recall = measure_recall(self.rows, lists, self.seed)
        clock.lap("recall")
        return lists, recall

    def _enough(self, lists: Lists, recall: float) -> tuple[Lists, float]:
        """Refuse lists of too little recall."""
        if recall < self.min_recall:
            raise recall_error(recall, self.min_recall, self.plan.method)
        return lists, recall

    def _flat(self, left: NDArray[np.int64], clock: Clock) -> list[Lists]:
        """Return the lists of the targets that another way left over, or of all."""
        if not len(left):
            return []
        self.num_left_over = len(left) if self.plan.method != "flat" else 0
        found = flat_candidates(
            self.rows, left, self.count, thrifty=self._must_be_thrifty(), progress=self.progress
        )
        return self._choose(found, clock)

    def _must_be_thrifty(self) -> bool:
        """Return whether there is no room for the float32 copy of all rows that FAISS needs."""
        if self.plan.method == "flat" or self.max_memory is None:
            return False
        sizes = len(self.rows), len(self.targets), self.rows.dim, self.count
        return needed_memory("flat", "float32", *sizes) > self.max_memory

    def _choose(self, found: Iterable[Candidates], clock: Clock) -> list[Lists]:
        parts = []
        for candidates in found:
            clock.lap("search")
            parts.append(choose_nearest(self.rows, candidates, self.count))
            clock.lap("score")
        clock.lap("search")
        return parts
