"""usearch: its own graph of small worlds, built and searched on several threads."""

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

    Options: those of ``usearch.index.Index`` (connectivity, expansion_add, expansion_search).
    """
    usearch = importlib.import_module("usearch.index")
    rows = np.ascontiguousarray(x, dtype=np.float32)
    seconds: dict[str, float] = {}
    with phase(seconds, "add"):
        index = usearch.Index(ndim=rows.shape[1], metric="cos", dtype="f32", **options)
        index.add(np.arange(len(rows), dtype=np.uint64), rows, threads=threads)
    with phase(seconds, "search"):
        matches = index.search(rows, k + 1, threads=threads)
    found = np.asarray(matches.keys).reshape(len(rows), k + 1).astype(np.int64)
    # A row whose list stayed short has unspecified numbers behind its count.
    found[np.arange(k + 1) >= np.asarray(matches.counts)[:, None]] = -1
    settings = {
        "connectivity": index.connectivity,
        "expansion_add": index.expansion_add,
        "expansion_search": index.expansion_search,
    }
    return Neighbours(drop_self(found), seconds, settings)
