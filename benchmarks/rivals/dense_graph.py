"""Every graph the plain way: all similarities at once, counts in a Python dictionary."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.rivals.dense_torch import Edges, dense_knn
from benchmarks.rivals.dict_cointeraction import dict_cointeraction


def dict_bipartite(user: Sequence[int], item: Sequence[int]) -> tuple[Edges, Edges]:
    """Return user -> item and item -> user edges with weights ``1 / sqrt(d_u d_i)``."""
    user_degree: dict[int, int] = {}
    item_degree: dict[int, int] = {}
    for u, i in zip(user, item, strict=True):
        user_degree[int(u)] = user_degree.get(int(u), 0) + 1
        item_degree[int(i)] = item_degree.get(int(i), 0) + 1
    weight = {
        (int(u), int(i)): 1 / math.sqrt(user_degree[int(u)] * item_degree[int(i)])
        for u, i in zip(user, item, strict=True)
    }
    to_item = sorted(weight, key=lambda pair: (pair[1], pair[0]))
    to_user = sorted(weight)
    return (
        (
            torch.tensor([[u for u, _ in to_item], [i for _, i in to_item]]),
            torch.tensor([weight[pair] for pair in to_item]),
        ),
        (
            torch.tensor([[i for _, i in to_user], [u for u, _ in to_user]]),
            torch.tensor([weight[pair] for pair in to_user]),
        ),
    )


def build_plain(
    user: Sequence[int],
    item: Sequence[int],
    features: Mapping[str, Any],
    *,
    k: int = 10,
    co_user_top_k: int | None = 10,
    timings: dict[str, float] | None = None,
) -> dict[tuple[str, str, str], Edges]:
    """Build the graphs that ``mmgraph.graph.build_graph`` builds with its defaults.

    Args:
        user: User of each training pair.
        item: Item of each training pair.
        features: Modality to an object with ``x`` (num_items, dim) and ``present`` (num_items,).
        k: Neighbours of each item.
        co_user_top_k: Users kept for each user.
        timings: Receives the seconds of each phase, named as mmgraph names them.
    """
    timings = {} if timings is None else timings
    graphs: dict[tuple[str, str, str], Edges] = {}
    clock = time.perf_counter()

    def lap(phase: str) -> None:
        nonlocal clock
        timings[phase] = time.perf_counter() - clock
        clock = time.perf_counter()

    tensors = {
        name: (
            torch.from_numpy(np.array(feature.x, dtype=np.float32)),
            torch.from_numpy(np.array(feature.present, dtype=bool)),
        )
        for name, feature in features.items()
    }
    lap("features")
    for name, (x, present) in tensors.items():
        graphs["item", f"knn_{name}", "item"] = dense_knn(x, present, k)
        lap(f"knn_{name}")
    graphs["item", "co_interacts", "item"] = dict_cointeraction(item, user)
    lap("co_item")
    graphs["user", "co_interacts", "user"] = dict_cointeraction(user, item, top_k=co_user_top_k)
    lap("co_user")
    to_item, to_user = dict_bipartite(user, item)
    graphs["user", "interacts", "item"] = to_item
    graphs["item", "rev_interacts", "user"] = to_user
    lap("assemble")
    return graphs
