"""The nearest-neighbour graph of one feature matrix: search, exact scores, canonical edges."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmgraph.errors import GraphError
from mmgraph.graph.knn.arguments import check_arguments, check_k, present_items, wanted_items
from mmgraph.graph.knn.canonical import Lists, copied_lists, exact_scores, join_lists
from mmgraph.graph.knn.choice import Method, choose_method
from mmgraph.graph.knn.lists import Clock, Search
from mmgraph.graph.knn.rows import FeatureRows, Metric, build_rows, find_copies, read_matrix

Progress = Callable[[float], None]

_THERE = "items that have the feature"


@dataclass(frozen=True)
class KNNGraph:
    """A nearest-neighbour graph and how it came about.

    Attributes:
        edge_index: Edges, the neighbour in row 0 and the item whose list it is in row 1, sorted by
            target then source.
        edge_weight: Their weights, float32.
        method: The one that was chosen: ``join``, ``flat``, ``ivf``, ``hnsw`` or ``nndescent``.
        precision: Type of the products that filtered candidates; all scores are float64.
        recall: Share of the exact neighbours that were found; one for exact methods, otherwise
            measured on a sample of items.
        num_searched: Items that take part.
        num_without_edges: Items without edges: masked ones and, under cosine, rows of zeros.
        num_left_over: Items that the method could not serve, too many others being too near or too
            few being near at all; they were compared by FAISS and in float64.
        memory: Upper estimate of the bytes used beyond the features as given.
        seconds: Seconds of each phase.
    """

    edge_index: Tensor
    edge_weight: Tensor
    method: str
    precision: str
    recall: float
    num_searched: int
    num_without_edges: int
    num_left_over: int
    memory: int
    seconds: Mapping[str, float]

    def report(self) -> dict[str, Any]:
        """Return everything but the edges, as JSON values."""
        facts = {
            name: value
            for name, value in vars(self).items()
            if name not in ("edge_index", "edge_weight")
        }
        return {**facts, "seconds": dict(self.seconds)}


def knn_graph(
    x: NDArray[Any] | Tensor,
    k: int,
    *,
    metric: Metric = "cosine",
    method: Method = "auto",
    include_self: bool = False,
    mask: NDArray[np.bool_] | Tensor | None = None,
    targets: NDArray[np.integer[Any]] | Tensor | None = None,
    min_recall: float = 1.0,
    max_memory: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Tensor, Tensor]:
    """Connect every item to the ``k`` items whose features are nearest.

    The edges of :func:`knn_search`, which takes the same arguments and also tells how they were
    found.

    Returns:
        ``edge_index`` and ``edge_weight`` on the device of ``x``, sorted by target then source.

    Shapes:
        x (num_items, dim), mask (num_items,), edge_index (2, k * present items) int64, edge_weight
        float32.

    Raises:
        GraphError: See :func:`knn_search`.

    Example:
        >>> x = np.array([[1.0, 0.0], [2.0, 0.1], [0.0, 3.0]], dtype=np.float32)
        >>> edge_index, edge_weight = knn_graph(x, 1)
        >>> edge_index.tolist()
        [[1, 0, 1], [0, 1, 2]]
    """
    graph = knn_search(
        x,
        k,
        metric=metric,
        method=method,
        include_self=include_self,
        mask=mask,
        targets=targets,
        min_recall=min_recall,
        max_memory=max_memory,
        seed=seed,
        progress=progress,
    )
    return graph.edge_index, graph.edge_weight


def knn_search(
    x: NDArray[Any] | Tensor,
    k: int,
    *,
    metric: Metric = "cosine",
    method: Method = "auto",
    include_self: bool = False,
    mask: NDArray[np.bool_] | Tensor | None = None,
    targets: NDArray[np.integer[Any]] | Tensor | None = None,
    min_recall: float = 1.0,
    max_memory: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> KNNGraph:
    """Build the nearest-neighbour graph of a feature matrix, and tell how.

    Exact graphs are reproducible to the byte. A fast search in low precision finds candidates, more
    than are needed; those that can still matter within its rounding error are scored again in
    float64 from the rows as given, and chosen by (score descending, number ascending). Block sizes,
    thread counts and the division into ``targets`` change nothing. Approximate graphs score and
    choose in the same way among the candidates they found.

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
        method: ``join`` compares half of all pairs in low precision, ``flat`` all of them with
            FAISS; ``exact`` is the one that is faster here. ``ivf`` compares items with those of
            near clusters, ``hnsw`` walks FAISS's graph, ``nndescent`` (of the optional pynndescent;
            not for inner products) compares them with the neighbours of their neighbours; these are
            approximate. ``auto`` is ``exact`` unless there are more than 250,000 items and
            ``min_recall`` is below one: then ``nndescent`` where it can be used, saves more time than
            its compilation takes and finds enough, else ``ivf``.
        include_self: Whether an item is its own neighbour. If so, that edge is always there and is
            one of the ``k``.
        mask: True for the items that have the feature. The others get no edges at all, and their
            rows are not looked at.
        targets: Items whose lists are wanted, all when None. The lists of parts, put together, are
            the whole.
        min_recall: Share of the exact neighbours that an approximate search must find, measured on
            a sample; approximate ways choose their effort by it.
        max_memory: Bytes that the search may use beyond the features as given; no limit when None.
        seed: For approximate searches.
        progress: Called with the share of the search that is done, perhaps by another thread, but by
            one at a time; begins anew for items that the method leaves over.

    Returns:
        The graph.

    Raises:
        GraphError: ``k`` does not fit the number of items, rows are not finite, ``max_memory`` is
            too little, ``min_recall`` was not reached, or an argument is none of its choices.
        MissingDependency: ``nndescent`` was asked for and pynndescent is not installed.

    Complexity:
        Exact: O(num_items^2 * dim) time; memory of one copy of the features in low precision, of
        O(k * num_items) and of one block.

    Example:
        >>> x = np.array([[1.0, 0.0], [2.0, 0.1], [0.0, 3.0]], dtype=np.float32)
        >>> graph = knn_search(x, 1)
        >>> graph.method, graph.recall, graph.num_searched
        ('flat', 1.0, 3)
    """
    clock = Clock()
    check_arguments(metric, method, min_recall, max_memory, seed)
    source = read_matrix(x)
    check_k(k, len(source), "num_items", "items")
    present = present_items(mask, len(source))
    check_k(k, len(present), f"the number of {_THERE}", _THERE)
    wanted = wanted_items(targets, len(source))
    rows = build_rows(source, present, metric)
    check_k(k, len(rows), f"the number of {_THERE}", _THERE)
    count = k - 1 if include_self else k
    is_target = wanted[rows.present]
    # One copy more than can be chosen, because a row itself may be among the copies.
    kept, copies, first = find_copies(rows, count + 1)
    copies, first = copies[is_target[copies]], first[is_target[copies]]
    searched = rows.select(kept)
    asked = np.flatnonzero(is_target[kept] | np.isin(kept, first))
    device = x.device if isinstance(x, Tensor) else torch.device("cpu")
    plan = choose_method(
        method,
        num_rows=len(searched),
        num_targets=len(asked),
        dim=rows.dim,
        count=count,
        metric=metric,
        device=device,
        min_recall=min_recall,
        max_memory=max_memory,
    )
    clock.lap("prepare")
    search = Search(searched, asked, count, plan, device, min_recall, max_memory, seed, progress)
    found, recall = search.run(clock)
    lists = _of_all(rows, found, kept, copies, first, is_target)
    edge_index, edge_weight = _edges(rows, lists, include_self=include_self)
    clock.lap("edges")
    return KNNGraph(
        edge_index=edge_index.to(device),
        edge_weight=edge_weight.to(device),
        method=search.plan.method,
        precision=search.plan.precision,
        recall=recall,
        num_searched=len(rows),
        num_without_edges=len(source) - len(rows),
        num_left_over=search.num_left_over,
        memory=search.plan.memory,
        seconds=clock.seconds,
    )


def _of_all(
    rows: FeatureRows,
    found: Lists,
    kept: NDArray[np.int64],
    copies: NDArray[np.int64],
    first: NDArray[np.int64],
    is_target: NDArray[np.bool_],
) -> Lists:
    """Return the lists of the targets, numbered as all rows are, among them those of the copies."""
    lists = Lists(kept[found.query], kept[found.item], found.score)
    if len(copies):
        own = exact_scores(rows, first, first)
        lists = join_lists([lists, copied_lists(lists, copies, first, own)])
    return lists.take(is_target[lists.query])


def _edges(rows: FeatureRows, lists: Lists, *, include_self: bool) -> tuple[Tensor, Tensor]:
    """Return the edges of lists, by target then source."""
    query, item, score = lists
    if include_self:
        item = np.concatenate([item, query[:, None]], axis=1)
        score = np.concatenate([score, exact_scores(rows, query, query)[:, None]], axis=1)
    order = np.argsort(item, axis=1)
    item = np.take_along_axis(item, order, axis=1)
    score = np.take_along_axis(score, order, axis=1).ravel()
    weight = 1 / (1 + np.sqrt(-score)) if rows.metric == "l2" else score
    if np.abs(weight).max(initial=0.0) > np.finfo(np.float32).max:
        raise GraphError(
            "inner products must fit into float32; rescale the features or use metric='cosine'"
        )
    edge_index = rows.present[np.stack([item.ravel(), np.repeat(query, item.shape[1])])]
    return torch.from_numpy(edge_index), torch.from_numpy(weight.astype(np.float32))
