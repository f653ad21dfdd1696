"""pynndescent: random projection trees, then neighbours of neighbours until little changes."""

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rivals.answer import Neighbours, drop_self, phase


def search(
    x: NDArray[Any], k: int, *, threads: int, seed: int, device: str, options: Mapping[str, Any]
) -> Neighbours:
    """Return about the k nearest other rows by cosine.

    Options: ``neighbours`` kept while descending, k + 1 if not given; all others are passed on.
    """
    pynndescent = importlib.import_module("pynndescent")
    others = dict(options)
    kept = max(int(others.pop("neighbours", k + 1)), k + 1)
    seconds: dict[str, float] = {}
    with phase(seconds, "search"):
        index = pynndescent.NNDescent(
            np.ascontiguousarray(x, dtype=np.float32),
            metric="cosine",
            n_neighbors=kept,
            n_jobs=threads,
            random_state=seed,
            **others,
        )
        found, _ = index.neighbor_graph
    lists = drop_self(np.asarray(found[:, : k + 1], dtype=np.int64))
    return Neighbours(lists, seconds, {"neighbours": kept, **others})
