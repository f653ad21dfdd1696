"""Numbers behind the page about full ranking."""

from collections.abc import Sequence

from benchmarks.cells import OURS, PLAIN
from benchmarks.columns import Line
from benchmarks.figures import Series, growth, pairs_of, section


def ranking_pairs(duels: Sequence[Line]) -> list[tuple[Line, Line]]:
    """Return the lines of mmgraph and the plain way of each data set, by the seconds of the plain way."""
    return sorted(pairs_of(duels, OURS, PLAIN), key=lambda pair: pair[1]["median_s"])


def block_growth(lines: Sequence[Line], key: str) -> Series:
    """Return for each data set the pairs (block size, value)."""
    blocks = section(lines, "blocks")
    names = dict.fromkeys(line["cell"]["data"] for line in blocks)
    return {
        name: growth([x for x in blocks if x["cell"]["data"] == name], key, "block").get(OURS, [])
        for name in names
    }
