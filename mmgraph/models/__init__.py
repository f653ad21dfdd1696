"""Graph recommenders: one paper, one file. ``MODELS`` is the table of all of them."""

from importlib import import_module
from typing import TYPE_CHECKING

from mmgraph.errors import ConfigError, nearest

if TYPE_CHECKING:
    from mmgraph.models.base import Recommender

MODELS = {
    "bpr_mf": "mmgraph.models.bpr_mf:BPRMF",
    "dragon": "mmgraph.models.dragon:DRAGON",
    "freedom": "mmgraph.models.freedom:FREEDOM",
    "lattice": "mmgraph.models.lattice:LATTICE",
    "lightgcn": "mmgraph.models.lightgcn:LightGCN",
    "mm_gef": "mmgraph.models.mm_gef:MMGEF",
    "ngcf": "mmgraph.models.ngcf:NGCF",
    "vbpr": "mmgraph.models.vbpr:VBPR",
}

__all__ = ["MODELS", "get_model"]


def get_model(name: str) -> "type[Recommender]":
    """Return the class of a model by its name on the command line.

    Raises:
        ConfigError: no model has this name.

    Example:
        >>> get_model("lightgcn").__name__
        'LightGCN'
    """
    if name not in MODELS:
        raise ConfigError(f"model.name must be a known model (got {name!r}){nearest(name, MODELS)}")
    module, class_name = MODELS[name].split(":")
    model: type[Recommender] = getattr(import_module(module), class_name)
    return model
