"""Graph recommenders: one paper, one file. ``MODELS`` is the table of all of them."""

from importlib import import_module
from typing import TYPE_CHECKING

from mmgraph.errors import ConfigError, nearest

if TYPE_CHECKING:
    from mmgraph.models.base import Recommender

MODELS = {
    "bpr_mf": "mmgraph.models.bpr_mf:BPRMF",
    "cb": "mmgraph.models.cb:CB",
    "dragon": "mmgraph.models.dragon:DRAGON",
    "freedom": "mmgraph.models.freedom:FREEDOM",
    "lattice": "mmgraph.models.lattice:LATTICE",
    "lightgcn": "mmgraph.models.lightgcn:LightGCN",
    "margo": "mmgraph.models.margo:MARGO",
    "mario": "mmgraph.models.mario:MARIO",
    "mm_gef": "mmgraph.models.mm_gef:MMGEF",
    "ngcf": "mmgraph.models.ngcf:NGCF",
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
