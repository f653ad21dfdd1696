"""FAISS ``IndexHNSWFlat`` over unit rows: a graph of small worlds, walked from the top."""

from collections.abc import Mapping
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from benchmarks.rivals.answer import PREPARE, Neighbours, drop_self, phase, unit_rows


def search(
    x: NDArray[Any], k: int, *, threads: int, seed: int, device: str, options: Mapping[str, Any]
) -> Neighbours:
    """Return about the k nearest other rows by cosine.

    Options: ``links`` (FAISS: M), ``build`` (efConstruction), ``search`` (efSearch); the last two
    are left as FAISS has them if not given.
    """
    faiss.omp_set_num_threads(threads)
    seconds: dict[str, float] = {}
    with phase(seconds, PREPARE):
        rows = unit_rows(x)
    with phase(seconds, "add"):
        index = faiss.IndexHNSWFlat(
            rows.shape[1], int(options.get("links", 32)), faiss.METRIC_INNER_PRODUCT
        )
        index.hnsw.efConstruction = int(options.get("build", index.hnsw.efConstruction))
        index.hnsw.efSearch = int(options.get("search", index.hnsw.efSearch))
        index.add(rows)
    with phase(seconds, "search"):
        _, found = index.search(rows, k + 1)
    settings = {
        "links": int(options.get("links", 32)),
        "build": int(index.hnsw.efConstruction),
        "search": int(index.hnsw.efSearch),
    }
    return Neighbours(drop_self(np.asarray(found, dtype=np.int64)), seconds, settings)
