"""mmgraph behind the call that all rivals have."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.rivals.answer import Counts, Neighbours
from mmgraph.graph import cointeraction_graph
from mmgraph.graph.knn import knn_search


def search(
    x: NDArray[Any], k: int, *, threads: int, seed: int, device: str, options: Mapping[str, Any]
) -> Neighbours:
    """Return the lists of :func:`mmgraph.graph.knn.knn_search`, which takes the options.

    Copying to the device and forming the lists are part of the work.
    """
    features = x if device == "cpu" else torch.from_numpy(np.ascontiguousarray(x)).to(device)
    graph = knn_search(features, k, seed=seed, **options)
    edge_index = graph.edge_index.cpu().numpy()
    if edge_index.shape[1] == len(x) * k:
        lists = edge_index[0].reshape(len(x), k)
    else:
        lists = np.full((len(x), k), -1, dtype=np.int64)
        first = np.searchsorted(edge_index[1], np.arange(len(x)))
        rank = np.arange(edge_index.shape[1]) - first[edge_index[1]]
        lists[edge_index[1], rank] = edge_index[0]
    return Neighbours(lists, dict(graph.seconds), graph.report())


def count(
    user: NDArray[np.integer],
    item: NDArray[np.integer],
    *,
    num_users: int,
    num_items: int,
    side: str,
    top_k: int | None,
) -> Counts:
    """Return the edges of the co-interaction graph, scaled by the largest count as by default."""
    wanted: Any = side
    edge_index, _ = cointeraction_graph(
        user, item, num_users=num_users, num_items=num_items, side=wanted, top_k=top_k
    )
    return Counts(edge_index[0].numpy(), edge_index[1].numpy())
