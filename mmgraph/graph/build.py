"""One data set in, one graph out: which parts a graph has, and the building of all of them."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch_geometric.data import HeteroData

from mmgraph.errors import GraphError
from mmgraph.graph.bipartite import BipartiteEdges, bipartite_edges
from mmgraph.graph.cache import CacheEntry
from mmgraph.graph.cointeraction import cointeraction_graph
from mmgraph.graph.knn import Method, Metric, knn_search
from mmgraph.graph.knn.choice import APPROXIMATE
from mmgraph.graph.normalize import BipartiteNorm, CountNorm, EdgeNorm, normalize_edges
from mmgraph.graph.schema import (
    CO_ITEM,
    CO_USER,
    ITEM,
    ITEM_USER,
    USER,
    USER_ITEM,
    EdgeType,
    feature_key,
    knn_edge_type,
    presence_key,
)
from mmgraph.sizes import parse_size

if TYPE_CHECKING:
    from mmgraph.data.dataset import MultimodalDataset

Say = Callable[[str], None]
Advance = Callable[[float], None]


class GraphConfig(BaseModel):
    """What a graph holds besides the user-item edges, and how its edges are weighed.

    Attributes:
        k: Neighbours of each item in the nearest-neighbour graphs.
        metric: How features are compared.
        method: How neighbours are searched, see :func:`mmgraph.graph.knn_search`.
        min_recall: Share of the true neighbours that an approximate search must find; below 1
            it may be chosen.
        max_memory: Working memory of the neighbour search besides the features, such as "4GB".
        seed: Of an approximate search, and of the interactions that ``co_max_interactions`` keeps.
        include_self: Whether an item is one of its own ``k`` neighbours.
        edges: Item and user graphs to add.
        ui_norm: Normalisation of the user-item edges.
        knn_norm: Normalisation of the nearest-neighbour edges.
        co_normalize: How co-interaction counts become weights.
        co_item_top_k: Co-interaction edges kept for each item; all when None.
        co_user_top_k: The same for each user.
        co_max_interactions: Users (in user graphs: items) with more interactions count with a
            random subset of this many; no limit when None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    k: int = Field(default=10, ge=1, strict=True)
    metric: Metric = "cosine"
    method: Method = "auto"
    min_recall: float = Field(default=1.0, gt=0, le=1)
    max_memory: str | None = None
    seed: int = Field(default=0, ge=0, lt=2**31 - 1)
    include_self: bool = False
    edges: tuple[Literal["knn", "co_item", "co_user"], ...] = ("knn", "co_item", "co_user")
    ui_norm: BipartiteNorm = "sym"
    knn_norm: EdgeNorm = "none"
    co_normalize: CountNorm = "max"
    co_item_top_k: int | None = Field(default=None, ge=1)
    co_user_top_k: int | None = Field(default=10, ge=1)
    co_max_interactions: int | None = Field(default=None, ge=1)

    @field_validator("max_memory", mode="before")
    @classmethod
    def _check_size(cls, value: Any) -> Any:
        if value is not None:
            parse_size(str(value))
        return value

    @property
    def max_memory_bytes(self) -> int | None:
        """The value of ``max_memory`` in bytes.

        Example:
            >>> GraphConfig(max_memory="1.5GB").max_memory_bytes
            1500000000
        """
        return None if self.max_memory is None else parse_size(self.max_memory)


@dataclass
class BuildRecord:
    """What there is to say about a build besides its graph; an empty one is filled by ``build_graph``.

    Attributes:
        seconds: Seconds of each phase: ``cache`` (with a cache), ``features``, ``knn_<modality>``,
            ``co_item``, ``co_user``, ``assemble``; those of the building are missing when the
            cache had the graph.
        reports: Phase -> how its edges came about. Of a neighbour search what
            :meth:`KNNGraph.report` says: the method that ran, recall, searched items and items
            without edges, memory and seconds. Of co-interaction the way of counting and what
            ``co_max_interactions`` left out.
        cache: With a cache: ``key``, ``found`` (whether it had the graph) and ``problem`` (a
            sentence where an entry was damaged or could not be written); None without one.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    cache: dict[str, Any] | None = None

    def notes(self) -> list[str]:
        """Return what whoever uses the graph should know about it, as sentences."""
        return [
            f"{phase}: approximate neighbours by {report['method']}, recall {report['recall']:.4f} "
            "measured on a sample"
            for phase, report in self.reports.items()
            if report.get("recall", 1.0) < 1 or report["method"] in APPROXIMATE
        ]

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Note the seconds of a block."""
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def build_graph(
    dataset: "MultimodalDataset",
    config: GraphConfig | None = None,
    *,
    cache: str | Path | None = None,
    record: BuildRecord | None = None,
    progress: Say | None = None,
    advance: Advance | None = None,
) -> HeteroData:
    """Build the graph of a data set.

    Edges come from training interactions and features alone; what is held out for validation and
    test has no influence on a single byte.

    Args:
        dataset: The data set.
        config: What to build; the defaults when None.
        cache: Folder of graphs that were built before, made when missing; nothing is kept when
            None. A graph from it equals a fresh one byte for byte; what it is found by is said in
            :mod:`mmgraph.graph.cache`.
        record: An empty record, to be filled with seconds and reports.
        progress: Called with one line at the start of each phase.
        advance: Called with the share of the present neighbour search that is done.

    Returns:
        A graph that passes :func:`mmgraph.graph.check_graph`.

    Raises:
        GraphError: ``config.k`` does not fit the number of items, a feature is not finite, a search
            needs more than ``config.max_memory`` or finds less than ``config.min_recall``, or
            ``cache`` is no folder.

    Complexity:
        The nearest-neighbour graphs dominate: O(num_items^2 * dim) for each modality.

    Example:
        >>> from mmgraph.testing import checkerboard_dataset
        >>> record = BuildRecord()
        >>> graph = build_graph(checkerboard_dataset(), GraphConfig(k=3), record=record)
        >>> graph["item", "knn_text", "item"].num_edges, record.reports["knn_text"]["recall"]
        (36, 1.0)
    """
    config = config or GraphConfig()
    record = BuildRecord() if record is None else record
    say = progress or (lambda line: None)
    entry = None
    if cache is not None:
        with record.phase("cache"):
            entry = CacheEntry(cache, dataset, config)
    with record.phase("features"):
        say(f"features: {', '.join(dataset.features) or 'none'}")
        data = _without_edges(dataset)
    if entry is None:
        _add_edges(data, dataset, config, record, say, advance)
        return data
    with record.phase("cache"):
        say(f"cache: looking for {entry.path.name}")
        reports = entry.load_into(data)
    if reports is None:
        _add_edges(data, dataset, config, record, say, advance)
        with record.phase("cache"):
            say(f"cache: keeping {entry.path.name}")
            entry.save(data, graph_metadata(dataset, config, record=record))
    else:
        record.reports.update(reports)
    record.cache = {"key": entry.key, "found": reports is not None, "problem": entry.problem}
    return data


def graph_metadata(
    dataset: "MultimodalDataset", config: GraphConfig, *, record: BuildRecord | None = None
) -> dict[str, Any]:
    """Describe where a graph came from, in the form :func:`mmgraph.graph.save_graph` stores.

    Args:
        dataset: The data set the graph was built from.
        config: What was built.
        record: What :func:`build_graph` said about it.

    Returns:
        ``config``, ``config_hash``, ``inputs`` (name and hashes of the data set), ``seconds``,
        ``reports``, and ``cache`` when there was one.
    """
    record = record or BuildRecord()
    settings = config.model_dump(mode="json")
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return {
        "config": settings,
        "config_hash": hashlib.sha256(text.encode()).hexdigest(),
        "inputs": {
            "dataset": dataset.name,
            "content_hash": dataset.content_hash,
            "split_hash": dataset.split_hash,
            "features": {
                name: dict(features.provenance) for name, features in dataset.features.items()
            },
        },
        "seconds": dict(record.seconds),
        "reports": dict(record.reports),
        **({} if record.cache is None else {"cache": dict(record.cache)}),
    }


def set_bipartite(data: HeteroData, edges: BipartiteEdges) -> None:
    """Put both directions of the user-item edges, and the weights of the nodes, into a graph."""
    data[USER_ITEM].edge_index, data[USER_ITEM].edge_weight = edges.edge_index, edges.edge_weight
    data[ITEM_USER].edge_index = edges.rev_edge_index
    data[ITEM_USER].edge_weight = edges.rev_edge_weight
    if edges.user_self_weight is not None:
        data[USER].self_weight = edges.user_self_weight
        data[ITEM].self_weight = edges.item_self_weight


def _without_edges(dataset: "MultimodalDataset") -> HeteroData:
    data = HeteroData()
    data[USER].num_nodes, data[ITEM].num_nodes = dataset.num_users, dataset.num_items
    for modality, features in dataset.features.items():
        # One copy, whatever the type of the given matrix and wherever it lies.
        x, present = np.array(features.x, dtype=np.float32), np.array(features.present, dtype=bool)
        data[ITEM][feature_key(modality)] = torch.from_numpy(x)
        data[ITEM][presence_key(modality)] = torch.from_numpy(present)
    return data


def _add_edges(
    data: HeteroData,
    dataset: "MultimodalDataset",
    config: GraphConfig,
    record: BuildRecord,
    say: Say,
    advance: Advance | None,
) -> None:
    graphs: dict[EdgeType, tuple[torch.Tensor, torch.Tensor]] = {}
    for modality in dataset.features if "knn" in config.edges else ():
        with record.phase(f"knn_{modality}"):
            present = int(data[ITEM][presence_key(modality)].sum())
            say(f"knn_{modality}: {present} of {dataset.num_items} items, k={config.k}")
            graphs[knn_edge_type(modality)] = _knn(data, modality, config, record, advance)
    top_k = {"item": config.co_item_top_k, "user": config.co_user_top_k}
    sides: tuple[tuple[Literal["item", "user"], EdgeType], ...] = (
        ("item", CO_ITEM),
        ("user", CO_USER),
    )
    pairs: dict[str, Any] = {"user": dataset.train.user, "item": dataset.train.item}
    pairs |= {"num_users": dataset.num_users, "num_items": dataset.num_items}
    for side, edge_type in sides:
        if f"co_{side}" in config.edges:
            with record.phase(f"co_{side}"):
                say(f"co_{side}: {len(dataset.train.user)} training interactions")
                graphs[edge_type] = cointeraction_graph(
                    **pairs,
                    side=side,
                    top_k=top_k[side],
                    normalize=config.co_normalize,
                    max_interactions=config.co_max_interactions,
                    seed=config.seed,
                    report=record.reports.setdefault(f"co_{side}", {}),
                )
    with record.phase("assemble"):
        say("assemble")
        set_bipartite(data, bipartite_edges(**pairs, norm=config.ui_norm))
        for edge_type, (edge_index, edge_weight) in graphs.items():
            data[edge_type].edge_index, data[edge_type].edge_weight = edge_index, edge_weight
        data.validate()


def _knn(
    data: HeteroData,
    modality: str,
    config: GraphConfig,
    record: BuildRecord,
    advance: Advance | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    try:
        found = knn_search(
            data[ITEM][feature_key(modality)],
            config.k,
            metric=config.metric,
            method=config.method,
            include_self=config.include_self,
            mask=data[ITEM][presence_key(modality)],
            min_recall=config.min_recall,
            max_memory=config.max_memory_bytes,
            seed=config.seed,
            progress=advance,
        )
    except GraphError as error:
        raise GraphError(f"modality {modality!r}: {error}") from error
    record.reports[f"knn_{modality}"] = found.report()
    edge_index = found.edge_index
    return edge_index, normalize_edges(
        edge_index, found.edge_weight, data[ITEM].num_nodes, config.knn_norm
    )
