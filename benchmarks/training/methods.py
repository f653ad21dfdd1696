"""The table of methods: where each is, with which settings, and what it needs."""

from benchmarks.cells import OURS, PLAIN
from benchmarks.methods import Method
from mmgraph.sparse import available_backends

_BACKEND = "benchmarks.training.products:backend_product"

METHODS: dict[str, dict[str, Method]] = {
    "epoch": {
        OURS: Method("benchmarks.training.ways:OurEpoch"),
        PLAIN: Method("benchmarks.training.ways:PlainEpoch"),
    },
    "step": {
        OURS: Method("benchmarks.training.steps:OurSteps"),
        "bfloat16": Method("benchmarks.training.steps:OurSteps", {"precision": "bfloat16"}),
        PLAIN: Method("benchmarks.training.steps:PlainSteps"),
    },
    "system": {
        OURS: Method("benchmarks.training.systems:NamedSampler"),
        PLAIN: Method("benchmarks.rivals.plain_system:OneByOneSampler"),
    },
    "product": {
        OURS: Method(_BACKEND),
        **{name: Method(_BACKEND, {"backend": name}) for name in available_backends()},
        "pyg-lgconv": Method("benchmarks.training.products:pyg_product"),
        "torch-coo": Method("benchmarks.training.products:coo_product"),
    },
    "fit": {
        "float32": Method("benchmarks.training.ways:OurFit", {"precision": "float32"}),
        "bfloat16": Method("benchmarks.training.ways:OurFit", {"precision": "bfloat16"}),
    },
}
BASELINES: dict[str, tuple[str, ...]] = {
    "epoch": (PLAIN,),
    "step": (PLAIN,),
    "system": (PLAIN,),
    "product": (OURS,),
    "fit": ("float32",),
}
"""Whose seconds are divided by those of the others of a cell."""
