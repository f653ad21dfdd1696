"""Numbers behind the pages: the lines of a result file, sorted by what they show."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from benchmarks.cells import OK
from benchmarks.columns import Line

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


def section(lines: Iterable[Line], *names: str, what: str | None = None) -> list[Line]:
    """Return the lines of some sections, and of one kind of work if it is named."""
    return [
        line
        for line in lines
        if line["cell"]["section"] in names and what in (None, line["cell"]["what"])
    ]


def growth(lines: Iterable[Line], key: str, size: str) -> Series:
    """Return for each method the pairs (size, value), by size, of the lines whose value is above zero.

    Powers and logarithmic axes have no place for others, such as a peak of memory too small to be seen.

    Args:
        lines: Those of the cells that differ in their size.
        key: Such as ``median_s`` or ``peak_mib``.
        size: Attribute of the cell.
    """
    series: Series = {}
    for line in lines:
        if line["status"] == OK and (line.get(key) or 0) > 0:
            series.setdefault(line["method"], []).append((line["cell"][size], line[key]))
    return {method: sorted(points) for method, points in series.items()}


def fitted_exponent(points: Sequence[tuple[float, float]], least: float = 0.0) -> float | None:
    """Return the slope of log value over log size from ``least`` on; None where too little was measured.

    Small sizes are left out where the fixed cost of a call hides how the work grows. Of three sizes in all, two must
    remain: two sizes alone are a ratio and no law.

    Example:
        >>> fitted_exponent([(10.0, 9.0), (1e4, 3.0), (1e5, 300.0)], least=1e4)
        2.0
    """
    large = [(math.log(size), math.log(value)) for size, value in points if size >= least]
    if len(points) < 3 or len(large) < 2:
        return None
    x, y = np.array(large).T
    x = x - x.mean()
    return round(float((x * y).sum() / (x * x).sum()), 6)


def pairs_of(lines: Sequence[Line], ours: str, other: str) -> list[tuple[Line, Line]]:
    """Return the lines of two methods that took turns in one cell, where both were measured."""
    measured = [line for line in lines if line["status"] == OK]
    return [
        (line, rival)
        for line in measured
        if line["method"] == ours
        for rival in measured
        if rival["method"] == other and rival["cell"] == line["cell"]
    ]
