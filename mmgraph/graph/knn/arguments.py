"""The arguments of a nearest-neighbour search, checked: every rule, value and remedy in one line."""

from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mmgraph.errors import GraphError, nearest
from mmgraph.graph.knn.choice import Method
from mmgraph.graph.knn.nndescent import check_usable
from mmgraph.graph.knn.rows import Metric


def present_items(mask: NDArray[np.bool_] | Tensor | None, num_items: int) -> NDArray[np.int64]:
    """Return the items that a mask lets take part."""
    if mask is None:
        return np.arange(num_items)
    values = mask.detach().cpu().numpy() if isinstance(mask, Tensor) else np.asarray(mask)
    if values.dtype != np.bool_ or values.shape != (num_items,):
        raise GraphError(
            f"mask must be bool of shape ({num_items},) (got {values.dtype} of shape "
            f"{values.shape}); one value for each item, True where it has the feature"
        )
    return np.flatnonzero(values)


def wanted_items(
    targets: NDArray[np.integer[Any]] | Tensor | None, num_items: int
) -> NDArray[np.bool_]:
    """Return for each item whether its list is wanted; all are when nothing is said."""
    if targets is None:
        return np.ones(num_items, dtype=bool)
    values = targets.detach().cpu().numpy() if isinstance(targets, Tensor) else np.asarray(targets)
    if values.size and (values.ndim != 1 or values.dtype.kind not in "iu"):
        raise GraphError(
            f"targets must be item numbers in one row (got {values.dtype} of shape "
            f"{values.shape}); use np.flatnonzero for a mask"
        )
    wrong = np.flatnonzero((values < 0) | (values >= num_items))
    if len(wrong):
        raise GraphError(
            f"targets must lie between 0 and num_items - 1 (got {values[wrong[0]]} with "
            f"{num_items} items)"
        )
    wanted = np.zeros(num_items, dtype=bool)
    wanted[values.astype(np.int64)] = True
    return wanted


def check_k(k: int, available: int, rule: str, noun: str) -> None:
    """Refuse a ``k`` that does not fit the number of items."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise GraphError(f"k must be a whole number (got {k!r}); such as 10")
    if not 1 <= k < available:
        raise GraphError(
            f"k must be between 1 and {rule} - 1 (got {k} with {available} {noun}); "
            f"{'raise' if k < 1 else 'lower'} graph.k"
        )


def check_arguments(
    metric: Metric, method: Method, min_recall: float, max_memory: int | None, seed: int
) -> None:
    """Refuse names that are none of the choices or do not go together, and numbers out of range."""
    for name, value, known in (
        ("metric", metric, get_args(Metric)),
        ("method", method, get_args(Method)),
    ):
        if value not in known:
            raise GraphError(
                f"{name} must be one of {', '.join(known)} (got {value!r})"
                f"{nearest(str(value), known)}"
            )
    if method == "nndescent":
        check_usable(metric)
    if not isinstance(min_recall, int | float) or not 0 < min_recall <= 1:
        raise GraphError(
            f"min_recall must be a number above 0 and at most 1 (got {min_recall!r}); 1 is exact"
        )
    for name, number, least in (("max_memory", max_memory, 1), ("seed", seed, 0)):
        if number is None:
            continue
        whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
        if not whole or not least <= number < 2**62 or (name == "seed" and number >= 2**31 - 1):
            rule = "from 1 on" if name == "max_memory" else "between 0 and 2147483646"
            raise GraphError(f"{name} must be a whole number {rule} (got {number!r})")
