"""scikit-learn's ``NearestNeighbors``, brute force with its cosine metric."""

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rivals.answer import Neighbours, phase


def search(
    x: NDArray[Any], k: int, *, threads: int, seed: int, device: str, options: Mapping[str, Any]
) -> Neighbours:
    """Return the k nearest other rows by cosine."""
    neighbors = importlib.import_module("sklearn.neighbors")
    seconds: dict[str, float] = {}
    with phase(seconds, "search"):
        model = neighbors.NearestNeighbors(
            n_neighbors=k, metric="cosine", algorithm="brute", n_jobs=threads
        )
        found = model.fit(np.asarray(x, dtype=np.float32)).kneighbors(return_distance=False)
    return Neighbours(np.asarray(found, dtype=np.int64), seconds)
