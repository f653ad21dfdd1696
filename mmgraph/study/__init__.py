"""Studies: many runs that answer one question - which model, which part of it, which setting.

A study is a list of settings, each trained with the same seeds in run folders of its own. It can be interrupted and
asked for again: complete runs are only read, begun ones go on. ``compare`` tests recipes against each other, ``ablate``
a recipe against itself without its parts, ``sweep`` chooses a setting on the validation part.
"""

from mmgraph.study.ablation import ablate
from mmgraph.study.comparison import compare
from mmgraph.study.plan import FIRST_SEED
from mmgraph.study.pool import StudyObserver
from mmgraph.study.selection import sweep
from mmgraph.study.trial import Event, Place, Trial

__all__ = [
    "FIRST_SEED",
    "Event",
    "Place",
    "StudyObserver",
    "Trial",
    "ablate",
    "compare",
    "sweep",
]
