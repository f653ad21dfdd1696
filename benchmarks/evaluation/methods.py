"""The table of methods: where each is."""

from benchmarks.cells import OURS, PLAIN
from benchmarks.methods import Method

METHODS: dict[str, dict[str, Method]] = {
    "ranking": {
        OURS: Method("benchmarks.evaluation.ways:OurRanking"),
        PLAIN: Method("benchmarks.evaluation.ways:PlainRanking"),
    }
}
BASELINES: dict[str, tuple[str, ...]] = {"ranking": (PLAIN,)}
"""Whose seconds are divided by those of the others of a cell."""
