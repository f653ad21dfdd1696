"""Candidates by NN-descent: neighbours of neighbours, until little changes (pynndescent, optional).

Random trees put rows into leaves; whoever shares a leaf is compared. Then the neighbours of every
row's neighbours are compared, again and again. A row is compared with some hundred others and never
with all, so that a million take seconds, and features without any structure are found badly.
"""

import importlib
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmgraph.errors import GraphError, MissingDependency
from mmgraph.graph.knn.approximate import (
    aimed_recall,
    exact_lists,
    proposed_candidates,
    sample_positions,
    share_found,
)
from mmgraph.graph.knn.canonical import Candidates
from mmgraph.graph.knn.flat import float32_rows
from mmgraph.graph.knn.rows import FeatureRows, Metric

PACKAGES = ("pynndescent", "numba")
"""What decides which neighbours are found: the library and the compiler of its loops."""

_INSTALL = "pip install 'mmgraph[nndescent]'"

_FEW_ROWS = 256
"""Rows up to which all pairs are compared: about what one leaf holds."""

_MOST_EFFORT = 8
"""Times as many neighbours may be kept while descending as are wanted."""

COMPILER_BYTES = 320 << 20
"""What the library, its compiler and the compiled loops take in the first descent of a process."""

_UPDATE_BYTES = 36
"""Of a pair that is nearer than what was known: once as it was found, twice sorted by its rows."""

_UPDATE_ROWS, _UPDATE_LEAVES = 1 << 14, 64
"""Rows whose pairs are held at a time, and leaves of each thread."""


def find_library() -> Any | None:
    """Return pynndescent, or None where it or its compiler cannot be imported."""
    try:
        return importlib.import_module("pynndescent")
    except ImportError:
        return None


def check_usable(metric: Metric) -> None:
    """Refuse a search that NN-descent cannot do, before any work.

    A neighbour's neighbour is near where nearness is a distance. The largest inner products of a
    row are with the longest rows, whoever its neighbours are; and the reduction to a distance needs
    another row for a query than for a candidate, which a graph of the rows among themselves has not.

    Raises:
        GraphError: Inner products.
        MissingDependency: The library cannot be imported.
    """
    if metric == "inner_product":
        raise GraphError(
            "method 'nndescent' must have metric 'cosine' or 'l2' (got 'inner_product'); use "
            "method='ivf' or method='hnsw'"
        )
    try:
        importlib.import_module("pynndescent")
    except ImportError as error:
        raise MissingDependency(
            f"method 'nndescent' needs pynndescent ({error}); run: {_INSTALL}"
        ) from error


def descent_bytes(num_rows: int, dim: int, kept: int) -> int:
    """Estimate the bytes of a descent that keeps so many neighbours of each row.

    The compiler, rows in float32 and the leaves of all trees are there throughout; besides them
    first the trees as they are made, then neighbours, those to be tried, their reverse and the
    pairs to be entered.
    """
    trees, leaf, tried = _num_trees(num_rows), _leaf_rows(kept), _num_tried(kept)
    planes = 4 * dim * trees * num_rows // max(leaf, (1 << 20) // (4 * dim))
    making = 10 * trees * num_rows + planes
    leaves = torch.get_num_threads() * _UPDATE_LEAVES
    pairs = max(3 * tried**2 * _UPDATE_ROWS, leaves * leaf**2) // 2
    descending = (17 * kept + 16 * tried) * num_rows + pairs * _UPDATE_BYTES
    return COMPILER_BYTES + (4 * dim + 8 * trees) * num_rows + max(making, descending)


@dataclass(frozen=True)
class DescentGraph:
    """Near rows of every row, as a descent left them.

    Attributes:
        rows: The rows.
        item: Near rows of each, nearest first; negative where there is none.
        distance: Euclidean distances of the rows divided by their scale.
        recall: Share of the exact neighbours of a sample that are among them.
    """

    rows: FeatureRows
    item: NDArray[np.int32]
    distance: NDArray[np.float32]
    recall: float

    def candidates(
        self,
        targets: NDArray[np.int64],
        count: int,
        progress: Callable[[float], None] | None = None,
    ) -> tuple[Iterator[Candidates], list[NDArray[np.int64]]]:
        """Return the candidates of some rows, and the rows for which too few were found.

        Args:
            targets: Positions of the rows whose neighbours are wanted, ascending.
            count: Number of neighbours wanted.
            progress: Called with the share of the targets that is done.

        Returns:
            See :func:`mmgraph.graph.knn.approximate.approximate_candidates`.
        """
        left: list[NDArray[np.int64]] = []
        found = proposed_candidates(self._near, self.rows, targets, count, left, progress)
        return found, left

    def _near(self, queries: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        square = self.distance[queries].astype(np.float64) ** 2
        score = 1 - square / 2 if self.rows.metric == "cosine" else -square
        return score, self.item[queries].astype(np.int64)


def descend(
    rows: FeatureRows,
    count: int,
    *,
    min_recall: float,
    seed: int,
    fits: Callable[[int], bool],
) -> DescentGraph:
    """Find rows near to every row, trying harder until most of the nearest are among them.

    The effort is the number of neighbours that a row keeps while descending, doubled until a sample
    finds what is aimed at. Cosines are compared as distances of rows of length one, which order
    those below zero too.

    Source: Dong, Moses and Li, 2011, "Efficient k-nearest neighbor graph construction for generic
    similarity measures", algorithm 2, started from random projection trees; the code is pynndescent's.

    Args:
        rows: The rows, compared by cosine or distance.
        count: Number of neighbours wanted.
        min_recall: What is aimed at; a third of what is missing to one is added for safety.
        seed: Of the trees, of the order of the tries and of the sample.
        fits: Takes the neighbours that a row would keep and says whether there is memory for them.

    Returns:
        The graph of the last effort. It depends on the number of threads: each tries in an order of
        its own. Parts of the rows are always taken from one and the same graph.

    Complexity:
        About O(items^1.14 * count^2 * dim) by the paper's measurements.
    """
    kept = count + 1  # the library counts the row itself
    nothing = np.empty((len(rows), 0))
    if len(rows) <= max(_FEW_ROWS, 4 * kept):
        # Too few for a descent: all are left over and compared with one another.
        return DescentGraph(rows, nothing.astype(np.int32), nothing.astype(np.float32), 1.0)
    exact = exact_lists(rows, sample_positions(np.arange(len(rows)), seed), count)
    most = min(_MOST_EFFORT * kept, len(rows) // 4)
    while True:
        item, distance = _neighbours(rows, kept, seed)
        recall = share_found(exact, item[exact.query])
        kept = 2 * kept
        if recall >= aimed_recall(min_recall) or kept > most or not fits(kept):
            return DescentGraph(rows, item, distance, recall)
        del item, distance


def _neighbours(
    rows: FeatureRows, kept: int, seed: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the neighbours that the library finds, and their distances, nearest first."""
    library, numba = importlib.import_module("pynndescent"), importlib.import_module("numba")
    with warnings.catch_warnings():
        # Rows with too few neighbours are left over and served by FAISS.
        warnings.filterwarnings("ignore", message="Failed to correctly find n_neighbors")
        descent = library.NNDescent(
            float32_rows(rows, np.arange(len(rows))),
            metric="euclidean",
            n_neighbors=kept,
            n_trees=_num_trees(len(rows)),
            leaf_size=_leaf_rows(kept),
            max_candidates=_num_tried(kept),
            n_jobs=min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS),
            random_state=seed,
        )
        item, distance = descent.neighbor_graph
    return item, distance


def _num_trees(num_rows: int) -> int:
    return max(3, min(12, round(2 * math.log10(num_rows))))


def _leaf_rows(kept: int) -> int:
    return max(60, min(128, 5 * kept))


def _num_tried(kept: int) -> int:
    """Return how many new and how many old neighbours of a row are compared with one another."""
    return min(24, kept)
