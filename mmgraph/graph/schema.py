"""Names of the node and edge types of a graph, and the rules every graph obeys.

Models and samplers read graphs through these names only. The module imports nothing but torch,
torch_geometric and the errors, so that it can be used without the builders.
"""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from mmgraph.errors import GraphError

EdgeType = tuple[str, str, str]

USER = "user"
ITEM = "item"
USER_ITEM: EdgeType = (USER, "interacts", ITEM)
ITEM_USER: EdgeType = (ITEM, "rev_interacts", USER)
CO_ITEM: EdgeType = (ITEM, "co_interacts", ITEM)
CO_USER: EdgeType = (USER, "co_interacts", USER)

_KNN = "knn_"
_FEATURE = "x_"
_PRESENCE = "has_"


def knn_edge_type(modality: str) -> EdgeType:
    """Return the edge type of the nearest-neighbour graph of one modality.

    Example:
        >>> knn_edge_type("image")
        ('item', 'knn_image', 'item')
    """
    return (ITEM, f"{_KNN}{modality}", ITEM)


def feature_key(modality: str) -> str:
    """Return the name of the feature matrix of one modality in ``data["item"]``."""
    return f"{_FEATURE}{modality}"


def presence_key(modality: str) -> str:
    """Return the name of the presence mask of one modality in ``data["item"]``."""
    return f"{_PRESENCE}{modality}"


def modalities_of(data: HeteroData) -> tuple[str, ...]:
    """Return the modalities whose features the graph carries, in stored order."""
    keys = data[ITEM].keys() if ITEM in data.node_types else []
    return tuple(key.removeprefix(_FEATURE) for key in keys if key.startswith(_FEATURE))


def item_features(data: HeteroData) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the feature matrix and the presence mask of every modality, in stored order.

    Shapes:
        (num_items, dim) and (num_items,) bool for each modality.
    """
    item = data[ITEM]
    return {
        name: (item[feature_key(name)], item[presence_key(name)]) for name in modalities_of(data)
    }


def edge_name(edge_type: EdgeType) -> str:
    """Return an edge type as one word, for messages and JSON keys.

    Example:
        >>> edge_name(USER_ITEM)
        'user__interacts__item'
    """
    return "__".join(edge_type)


def check_graph(data: HeteroData) -> None:
    """Raise when a graph breaks a rule of the contract; return nothing when it is sound.

    The rules: both node types with their number of nodes; both directions of the user-item edges,
    each the other one reversed; every ``edge_index`` int64 of shape (2, num_edges), within range,
    sorted by target then source, without duplicates; every ``edge_weight`` float32, one finite
    number for each edge; every ``x_<modality>`` finite float32 of shape (num_items, dim) with a
    boolean ``has_<modality>`` of shape (num_items,); no nearest-neighbour edge at an item that
    lacks the feature.

    Args:
        data: The graph, as made by :func:`mmgraph.graph.build_graph`.

    Raises:
        GraphError: A rule is broken; the message names the store, the rule and the value.

    Complexity:
        O(edges + items * dim) time.
    """
    for node_type in (USER, ITEM):
        if node_type not in data.node_types or data[node_type].num_nodes is None:
            raise GraphError(
                f"node type {node_type!r} must exist and carry num_nodes; build the graph with "
                "build_graph"
            )
    for edge_type in (USER_ITEM, ITEM_USER):
        if edge_type not in data.edge_types:
            raise GraphError(
                f"edge type {edge_name(edge_type)} is missing; a graph carries both directions of "
                "the interactions"
            )
    for edge_type in data.edge_types:
        _check_edges(data, edge_type)
    _check_reverse(data[USER_ITEM].edge_index, data[ITEM_USER].edge_index)
    for node_type in (USER, ITEM):
        if "self_weight" in data[node_type]:
            _check_values(
                data[node_type].self_weight,
                (data[node_type].num_nodes,),
                f"{node_type}.self_weight",
            )
    for key in data[ITEM].keys():
        if key.startswith(_FEATURE):
            _check_feature(data, key.removeprefix(_FEATURE))
        elif (
            key.startswith(_PRESENCE) and feature_key(key.removeprefix(_PRESENCE)) not in data[ITEM]
        ):
            raise GraphError(
                f"item.{key} has no item.{feature_key(key.removeprefix(_PRESENCE))} beside it; "
                "store both or neither"
            )


def _check_edges(data: HeteroData, edge_type: EdgeType) -> None:
    name = edge_name(edge_type)
    source_type, _, target_type = edge_type
    edge_index = data[edge_type].get("edge_index")
    if not isinstance(edge_index, Tensor) or edge_index.dtype != torch.int64:
        raise GraphError(f"{name}.edge_index must be an int64 tensor (got {_kind(edge_index)})")
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        raise GraphError(
            f"{name}.edge_index must have shape (2, num_edges) (got {tuple(edge_index.shape)})"
        )
    _check_values(data[edge_type].get("edge_weight"), (edge_index.size(1),), f"{name}.edge_weight")
    if edge_index.size(1) == 0:
        return
    for row, role, node_type in ((0, "source", source_type), (1, "target", target_type)):
        num_nodes = data[node_type].num_nodes
        low, high = int(edge_index[row].min()), int(edge_index[row].max())
        if low < 0 or high >= num_nodes:
            bad = low if low < 0 else high
            raise GraphError(
                f"{name}.edge_index {role} must be between 0 and {num_nodes - 1} (got {bad})"
            )
    step = torch.diff(edge_index[1] * data[source_type].num_nodes + edge_index[0])
    if bool((step < 0).any()):
        at = int((step < 0).nonzero()[0]) + 1
        raise GraphError(
            f"{name}.edge_index must be sorted by target then source (edge {at} is out of order)"
        )
    if bool((step == 0).any()):
        source, target = edge_index[:, int((step == 0).nonzero()[0])].tolist()
        raise GraphError(
            f"{name}.edge_index must not hold an edge twice (got {source} -> {target} twice)"
        )


def _check_reverse(forward: Tensor, backward: Tensor) -> None:
    same = forward.size(1) == backward.size(1)
    if same:
        flipped = forward.flip(0)
        # Both directions are free of duplicates here, so equal sorted lists mean equal sets.
        # Two stable sorts are a lexicographic one: by source first, then by target.
        flipped = flipped[:, torch.argsort(flipped[0], stable=True)]
        flipped = flipped[:, torch.argsort(flipped[1], stable=True)]
        same = torch.equal(flipped, backward)
    if not same:
        raise GraphError(
            f"{edge_name(ITEM_USER)} must be {edge_name(USER_ITEM)} reversed "
            f"(got {backward.size(1)} and {forward.size(1)} edges that do not match)"
        )


def _check_feature(data: HeteroData, modality: str) -> None:
    num_items = data[ITEM].num_nodes
    x, has = data[ITEM][feature_key(modality)], data[ITEM].get(presence_key(modality))
    name = f"item.{feature_key(modality)}"
    if not isinstance(x, Tensor) or x.dim() != 2 or x.size(0) != num_items:
        raise GraphError(f"{name} must have shape ({num_items}, dim) (got {_kind(x)})")
    _check_values(x, tuple(x.shape), name)
    if not isinstance(has, Tensor) or has.dtype != torch.bool or tuple(has.shape) != (num_items,):
        raise GraphError(
            f"item.{presence_key(modality)} must be a bool tensor of shape ({num_items},) (got "
            f"{_kind(has)})"
        )
    edge_type = knn_edge_type(modality)
    if edge_type in data.edge_types:
        ends = data[edge_type].edge_index.flatten()
        lacking = ends[~has[ends]]
        if lacking.numel():
            raise GraphError(
                f"{edge_name(edge_type)} must touch only items that have the feature (item "
                f"{int(lacking[0])} has none)"
            )


def _check_values(value: Any, shape: tuple[int, ...], name: str) -> None:
    if not isinstance(value, Tensor) or value.dtype != torch.float32 or tuple(value.shape) != shape:
        raise GraphError(f"{name} must be a float32 tensor of shape {shape} (got {_kind(value)})")
    # Both ends are finite only when every value is, and take no mask or copy of the matrix.
    if value.numel() and not bool(torch.isfinite(torch.stack(torch.aminmax(value))).all()):
        bad = torch.nonzero(~torch.isfinite(value))
        raise GraphError(f"{name} must be finite (row {int(bad[0, 0])} is not)")


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    return "nothing" if value is None else type(value).__name__
