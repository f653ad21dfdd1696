"""Numbers behind the page: the lines of a result file, sorted by what they show."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.graph.cells import OK

Line = Mapping[str, Any]
Series = dict[str, list[tuple[float, float]]]


def by_machine(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """Return the lines of each machine under the name of its GPU, where that was used, or its processor."""
    lines = list(lines)
    # A process that died could not tell the name of its GPU.
    gpus = [line["gpu"] for line in lines if line.get("gpu")]
    machines: dict[str, list[Line]] = {}
    for line in lines:
        on_gpu = line["cell"]["device"].startswith("cuda") and gpus
        name = (line.get("gpu") or gpus[0]) if on_gpu else line["environment"]["processor"]
        machines.setdefault(name, []).append(line)
    return machines


def section(lines: Iterable[Line], *names: str, what: str = "knn") -> list[Line]:
    """Return the lines of some sections about one kind of work."""
    return [
        line for line in lines if line["cell"]["section"] in names and line["cell"]["what"] == what
    ]


def growth(lines: Iterable[Line], key: str) -> Series:
    """Return for each method the pairs (rows, value) of the scaling cells, by rows.

    Args:
        lines: All lines.
        key: ``median_s`` or ``peak_mib``.
    """
    series: Series = {}
    for line in section(lines, "scaling"):
        if line["status"] == OK and line.get(key):
            series.setdefault(line["method"], []).append((line["cell"]["rows"], line[key]))
    return {method: sorted(points) for method, points in series.items()}


def fitted_exponent(points: Sequence[tuple[float, float]], least_rows: float = 1e4) -> float | None:
    """Return the slope of log value over log rows from ``least_rows`` on; None for fewer than two points.

    Below that, the fixed cost of a call hides how the work grows.

    Example:
        >>> fitted_exponent([(1e4, 3.0), (1e5, 300.0)])
        2.0
    """
    large = [(math.log(rows), math.log(value)) for rows, value in points if rows >= least_rows]
    if len(large) < 2:
        return None
    x, y = np.array(large).T
    x = x - x.mean()
    return round(float((x * y).sum() / (x * x).sum()), 6)


def frontier(lines: Iterable[Line]) -> list[Line]:
    """Return the approximate ways on the largest catalogue that was measured, the fastest first."""
    done = [line for line in section(lines, "catalogue") if line["status"] == OK]
    if not done:
        done = [line for line in section(lines, "rivals") if line["status"] == OK]
    most = max((line["cell"]["rows"] for line in done), default=0)
    return sorted(
        (line for line in done if line["cell"]["rows"] == most), key=lambda line: line["median_s"]
    )


def ratios_to(lines: Iterable[Line], baseline: str) -> list[tuple[str, str, float]]:
    """Return (kind of features, rows x columns, ratio) of mmgraph in the duels, by size."""
    found = [
        line
        for line in section(lines, "duel")
        if line["method"] == "mmgraph" and line["status"] == OK and baseline in line["ratios"]
    ]
    found.sort(key=lambda line: (line["cell"]["rows"], line["cell"]["dim"]))
    return [
        (
            line["cell"]["data"],
            f"{line['cell']['rows']:,} × {line['cell']['dim']:,}",
            line["ratios"][baseline],
        )
        for line in found
    ]
