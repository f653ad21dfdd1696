"""One data set in, one graph out: which parts a graph has, and the building of all of them."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch_geometric.data import HeteroData

from mmgraph.errors import GraphError
from mmgraph.graph.bipartite import bipartite_edges
from mmgraph.graph.cointeraction import cointeraction_graph
from mmgraph.graph.knn import knn_graph
from mmgraph.graph.normalize import normalize_edges
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

if TYPE_CHECKING:
    from mmgraph.data.dataset import MultimodalDataset


class GraphConfig(BaseModel):
    """What a graph holds besides the user-item edges, and how its edges are weighed.

    Attributes:
        k: Neighbours of each item in the nearest-neighbour graphs.
        metric: How features are compared.
        method: How neighbours are searched.
        include_self: Whether an item is one of its own ``k`` neighbours.
        edges: Item and user graphs to add.
        ui_norm: Normalisation of the user-item edges.
        knn_norm: Normalisation of the nearest-neighbour edges.
        co_normalize: How co-interaction counts become weights.
        co_item_top_k: Co-interaction edges kept for each item; all when None.
        co_user_top_k: The same for each user.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    k: int = 10
    metric: Literal["cosine", "inner_product", "l2"] = "cosine"
    method: Literal["auto", "flat"] = "auto"
    include_self: bool = False
    edges: tuple[Literal["knn", "co_item", "co_user"], ...] = ("knn", "co_item", "co_user")
    ui_norm: Literal["sym", "rw", "rw_self", "none"] = "sym"
    knn_norm: Literal["none", "sym", "row"] = "none"
    co_normalize: Literal["none", "max", "row_max", "sym", "cosine", "jaccard"] = "max"
    co_item_top_k: int | None = Field(default=None, ge=1)
    co_user_top_k: int | None = Field(default=10, ge=1)


def build_graph(
    dataset: "MultimodalDataset",
    config: GraphConfig | None = None,
    *,
    timings: dict[str, float] | None = None,
    progress: Callable[[str], None] | None = None,
) -> HeteroData:
    """Build the graph of a data set.

    Edges come from training interactions and features alone; what is held out for validation and
    test has no influence on a single byte.

    Args:
        dataset: The data set.
        config: What to build; the defaults when None.
        timings: Receives the seconds of each phase: ``features``, ``knn_<modality>``, ``co_item``,
            ``co_user``, ``assemble``.
        progress: Called with one line at the start of each phase.

    Returns:
        A graph that passes :func:`mmgraph.graph.check_graph`.

    Raises:
        GraphError: ``config.k`` does not fit the number of items, or a feature is not finite.

    Complexity:
        The nearest-neighbour graphs dominate: O(num_items^2 * dim) for each modality.
    """
    config = config or GraphConfig()
    timings = {} if timings is None else timings
    say = progress or (lambda line: None)
    num_users, num_items = dataset.num_users, dataset.num_items
    data = HeteroData()
    data[USER].num_nodes, data[ITEM].num_nodes = num_users, num_items
    with _phase(timings, "features"):
        say(f"features: {', '.join(dataset.features) or 'none'}")
        for modality, features in dataset.features.items():
            data[ITEM][feature_key(modality)] = torch.from_numpy(
                np.array(features.x, dtype=np.float32)
            )
            data[ITEM][presence_key(modality)] = torch.from_numpy(
                np.array(features.present, dtype=bool)
            )
    graphs: dict[EdgeType, tuple[torch.Tensor, torch.Tensor]] = {}
    for modality in dataset.features if "knn" in config.edges else ():
        with _phase(timings, f"knn_{modality}"):
            say(
                f"knn_{modality}: {int(data[ITEM][presence_key(modality)].sum())} of {num_items} "
                f"items, k={config.k}"
            )
            graphs[knn_edge_type(modality)] = _knn(data, modality, config)
    top_k = {"item": config.co_item_top_k, "user": config.co_user_top_k}
    sides: tuple[tuple[Literal["item", "user"], EdgeType], ...] = (
        ("item", CO_ITEM),
        ("user", CO_USER),
    )
    for side, edge_type in sides:
        if f"co_{side}" in config.edges:
            with _phase(timings, f"co_{side}"):
                say(f"co_{side}: {len(dataset.train.user)} training interactions")
                graphs[edge_type] = cointeraction_graph(
                    dataset.train.user,
                    dataset.train.item,
                    num_users=num_users,
                    num_items=num_items,
                    side=side,
                    top_k=top_k[side],
                    normalize=config.co_normalize,
                )
    with _phase(timings, "assemble"):
        say("assemble")
        _add_bipartite(data, dataset, config)
        for edge_type, (edge_index, edge_weight) in graphs.items():
            data[edge_type].edge_index, data[edge_type].edge_weight = edge_index, edge_weight
        data.validate()
    return data


def graph_metadata(
    dataset: "MultimodalDataset", config: GraphConfig, *, timings: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Describe where a graph came from, in the form :func:`mmgraph.graph.save_graph` stores.

    Args:
        dataset: The data set the graph was built from.
        config: What was built.
        timings: Seconds of each phase.

    Returns:
        ``config``, ``config_hash``, ``inputs`` (name and hashes of the data set) and ``seconds``.
    """
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
        "seconds": dict(timings or {}),
    }


def _knn(data: HeteroData, modality: str, config: GraphConfig) -> tuple[torch.Tensor, torch.Tensor]:
    try:
        edge_index, edge_weight = knn_graph(
            data[ITEM][feature_key(modality)],
            config.k,
            metric=config.metric,
            method=config.method,
            include_self=config.include_self,
            mask=data[ITEM][presence_key(modality)],
        )
    except GraphError as error:
        raise GraphError(f"modality {modality!r}: {error}") from error
    return edge_index, normalize_edges(
        edge_index, edge_weight, data[ITEM].num_nodes, config.knn_norm
    )


def _add_bipartite(data: HeteroData, dataset: "MultimodalDataset", config: GraphConfig) -> None:
    edges = bipartite_edges(
        dataset.train.user,
        dataset.train.item,
        num_users=dataset.num_users,
        num_items=dataset.num_items,
        norm=config.ui_norm,
    )
    data[USER_ITEM].edge_index, data[USER_ITEM].edge_weight = edges.edge_index, edges.edge_weight
    data[ITEM_USER].edge_index, data[ITEM_USER].edge_weight = (
        edges.rev_edge_index,
        edges.rev_edge_weight,
    )
    if edges.user_self_weight is not None:
        data[USER].self_weight, data[ITEM].self_weight = (
            edges.user_self_weight,
            edges.item_self_weight,
        )


@contextmanager
def _phase(timings: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timings[name] = time.perf_counter() - start
