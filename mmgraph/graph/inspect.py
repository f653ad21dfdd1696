"""A graph in numbers: sizes, degrees, weights, and whether near items also share users."""

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import HeteroData

from mmgraph.errors import GraphError
from mmgraph.graph.cointeraction import count_blocks, incidence_matrix
from mmgraph.graph.schema import (
    ITEM,
    USER,
    USER_ITEM,
    EdgeType,
    edge_name,
    knn_edge_type,
    modalities_of,
    presence_key,
)


def inspect_graph(data: HeteroData) -> dict[str, Any]:
    """Describe a graph.

    For each modality with a nearest-neighbour graph, ``knn_share`` is the share of its edges (self
    loops left out) whose two items have a training user in common, ``chance`` the same share among
    all pairs of items that have the feature, and ``ratio`` the one over the other: how much better
    than chance nearness of features predicts shared users. Common users are always counted from the
    user-item edges, whatever co-interaction edges the graph holds.

    Args:
        data: A graph that passes :func:`mmgraph.graph.check_graph`.

    Returns:
        JSON-able numbers: ``nodes`` (type -> count), ``edges`` (type -> ``count``, ``in_degree``,
        ``isolated``, ``weight``), ``modalities`` (name -> ``dim``, ``present``, ``coverage``, and
        with neighbours ``knn_pairs``, ``knn_share``, ``chance``, ``ratio``). A value that does not
        exist, such as the range of no weights, is None.

    Raises:
        GraphError: The graph has no user-item edges.

    Complexity:
        O(sum over users of degree squared) time for the shares; memory of one block of pairs.
    """
    if USER_ITEM not in data.edge_types:
        raise GraphError(
            f"the graph has no {edge_name(USER_ITEM)} edges; build the graph with build_graph"
        )
    return {
        "nodes": {node_type: int(data[node_type].num_nodes) for node_type in data.node_types},
        "edges": {
            edge_name(edge_type): _describe_edges(data, edge_type) for edge_type in data.edge_types
        },
        "modalities": _describe_modalities(data),
    }


def _describe_edges(data: HeteroData, edge_type: EdgeType) -> dict[str, Any]:
    store = data[edge_type]
    source_type, _, target_type = edge_type
    source, target = store.edge_index.cpu()
    in_degree = torch.bincount(target, minlength=data[target_type].num_nodes)
    out_degree = torch.bincount(source, minlength=data[source_type].num_nodes)
    if source_type == target_type:
        isolated = {source_type: int(((in_degree == 0) & (out_degree == 0)).sum())}
    else:
        isolated = {
            source_type: int((out_degree == 0).sum()),
            target_type: int((in_degree == 0).sum()),
        }
    return {
        "count": int(store.edge_index.size(1)),
        "in_degree": _quantiles(in_degree),
        "isolated": isolated,
        "weight": _weight_range(store.get("edge_weight")),
    }


def _quantiles(degree: Tensor) -> dict[str, float | None]:
    names = ("min", "q25", "median", "q75", "max")
    if degree.numel() == 0:
        return dict.fromkeys(names)
    values = np.quantile(degree.numpy(), (0.0, 0.25, 0.5, 0.75, 1.0))
    return dict(zip(names, values.tolist(), strict=True))


def _weight_range(weight: Tensor | None) -> dict[str, float] | None:
    if weight is None or weight.numel() == 0:
        return None
    return {
        "min": float(weight.min()),
        "mean": float(weight.double().mean()),
        "max": float(weight.max()),
    }


def _describe_modalities(data: HeteroData) -> dict[str, dict[str, Any]]:
    num_items = data[ITEM].num_nodes
    modalities = modalities_of(data)
    described: dict[str, dict[str, Any]] = {}
    neighbours: dict[str, Any] = {}
    presence: dict[str, NDArray[np.bool_]] = {}
    for modality in modalities:
        has = data[ITEM].get(presence_key(modality))
        presence[modality] = np.ones(num_items, dtype=bool) if has is None else has.cpu().numpy()
        present = int(presence[modality].sum())
        dim = int(data[ITEM][f"x_{modality}"].size(1))
        described[modality] = {
            "dim": dim,
            "present": present,
            "coverage": present / num_items if num_items else None,
        }
        if knn_edge_type(modality) in data.edge_types:
            source, target = data[knn_edge_type(modality)].edge_index.cpu().numpy()
            other = source != target
            ones = np.ones(int(other.sum()), dtype=np.int32)
            neighbours[modality] = sp.csr_array(
                (ones, (target[other], source[other])), shape=(num_items, num_items)
            )
    hits, together = _count_shared(data, neighbours, presence)
    for modality, matrix in neighbours.items():
        present = described[modality]["present"]
        pairs = present * (present - 1)
        share = hits[modality] / matrix.nnz if matrix.nnz else None
        chance = together[modality] / pairs if pairs else None
        ratio = share / chance if share is not None and chance else None
        described[modality] |= {
            "knn_pairs": int(matrix.nnz),
            "knn_share": share,
            "chance": chance,
            "ratio": ratio,
        }
    return described


def _count_shared(
    data: HeteroData, neighbours: dict[str, Any], presence: dict[str, NDArray[np.bool_]]
) -> tuple[dict[str, int], dict[str, int]]:
    """Count, per modality, the neighbour pairs and the pairs of present items that share a user."""
    hits, together = dict.fromkeys(neighbours, 0), dict.fromkeys(neighbours, 0)
    if not neighbours:
        return hits, together
    user, item = data[USER_ITEM].edge_index.cpu()
    incidence = incidence_matrix(
        user, item, num_users=data[USER].num_nodes, num_items=data[ITEM].num_nodes, side="item"
    )
    for start, block in count_blocks(incidence):
        stop = start + block.shape[0]
        row = np.repeat(np.arange(start, stop), np.diff(block.indptr))
        for modality, matrix in neighbours.items():
            hits[modality] += int(matrix[start:stop].multiply(block).nnz)
            has = presence[modality]
            together[modality] += int((has[row] & has[block.indices]).sum())
    return hits, together
