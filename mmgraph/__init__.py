"""mmgraph: graphs from raw multimodal features, graph recommenders on them, and honest measurements of both.

The public names below are loaded on first use, so ``import mmgraph`` costs nothing.

Example:
    >>> import mmgraph
    >>> dataset = mmgraph.load_dataset("movielens-small")
    >>> dataset.num_users, dataset.num_items
    (659, 2078)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "load_dataset": "mmgraph.data",
    "MultimodalDataset": "mmgraph.data",
    "build_graph": "mmgraph.graph",
    "GraphConfig": "mmgraph.graph",
    "knn_graph": "mmgraph.graph",
    "cointeraction_graph": "mmgraph.graph",
    "MODELS": "mmgraph.models",
    "Recipe": "mmgraph.config",
    "train": "mmgraph.experiment",
    "evaluate": "mmgraph.experiment",
    "load_run": "mmgraph.experiment",
    "recommend": "mmgraph.export",
}

__all__ = [*sorted(_PUBLIC), "__version__"]

if TYPE_CHECKING:
    from mmgraph.config import Recipe
    from mmgraph.data import MultimodalDataset, load_dataset
    from mmgraph.experiment import evaluate, load_run, train
    from mmgraph.export import recommend
    from mmgraph.graph import GraphConfig, build_graph, cointeraction_graph, knn_graph
    from mmgraph.models import MODELS


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'mmgraph' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
