"""What an analysis needs of a run, and which models could give it."""

import numpy as np
from numpy.typing import NDArray

from mmgraph.data import MultimodalDataset
from mmgraph.errors import ConfigError
from mmgraph.models import MODELS, get_model
from mmgraph.models.base import Recommender
from mmgraph.run import Run


def models_with(*methods: str) -> list[str]:
    """Return the names of the registered models that define one of some methods in their own way.

    Example:
        >>> "lightgcn" in models_with("encode"), models_with("no_such_method")
        (True, [])
    """
    return [name for name in MODELS if _defines(get_model(name), methods)]


def check_run(run: Run) -> None:
    """Refuse a run that is not complete.

    Raises:
        ConfigError: training has not ended.
    """
    run.check_complete("an analysis")


def check_model(run: Run, what: str, *methods: str) -> None:
    """Refuse a run whose model can never answer, before its data are read.

    Args:
        run: The run.
        what: What is needed, as a reader calls it.
        methods: One of them must be the model's own.

    Raises:
        ConfigError: the model has none of them; the message names the models that have.
    """
    if not _defines(get_model(run.recipe.model.name), methods):
        raise missing(run, what, *methods)


def missing(run: Run, what: str, *methods: str) -> ConfigError:
    """Return the error for a model that cannot answer, which names those that can."""
    name = run.recipe.model.name
    able = models_with(*methods)
    configured = ""
    remedy = f"give a run of {', '.join(able)}" if able else "no registered model has them yet"
    if name in able:
        configured = " as it is configured here"
        remedy = "train it with other options or more modalities"
    return ConfigError(
        f"{run.path}: the model of the run must have {what} (got {name}, which has none{configured}); {remedy}"
    )


def item_degrees(data: MultimodalDataset) -> NDArray[np.int64]:
    """Return the number of training interactions of each item; (num_items,)."""
    return np.bincount(data.train.item, minlength=data.num_items).astype(np.int64)


def item_names(data: MultimodalDataset, item: int) -> dict[str, str]:
    """Return the external id and the title of an item; the title is empty where it is unknown."""
    return {"item": data.items.ids[item], "title": data.titles[item] if data.titles else ""}


def _defines(model: type[Recommender], methods: tuple[str, ...]) -> bool:
    return any(
        getattr(model, method, None) is not getattr(Recommender, method, None) for method in methods
    )
