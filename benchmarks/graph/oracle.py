"""How right an answer is: compared in float64 on a sample of rows, however it was found."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

SAMPLE_ROWS = 200
_BLOCK_ROWS = 8192
_TIE = 1e-12
"""Two float64 sums of the same products in different order differ by less."""


class KnnOracle:
    """The exact cosines of a sample of rows with all others.

    Attributes:
        rows: The sampled rows, ascending.
        least: The k-th largest cosine of each with the other rows.
    """

    def __init__(self, x: NDArray[np.floating], k: int, seed: int, sample: int = SAMPLE_ROWS):
        rng = np.random.default_rng([seed, 2])
        self.x, self.k = x, k
        self.rows = np.sort(rng.choice(len(x), size=min(sample, len(x)), replace=False))
        self.query = _unit(x[self.rows])
        best = np.full((len(self.rows), k), -np.inf)
        for start in range(0, len(x), _BLOCK_ROWS):
            score = self.query @ _unit(x[start : start + _BLOCK_ROWS]).T
            inside = np.flatnonzero((self.rows >= start) & (self.rows < start + score.shape[1]))
            score[inside, self.rows[inside] - start] = -np.inf
            both = np.concatenate([best, score], axis=1)
            best = np.partition(both, both.shape[1] - k, axis=1)[:, -k:]
        self.least = best.min(axis=1)

    def recall(self, lists: NDArray[np.int64]) -> float:
        """Return the share of the wanted neighbours that the lists (rows, k) hold.

        A neighbour counts once, if its exact cosine is not below the k-th largest; which of two
        equally near rows is in the list does not matter here.
        """
        found = 0
        for place, row in enumerate(self.rows):
            listed = np.unique(lists[row])
            listed = listed[(listed >= 0) & (listed != row)]
            score = _unit(self.x[listed]) @ self.query[place]
            found += int((score >= self.least[place] - _TIE).sum())
        return found / (len(self.rows) * self.k)


def _unit(x: NDArray[np.floating]) -> NDArray[np.float64]:
    rows = np.asarray(x, dtype=np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)


def count_recall(
    source: NDArray[np.int64],
    target: NDArray[np.int64],
    *,
    node: NDArray[np.integer],
    partner: NDArray[np.integer],
    top_k: int | None,
    seed: int,
    sample: int = SAMPLE_ROWS,
) -> float:
    """Return the share of the wanted co-interaction edges, less those that should not be there.

    Args:
        source: Neighbour of each edge found.
        target: Receiver of each edge found.
        node: The side that forms the graph, of each interaction.
        partner: The other side.
        top_k: Edges wanted for each node; all when None, and more found than wanted count for
            nothing.
        seed: Chooses the sample.
        sample: Nodes looked at.
    """
    ones = np.ones(len(node), dtype=np.int64)
    matrix = sp.csr_array((ones, (node, partner)))
    rng = np.random.default_rng([seed, 3])
    rows = rng.choice(matrix.shape[0], size=min(sample, matrix.shape[0]), replace=False)
    counts = (matrix[rows] @ matrix.T).toarray()
    counts[np.arange(len(rows)), rows] = 0
    order = np.argsort(target, kind="stable")
    bounds = np.searchsorted(target[order], np.stack([rows, rows + 1]))
    right = wanted = 0
    for place, count in enumerate(counts):
        listed = np.unique(source[order[bounds[0, place] : bounds[1, place]]])
        positive = int((count > 0).sum())
        enough = positive if top_k is None else min(top_k, positive)
        least = max(1, int(np.partition(count, -enough)[-enough])) if enough else 1
        good = int((count[listed] >= least).sum())
        right += min(good, enough) - (len(listed) - good)
        wanted += enough
    return right / max(wanted, 1)
