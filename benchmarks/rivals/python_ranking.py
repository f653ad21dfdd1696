"""Full ranking the plain way: a dense block of scores, a full sort, Python sets for every membership."""

import math
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ItemSets = dict[int, set[int]]


def item_sets(user: Sequence[int], item: Sequence[int]) -> ItemSets:
    """Return the set of items of each user."""
    sets: ItemSets = {}
    for u, i in zip(user, item, strict=True):
        sets.setdefault(int(u), set()).add(int(i))
    return sets


class PythonRanking:
    """Ranks all items for every user with held-out items and measures the lists.

    Args:
        user_vectors: (num_users, dim) float32; the score is the inner product.
        item_vectors: (num_items, dim) float32.
        seen: Items left out of each user's list.
        held_out: Items to be found.
        ks: List lengths.
        block_size: Users scored at once.
    """

    def __init__(
        self,
        user_vectors: NDArray[np.float32],
        item_vectors: NDArray[np.float32],
        *,
        seen: ItemSets,
        held_out: ItemSets,
        ks: Sequence[int],
        block_size: int = 1024,
    ) -> None:
        self.user_vectors, self.item_vectors = user_vectors, item_vectors
        self.seen, self.held_out = seen, held_out
        self.ks, self.block_size = tuple(ks), block_size
        self.users = sorted(held_out)
        self.phases: dict[str, float] = {}

    def lists(self) -> list[list[int]]:
        """Return the best items of each user, best first, equal scores by smaller index."""
        length, nothing = max(self.ks), set[int]()
        lists = []
        for start in range(0, len(self.users), self.block_size):
            block = self.users[start : start + self.block_size]
            scores = self.user_vectors[block] @ self.item_vectors.T
            order = np.argsort(-scores, axis=1, kind="stable")
            for user, row in zip(block, order, strict=True):
                seen = self.seen.get(user, nothing)
                best: list[int] = []
                for item in row:
                    if item not in seen:
                        best.append(int(item))
                        if len(best) == length:
                            break
                lists.append(best)
        return lists

    def evaluate(self) -> dict[str, NDArray[np.float64]]:
        """Return ``"name@k"`` to one value for each user; seconds are left in ``phases``."""
        begin = time.perf_counter()
        lists = self.lists()
        middle = time.perf_counter()
        values: dict[str, list[float]] = {}
        for user, best in zip(self.users, lists, strict=True):
            relevant = self.held_out[user]
            hits = [item in relevant for item in best]
            for k in self.ks:
                for name, value in list_metrics(hits[:k], len(relevant), k).items():
                    values.setdefault(f"{name}@{k}", []).append(value)
        result = {name: np.array(column) for name, column in values.items()}
        self.phases = {"lists": middle - begin, "metrics": time.perf_counter() - middle}
        return result


def list_metrics(hits: Sequence[bool], num_relevant: int, k: int) -> dict[str, float]:
    """Return six metrics of the first ``k`` places of one list.

    Example:
        >>> list_metrics([False, True], 1, 2)["mrr"]
        0.5
    """
    found, gain, precisions, first = 0, 0.0, 0.0, 0.0
    for place, hit in enumerate(hits, start=1):
        if hit:
            found += 1
            gain += 1 / math.log2(place + 1)
            precisions += found / place
            first = first or 1 / place
    possible = min(num_relevant, k)
    ideal = sum(1 / math.log2(place + 1) for place in range(1, possible + 1))
    return {
        "recall": found / num_relevant,
        "ndcg": gain / ideal,
        "precision": found / k,
        "map": precisions / possible,
        "mrr": first,
        "hit": float(found > 0),
    }
