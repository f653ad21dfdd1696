"""Numbers behind the page about building graphs."""

from collections.abc import Iterable

from benchmarks.cells import OK, OURS
from benchmarks.columns import Line
from benchmarks.figures import section

LEAST_ROWS = 1e4
"""Items from which exponents are fitted."""


def frontier(lines: Iterable[Line]) -> list[Line]:
    """Return the approximate ways on the largest catalogue that was measured, the fastest first."""
    lines = list(lines)
    done: list[Line] = []
    for name in ("catalogue", "rivals"):
        done = done or [x for x in section(lines, name, what="knn") if x["status"] == OK]
    most = max((line["cell"]["rows"] for line in done), default=0)
    return sorted(
        (line for line in done if line["cell"]["rows"] == most), key=lambda line: line["median_s"]
    )


def ratios_to(lines: Iterable[Line], baseline: str) -> list[tuple[str, str, float]]:
    """Return (kind of features, rows x columns, ratio) of mmgraph in the duels, by size."""
    found = [
        line
        for line in section(lines, "duel", what="knn")
        if line["method"] == OURS and line["status"] == OK and baseline in line["ratios"]
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
