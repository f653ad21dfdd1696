"""Candidates for catalogues too large to compare all pairs: FAISS's inverted lists and HNSW.

How hard they try is chosen by what they find: for a sample of the items the exact neighbours are
known, and the effort is doubled until enough of them come back. Whether that was enough is then
measured on other items.
"""

# torch comes before faiss on purpose: both bring an OpenMP runtime, the first one is shared.
import torch  # noqa: F401, I001
import faiss
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmgraph.graph.knn.canonical import Candidates, Lists, choose_nearest, join_lists
from mmgraph.graph.knn.flat import flat_candidates, float32_rows
from mmgraph.graph.knn.float32 import float32_error
from mmgraph.graph.knn.rows import FeatureRows

SAMPLE = 512
"""Items whose exact neighbours are looked up, once for the effort and once for the recall."""

_BLOCK = 1 << 14
"""Rows converted, added or asked at a time."""

_EXTRA = 6
"""Candidates fetched beyond those wanted, for float64 to choose from."""

HNSW_LINKS = 32
"""Links of a row in FAISS's graph, which keeps twice as many at the bottom, of four bytes each."""

_HNSW_EFFORT = 80


def approximate_candidates(
    rows: FeatureRows,
    targets: NDArray[np.int64],
    count: int,
    *,
    method: str,
    min_recall: float,
    seed: int,
    progress: Callable[[float], None] | None = None,
) -> tuple[Iterator[Candidates], list[NDArray[np.int64]]]:
    """Find candidates that include most of the ``count`` nearest other rows of every target.

    Args:
        rows: The rows; each may be chosen.
        targets: Positions of the rows whose neighbours are wanted, ascending.
        count: Number of neighbours wanted.
        method: ``ivf`` or ``hnsw``.
        min_recall: What is aimed at, with what :func:`aimed_recall` adds.
        seed: Of the clusters and of the sample.
        progress: Called with the share of the targets that is done.

    Returns:
        Candidates, and a list that receives, while they are read, the targets for which too few
        were found.

    Complexity:
        Building: O(items^1.5 * dim) for ``ivf``, O(items log items * dim) for ``hnsw``. Memory of a
        float32 copy of the rows and, for ``hnsw``, of 256 bytes of links for each.
    """
    index = _build_index(rows, method, seed)
    exact = exact_lists(rows, sample_positions(targets, seed), count)
    _choose_effort(index, rows, exact, aimed_recall(min_recall))
    left: list[NDArray[np.int64]] = []

    def ask(queries: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        return _ask(index, rows, queries, count)

    return proposed_candidates(ask, rows, targets, count, left, progress), left


def aimed_recall(min_recall: float) -> float:
    """Return what a sample should find: a third of what is missing to one is added for safety."""
    return min_recall + (1 - min_recall) / 3


def exact_lists(rows: FeatureRows, queries: NDArray[np.int64], count: int) -> Lists:
    """Return the exact lists of a few rows, without a copy of all of them."""
    found = flat_candidates(rows, queries, count, thrifty=True)
    return join_lists([choose_nearest(rows, part, count) for part in found])


def measure_recall(rows: FeatureRows, lists: Lists, seed: int) -> float:
    """Return which share of the exact neighbours is in the lists, for a sample of them.

    A neighbour of the same score as the last exact one counts as found, whatever its number.

    Args:
        rows: The rows.
        lists: Lists by ascending query.
        seed: Of the sample; it is another one than the sample that chose the effort.
    """
    exact = exact_lists(rows, sample_positions(lists.query, seed + 1), lists.item.shape[1])
    at = np.searchsorted(lists.query, exact.query)
    return float((lists.score[at] >= exact.score[:, -1:]).mean())


def sample_positions(positions: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return ``SAMPLE`` of the positions, or all where there are fewer, ascending."""
    size = min(SAMPLE, len(positions))
    return np.sort(np.random.default_rng(seed).choice(positions, size, replace=False))


def share_found(exact: Lists, item: NDArray[np.integer[Any]]) -> float:
    """Return which share of the exact neighbours is among the rows found for each query."""
    return float((exact.item[:, :, None] == item[:, None, :]).any(axis=2).mean())


def _build_index(rows: FeatureRows, method: str, seed: int) -> Any:
    metric = faiss.METRIC_L2 if rows.metric == "l2" else faiss.METRIC_INNER_PRODUCT
    index: Any
    if method == "hnsw":
        index = faiss.IndexHNSWFlat(rows.dim, HNSW_LINKS, metric)
        index.hnsw.efConstruction = _HNSW_EFFORT
    else:
        # About sqrt(items) / 4 rows in a cluster: finding clusters costs as much as reading them.
        clusters = max(1, min(int(4 * len(rows) ** 0.5), len(rows) // 8))
        index = faiss.IndexIVFFlat(faiss.IndexFlat(rows.dim, metric), rows.dim, clusters, metric)
        index.cp.seed, index.cp.niter = seed + 1, 10
        index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, 64
        index.cp.spherical = rows.metric == "cosine"
        some = np.random.default_rng(seed).permutation(len(rows))[: 64 * clusters]
        some.sort()
        index.train(float32_rows(rows, some))
    for start in range(0, len(rows), _BLOCK):
        part = np.arange(start, min(start + _BLOCK, len(rows)))
        index.add(float32_rows(rows, part))
    return index


def _choose_effort(index: Any, rows: FeatureRows, exact: Lists, aim: float) -> None:
    """Double the effort until the sample finds enough, or there is nothing left to double."""
    effort, most = (1, index.nlist) if hasattr(index, "nprobe") else (16, 4096)
    while True:
        _set_effort(index, effort)
        _, found = _ask(index, rows, exact.query, exact.item.shape[1])
        if share_found(exact, found) >= aim or effort >= most:
            return
        effort = min(2 * effort, most)


def _set_effort(index: Any, effort: int) -> None:
    if hasattr(index, "nprobe"):
        index.nprobe = effort
    else:
        index.hnsw.efSearch = effort


def _ask(
    index: Any, rows: FeatureRows, queries: NDArray[np.int64], count: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    score, item = index.search(float32_rows(rows, queries), min(count + 1 + _EXTRA, len(rows)))
    return (-score if rows.metric == "l2" else score), item


def proposed_candidates(
    ask: Callable[[NDArray[np.int64]], tuple[NDArray[np.floating[Any]], NDArray[np.int64]]],
    rows: FeatureRows,
    targets: NDArray[np.int64],
    count: int,
    left: list[NDArray[np.int64]],
    progress: Callable[[float], None] | None,
) -> Iterator[Candidates]:
    """Yield what an index proposes to the targets.

    Args:
        ask: Takes queries and returns float32 scores of the scaled rows, falling, and the rows that
            have them; negative where there are no more.
        rows: The rows.
        targets: Positions of the queries, ascending.
        count: Number of neighbours wanted.
        left: Receives the targets for which there are too few.
        progress: Called with the share of the targets that is done.

    Yields:
        Candidates of the others.
    """
    error = float32_error(rows)
    for start in range(0, len(targets), _BLOCK):
        queries = targets[start : start + _BLOCK]
        score, item = ask(queries)
        good = (item >= 0) & (item != queries[:, None])
        enough = good.sum(axis=1) >= count
        left.append(queries[~enough])
        row, column = np.nonzero(good & enough[:, None])
        query = queries[row]
        upper = score[row, column] * rows.unit + 2 * error[query]
        if progress is not None:
            progress(min(1.0, (start + len(queries)) / len(targets)))
        if len(query):
            yield Candidates(query, item[row, column], upper)
