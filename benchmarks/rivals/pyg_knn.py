"""PyTorch Geometric's ``knn_graph``, which needs the kernel of torch-cluster."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.nn import knn_graph

from benchmarks.rivals.answer import Neighbours, phase


def search(
    x: NDArray[Any], k: int, *, threads: int, seed: int, device: str, options: Mapping[str, Any]
) -> Neighbours:
    """Return the k nearest other rows by cosine."""
    seconds: dict[str, float] = {}
    with phase(seconds, "search"):
        rows = torch.from_numpy(np.asarray(x, dtype=np.float32)).to(device)
        edge_index = knn_graph(rows, k, cosine=True, num_workers=threads).cpu()
    lists = np.full((len(rows), k), -1, dtype=np.int64)
    target = edge_index[1].numpy()
    order = np.argsort(target, kind="stable")
    first = np.searchsorted(target[order], np.arange(len(rows)))
    rank = np.arange(len(target)) - first[target[order]]
    lists[target[order], rank] = edge_index[0].numpy()[order]
    return Neighbours(lists, seconds)
