"""Which way a search goes: by its size, by how fast this machine multiplies, by the memory it may use."""

import math
import time
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmgraph.errors import GraphError
from mmgraph.graph.knn import join
from mmgraph.graph.knn.approximate import HNSW_LINKS
from mmgraph.graph.knn.flat import QUERY_ROWS
from mmgraph.graph.knn.float32 import summation_error
from mmgraph.graph.knn.nndescent import COMPILER_BYTES, descent_bytes, find_library
from mmgraph.graph.knn.operand import (
    DISTANCE_COLUMNS,
    DTYPES,
    ROUNDOFF,
    Precision,
    full_precision,
)
from mmgraph.graph.knn.rows import Metric

Method = Literal["auto", "exact", "join", "flat", "ivf", "hnsw", "nndescent"]

APPROXIMATE = ("ivf", "hnsw", "nndescent")

LARGE_CATALOGUE = 250_000
"""Items from which on ``auto`` may search approximately, if less than full recall is wanted."""

_COMPILED_WORK = 4.5e10
"""Items to the power of 1.5 times width from which on ``auto`` prefers a descent to clusters; that is how
the time of ``ivf`` grows. Below, a descent saves less time than its library takes to compile its loops,
about twenty seconds in every process."""

_SMALL_WORK = 2e9
"""Products times width up to which no calibration pays: FAISS needs about ten milliseconds."""

_JOIN_PER_PAIR = 0.15e-9
"""Seconds that a join spends on each pair besides the product (2 threads, 3 GHz)."""

_JOIN_PER_ROW = 6e-6
"""Seconds that a join spends on each row besides reading it."""


Way = tuple[Literal["join", "flat", "ivf", "hnsw", "nndescent"], Precision]


class Plan(NamedTuple):
    """The way a search goes.

    Attributes:
        method: ``join``, ``flat``, ``ivf``, ``hnsw`` or ``nndescent``.
        precision: Type of the products that filter candidates.
        memory: Estimate of the bytes needed beyond the features as given.
        instead: Where to go when this way finds too little; None where that is an error.
    """

    method: Literal["join", "flat", "ivf", "hnsw", "nndescent"]
    precision: Precision
    memory: int
    instead: "Plan | None" = None


def choose_method(
    method: Method,
    *,
    num_rows: int,
    num_targets: int,
    dim: int,
    count: int,
    metric: Metric,
    device: torch.device,
    min_recall: float,
    max_memory: int | None,
) -> Plan:
    """Choose the way of a search before any work is done.

    ``exact`` is whichever of ``join`` and ``flat`` should take less time; both give the same bytes.
    ``auto`` is ``exact`` up to ``LARGE_CATALOGUE`` items, where full recall is wanted and on a GPU;
    else ``nndescent`` where its library is installed and the catalogue so large that compiling it
    pays; ``ivf`` otherwise, and where that finds too little; or another way where ``max_memory`` is
    too little for those. Speed decides only between ways that return the same or about as much.

    Args:
        method: What was asked for.
        num_rows: Rows that may be chosen.
        num_targets: Rows whose lists are wanted.
        dim: Width of a row.
        count: Neighbours of each.
        metric: How rows are compared.
        device: Where products are made.
        min_recall: Recall wanted.
        max_memory: Bytes that may be used beyond the features as given.

    Raises:
        GraphError: No way that was allowed stays within ``max_memory``.
    """
    sizes = num_rows, num_targets, dim, count
    ways = _ways("exact" if method == "auto" else method, *sizes, device)
    large = num_rows > LARGE_CATALOGUE and min_recall < 1
    if method == "auto" and large and device.type == "cpu":
        ways = [("ivf", "float32"), *ways, ("hnsw", "float32")]
        pays = num_rows**1.5 * dim >= _COMPILED_WORK
        if pays and metric != "inner_product" and find_library() is not None:
            ways = [("nndescent", "float32"), *ways]
    plans = [Plan(*way, needed_memory(*way, *sizes, metric == "l2")) for way in ways]
    fitting = [plan for plan in plans if max_memory is None or plan.memory <= max_memory]
    if fitting:
        first, *others = fitting
        return (
            first._replace(instead=others[0]) if first.method == "nndescent" and others else first
        )
    least = min(plans, key=lambda plan: plan.memory)
    raise GraphError(
        f"max_memory must be at least {least.memory} bytes ({least.memory / 2**20:.0f} MiB) for "
        f"method {method!r} with {num_rows} items of {dim} features (got {max_memory}); raise "
        "max_memory, or search with fewer features or another method"
    )


def needed_memory(
    method: str,
    precision: Precision,
    num_rows: int,
    num_targets: int,
    dim: int,
    count: int,
    distance: bool = False,
    *,
    kept: int = 0,
) -> int:
    """Estimate the bytes that a search needs at most beyond the features as they are given.

    That of a descent is for the neighbours that it keeps of each row, at first or as many as said.
    """
    threads = torch.get_num_threads()
    lists = num_rows * 48 + num_targets * (count + 1) * 64
    chunk = threads * (4 << 20) + (96 << 20)
    if method == "join":
        size = join.block_rows(num_rows, count)
        width = DTYPES[precision][0].itemsize
        operand = (num_rows + size) * (dim + DISTANCE_COLUMNS * distance) * width * (1 + distance)
        found = 12 * (count + 4) * max(num_targets, size) * (6 + width)
        blocks = threads * size * size * (width + 2) + num_rows * join.segments(size, count) * width
        return int(operand + found + blocks + lists + chunk)
    dense = num_rows * dim * 4
    if method == "flat":
        return int(dense + QUERY_ROWS * (count + 9) * 64 + lists + chunk)
    if method == "ivf":
        return int(dense * 1.5 + num_rows * 16 + lists + chunk)
    if method == "nndescent":
        kept = max(kept, count + 1)
        result = COMPILER_BYTES + num_rows * kept * 8 + lists
        return int(max(descent_bytes(num_rows, dim, kept), result) + chunk)
    return int(dense + num_rows * (HNSW_LINKS * 2 * 4 + 64) + lists + chunk)


def _ways(
    method: str, num_rows: int, num_targets: int, dim: int, count: int, device: torch.device
) -> list[Way]:
    """Return the ways that do what was asked for, the one that should be fastest first."""
    if method in APPROXIMATE or method == "flat":
        return [(method, "float32")]  # type: ignore[list-item]
    joinable = count <= join.LARGEST_COUNT and num_rows > 4 * count
    if method == "join":
        if not joinable:
            raise GraphError(
                f"method 'join' must have k of at most {join.LARGEST_COUNT} and more than 4 k "
                f"items (got {count} neighbours among {num_rows} items); use method='exact'"
            )
        return [("join", _join_precision(device))]
    work = num_rows * num_targets * dim
    if not joinable or (2 * work < _SMALL_WORK and device.type == "cpu"):
        return [("flat", "float32")]
    rates = multiply_rates(str(device), torch.get_num_threads())
    pairs = num_targets * (num_rows - num_targets / 2)
    rest = pairs * _JOIN_PER_PAIR + num_targets * _JOIN_PER_ROW
    seconds: dict[Way, float] = {
        ("join", precision): 2 * pairs * dim / rate + rest for precision, rate in rates.items()
    }
    # FAISS works on the processor at the rate of its float32 products.
    on_cpu = multiply_rates("cpu", torch.get_num_threads()).get("float32", 1.0)
    seconds["flat", "float32"] = 2 * work / on_cpu
    return sorted(seconds, key=lambda way: seconds[way])


def _join_precision(device: torch.device) -> Precision:
    rates = multiply_rates(str(device), torch.get_num_threads())
    if not rates:
        raise GraphError(
            f"method 'join' needs products that are accurate to float32 on {device} (got none); use "
            "method='flat'"
        )
    return max(rates, key=lambda precision: rates[precision])


@cache
def multiply_rates(device: str, threads: int) -> dict[Precision, float]:
    """Measure how fast this machine multiplies matrices, once a process for each device.

    A type whose products are off by more than its error bound allows is left out, so that a
    library that accumulates in low precision slows a search down instead of spoiling it.

    Args:
        device: Where.
        threads: Threads of the measurement; only tells measurements apart.

    Returns:
        Floating-point operations a second for each usable type.
    """
    random = np.random.default_rng(0)
    size, dim = 768, 512
    rows = torch.from_numpy(random.standard_normal((size, dim)))
    rows /= torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    rates: dict[Precision, float] = {}
    with full_precision(torch.device(device)):
        for precision, (dtype, _) in DTYPES.items():
            x = rows.to(dtype)
            exact = x.double() @ x.double().T
            x = x.to(device)
            seconds = min(_seconds(x, device) for _ in range(5))
            off = ((x @ x.T).double().cpu() - exact).abs()
            if float((off - ROUNDOFF[precision] * exact.abs()).max()) <= summation_error(dim):
                rates[precision] = 2 * size * size * dim / seconds
    return rates


def _seconds(x: Tensor, device: str) -> float:
    """Return the seconds of one product, after one to warm up."""
    begin = 0.0
    for _ in range(2):
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        begin = time.perf_counter()
        x @ x.T
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return max(time.perf_counter() - begin, 1e-9)


def recall_error(recall: float, min_recall: float, method: str) -> GraphError:
    """Return the error of a search that found too little."""
    return GraphError(
        f"recall must be at least {min_recall} (min_recall; got {math.floor(recall * 1e4) / 1e4} "
        f"with method {method!r}); lower min_recall or use method='exact'"
    )
