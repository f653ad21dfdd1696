"""The nearest-neighbour graph of one feature matrix: search, exact scores, canonical edges."""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmgraph.errors import GraphError, nearest
from mmgraph.graph.knn.canonical import choose, exact_scores, stored_order
from mmgraph.graph.knn.rows import FeatureRows, Metric, build_rows, drop_copies, read_matrix
from mmgraph.graph.knn.search import find_candidates

Method = Literal["auto", "flat"]


def knn_graph(
    x: NDArray[Any] | Tensor,
    k: int,
    *,
    metric: Metric = "cosine",
    method: Method = "auto",
    include_self: bool = False,
    mask: NDArray[np.bool_] | Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Connect every item to the ``k`` items whose features are nearest.

    The graph is exact and reproducible to the byte: FAISS finds candidates in float32, more than
    are needed; those that can still matter within the rounding error are scored again in float64
    from the rows as given, and chosen by (score descending, number ascending). Block sizes and
    thread counts change nothing.

    Lists are directed: the source of an edge is the neighbour, its target the item whose list it
    is. The choice has no gradient; a model that learns its features takes the edges of
    ``x.detach()`` and weighs them anew.

    Args:
        x: Features, one row for each item: numpy (a memory map and float16 too) or tensor on any
            device.
        k: Edges of each item.
        metric: ``cosine`` weighs by cosine; rows of zeros count as absent. ``inner_product`` weighs
            by the product. ``l2`` takes the smallest distances and weighs by ``1 / (1 +
            distance)``.
        method: ``flat`` compares all pairs; ``auto`` chooses the method and is the same for now.
        include_self: Whether an item is its own neighbour. If so, that edge is always there and is
            one of the ``k``.
        mask: True for the items that have the feature. The others get no edges at all, and their
            rows are not looked at.

    Returns:
        ``edge_index`` and ``edge_weight`` on the device of ``x``, sorted by target then source.

    Shapes:
        x (num_items, dim), mask (num_items,), edge_index (2, k * present items) int64, edge_weight
        float32.

    Raises:
        GraphError: ``k`` does not fit the number of items, a row is not finite, or an argument is
            none of its choices.

    Complexity:
        O(num_items^2 * dim) time; memory of one float32 copy of the features and O(k * num_items).

    Example:
        >>> x = np.array([[1.0, 0.0], [2.0, 0.1], [0.0, 3.0]], dtype=np.float32)
        >>> edge_index, edge_weight = knn_graph(x, 1)
        >>> edge_index.tolist()
        [[1, 0, 1], [0, 1, 2]]
    """
    _check_choice("metric", metric, ("cosine", "inner_product", "l2"))
    _check_choice("method", method, ("auto", "flat"))
    source = read_matrix(x)
    _check_k(k, len(source), "num_items", "items")
    present = _present(mask, len(source))
    _check_k(
        k, len(present), "the number of items that have the feature", "items that have the feature"
    )
    rows = build_rows(source, present, metric)
    _check_k(
        k, len(rows), "the number of items that have the feature", "items that have the feature"
    )
    neighbour, target, score = _neighbours(rows, k - 1 if include_self else k)
    if include_self:
        every = np.arange(len(rows))
        neighbour, target = np.concatenate([neighbour, every]), np.concatenate([target, every])
        score = np.concatenate([score, exact_scores(rows, every, every)])
    order = stored_order(target, neighbour)
    edge_index = rows.present[np.stack([neighbour[order], target[order]])]
    weight = 1 / (1 + np.sqrt(-score[order])) if metric == "l2" else score[order]
    if np.abs(weight).max() > np.finfo(np.float32).max:
        raise GraphError(
            "inner products must fit into float32; rescale the features or use metric='cosine'"
        )
    device = x.device if isinstance(x, Tensor) else torch.device("cpu")
    return torch.from_numpy(edge_index).to(device), torch.from_numpy(weight.astype(np.float32)).to(
        device
    )


def _neighbours(
    rows: FeatureRows, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return neighbour, target and score of the ``count`` nearest other rows of every row."""
    neighbours, targets, scores = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)]
    if count:
        # One copy more than can be chosen, because the row itself may be among the copies.
        for query, item in find_candidates(rows, drop_copies(rows, count + 1), count):
            score = exact_scores(rows, query, item)
            chosen = choose(query, item, score, count)
            neighbours.append(item[chosen])
            targets.append(query[chosen])
            scores.append(score[chosen])
    return np.concatenate(neighbours), np.concatenate(targets), np.concatenate(scores)


def _present(mask: NDArray[np.bool_] | Tensor | None, num_items: int) -> NDArray[np.int64]:
    if mask is None:
        return np.arange(num_items)
    values = mask.detach().cpu().numpy() if isinstance(mask, Tensor) else np.asarray(mask)
    if values.dtype != np.bool_ or values.shape != (num_items,):
        raise GraphError(
            f"mask must be bool of shape ({num_items},) (got {values.dtype} of shape "
            f"{values.shape})"
        )
    return np.flatnonzero(values)


def _check_k(k: int, available: int, rule: str, noun: str) -> None:
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise GraphError(f"k must be a whole number (got {k!r})")
    if not 1 <= k < available:
        raise GraphError(
            f"k must be between 1 and {rule} - 1 (got {k} with {available} {noun}); "
            f"{'raise' if k < 1 else 'lower'} graph.k"
        )


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise GraphError(
            f"{name} must be one of {', '.join(known)} (got {value!r}){nearest(str(value), known)}"
        )
