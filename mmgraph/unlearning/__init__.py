"""Unlearning: from a trained run and a request to a run whose files hold nothing of what was asked to be forgotten.

Read in this order: ``request`` (what is to be forgotten), ``retain`` and ``places`` (the data set, graph and weights
without it), ``objective``, ``forget_pairs``, ``draws`` and ``fit`` (how a model unlearns), ``record`` (the new run),
``measures`` and ``report`` (what it has come to), and ``procedure``, which joins them.
"""

from mmgraph.unlearning.procedure import Unlearning, unlearn
from mmgraph.unlearning.settings import UnlearningConfig

__all__ = ["Unlearning", "UnlearningConfig", "unlearn"]
