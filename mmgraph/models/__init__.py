"""Graph recommenders: one paper, one file. ``MODELS`` is the table of all of them."""

from importlib import import_module
from typing import TYPE_CHECKING

from mmgraph.errors import ConfigError, nearest

if TYPE_CHECKING:
    from mmgraph.models.base import Recommender

MODELS = {
    "bm3": "mmgraph.models.bm3:BM3",
    "bpr_mf": "mmgraph.models.bpr_mf:BPRMF",
    "cb": "mmgraph.models.cb:CB",
    "cm3": "mmgraph.models.cm3:CM3",
    "dragon": "mmgraph.models.dragon:DRAGON",
    "dualgnn": "mmgraph.models.dualgnn:DualGNN",
    "freedom": "mmgraph.models.freedom:FREEDOM",
    "grcn": "mmgraph.models.grcn:GRCN",
    "lattice": "mmgraph.models.lattice:LATTICE",
    "lgmrec": "mmgraph.models.lgmrec:LGMRec",
    "lightgcn": "mmgraph.models.lightgcn:LightGCN",
    "lirdrec": "mmgraph.models.lirdrec:LIRDRec",
    "maml": "mmgraph.models.maml:MAML",
    "margo": "mmgraph.models.margo:MARGO",
    "mario": "mmgraph.models.mario:MARIO",
    "mgcn": "mmgraph.models.mgcn:MGCN",
    "micro": "mmgraph.models.micro:MICRO",
    "mm_gef": "mmgraph.models.mm_gef:MMGEF",
    "mmgcn": "mmgraph.models.mmgcn:MMGCN",
    "nbpo": "mmgraph.models.nbpo:NBPO",
    "ngcf": "mmgraph.models.ngcf:NGCF",
    "slmrec": "mmgraph.models.slmrec:SLMRec",
    "vbpr": "mmgraph.models.vbpr:VBPR",
}

__all__ = ["MODELS", "get_model"]


def get_model(name: str, *, key: str = "model.name") -> "type[Recommender]":
    """Return the class of a model by its name on the command line.

    Args:
        name: As in ``MODELS``.
        key: Where the name stands, for the message.

    Raises:
        ConfigError: no model has this name.

    Example:
        >>> get_model("lightgcn").__name__
        'LightGCN'
    """
    if name not in MODELS:
        raise ConfigError(f"{key} must be a known model (got {name!r}){nearest(name, MODELS)}")
    module, class_name = MODELS[name].split(":")
    model: type[Recommender] = getattr(import_module(module), class_name)
    return model
