"""FAISS ``IndexIVFFlat`` over unit rows: only the ``nprobe`` nearest of the cells are searched."""

import math
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

    Options: ``nprobe``, cells searched for each row; ``nlist``, cells, four times the square root
    of the rows if not given.
    """
    faiss.omp_set_num_threads(threads)
    cells = int(options.get("nlist", max(1, round(4 * math.sqrt(len(x))))))
    probes = min(cells, int(options["nprobe"]))
    seconds: dict[str, float] = {}
    with phase(seconds, PREPARE):
        rows = unit_rows(x)
    with phase(seconds, "train"):
        index = faiss.IndexIVFFlat(
            faiss.IndexFlatIP(rows.shape[1]), rows.shape[1], cells, faiss.METRIC_INNER_PRODUCT
        )
        index.cp.seed = seed + 1
        index.cp.min_points_per_centroid = 1
        index.train(rows)
    with phase(seconds, "add"):
        index.add(rows)
    with phase(seconds, "search"):
        index.nprobe = probes
        _, found = index.search(rows, k + 1)
    lists = drop_self(np.asarray(found, dtype=np.int64))
    return Neighbours(lists, seconds, {"nlist": cells, "nprobe": probes})
