"""Co-interaction counts in a dictionary of dictionaries, pair by pair, in plain Python."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.rivals.answer import Counts, phase
from benchmarks.rivals.dense_torch import Edges


def count(
    user: NDArray[np.integer],
    item: NDArray[np.integer],
    *,
    num_users: int,
    num_items: int,
    side: str,
    top_k: int | None,
) -> Counts:
    """Return the pairs that :func:`dict_cointeraction` keeps."""
    node, partner = (item, user) if side == "item" else (user, item)
    seconds: dict[str, float] = {}
    with phase(seconds, "count"):
        edge_index, _ = dict_cointeraction(node.tolist(), partner.tolist(), top_k=top_k)
    return Counts(edge_index[0].numpy(), edge_index[1].numpy(), seconds)


def dict_cointeraction(
    node: Sequence[int], partner: Sequence[int], *, top_k: int | None = None
) -> Edges:
    """Count for each pair of nodes how many partners they share; divide by the largest count.

    Args:
        node: The side that becomes the graph, of each pair.
        partner: The other side.
        top_k: Edges kept for each receiving node, ties by smaller source; all when None.
    """
    nodes_of: dict[int, list[int]] = {}
    for n, p in zip(node, partner, strict=True):
        nodes_of.setdefault(int(p), []).append(int(n))
    counts: dict[int, dict[int, int]] = {}
    for nodes in nodes_of.values():
        for target in nodes:
            row = counts.setdefault(target, {})
            for source in nodes:
                if source != target:
                    row[source] = row.get(source, 0) + 1
    largest = max((max(row.values()) for row in counts.values() if row), default=1)
    sources: list[int] = []
    targets: list[int] = []
    weights: list[float] = []
    for target in sorted(counts):
        kept = list(counts[target].items())
        if top_k is not None:
            kept = sorted(kept, key=lambda pair: (-pair[1], pair[0]))[:top_k]
        for source, count in sorted(kept):
            sources.append(source)
            targets.append(target)
            weights.append(count / largest)
    return torch.tensor([sources, targets]), torch.tensor(weights)
