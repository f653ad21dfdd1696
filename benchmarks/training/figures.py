"""Numbers behind the page about training."""

from collections.abc import Sequence

from benchmarks.cells import OURS, PLAIN
from benchmarks.columns import Line
from benchmarks.figures import pairs_of

LEAST_EDGES = 1e5
"""Interactions from which exponents are fitted."""

AXES = {"edges": "interactions", "dim": "dimensions", "layers": "layers"}
"""Attributes of the cells of the scaling section, and what they are called."""


def epoch_pairs(duels: Sequence[Line]) -> list[tuple[Line, Line]]:
    """Return the lines of mmgraph and the plain way of each epoch, by the seconds of the plain way."""
    return sorted(pairs_of(duels, OURS, PLAIN), key=lambda pair: pair[1]["median_s"])


def epoch_name(line: Line, duels: Sequence[Line]) -> str:
    """Return the data set of a line, with the batch where batches differ."""
    cell = line["cell"]
    differ = len({other["cell"]["batch"] for other in duels}) > 1
    return f"{cell['data']}, batch {cell['batch']:,}" if differ else str(cell["data"])


def axis_lines(lines: Sequence[Line], axis: str) -> list[Line]:
    """Return the lines that differ from the most usual cell in one attribute at most.

    Example:
        >>> lines = [{"cell": {"edges": e, "dim": d, "layers": 2}} for e, d in ((1, 8), (2, 8), (2, 4))]
        >>> [line["cell"]["edges"] for line in axis_lines(lines, "edges")]
        [1, 2]
    """
    kept = list(lines)
    for other in AXES:
        if other != axis and kept:
            values = [line["cell"][other] for line in lines]
            usual = max(values, key=values.count)
            kept = [line for line in kept if line["cell"][other] == usual]
    return kept
