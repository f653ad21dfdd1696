"""FAISS ``IndexFlatIP`` over unit rows: every pair by a float32 product, one more than wanted, self removed."""

from collections.abc import Mapping
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from benchmarks.rivals.answer import PREPARE, Neighbours, drop_self, phase, unit_rows


def search(
    x: NDArray[Any], k: int, *, threads: int, seed: int, device: str, options: Mapping[str, Any]
) -> Neighbours:
    """Return the k nearest other rows by cosine; FAISS runs on the processor whatever the device."""
    faiss.omp_set_num_threads(threads)
    seconds: dict[str, float] = {}
    with phase(seconds, PREPARE):
        rows = unit_rows(x)
    with phase(seconds, "add"):
        index = faiss.IndexFlatIP(rows.shape[1])
        index.add(rows)
    with phase(seconds, "search"):
        _, found = index.search(rows, k + 1)
    with phase(seconds, "remove_self"):
        lists = drop_self(np.asarray(found, dtype=np.int64))
    return Neighbours(lists, seconds)
