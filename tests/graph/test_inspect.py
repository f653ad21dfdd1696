"""inspect_graph against plain counting."""

import itertools
import json

import numpy as np
import pytest
import torch
from torch_geometric.data import HeteroData

from mmgraph.errors import GraphError
from mmgraph.graph import cointeraction
from mmgraph.graph.build import GraphConfig, build_graph
from mmgraph.graph.inspect import inspect_graph
from mmgraph.graph.schema import CO_ITEM, USER_ITEM, knn_edge_type


@pytest.mark.parametrize("block", [1, 1 << 22])
@pytest.mark.parametrize("include_self", [False, True])
@pytest.mark.parametrize("edges", [("knn",), ("knn", "co_item")])
def test_shares_equal_plain_counting(dataset, block, include_self, edges, monkeypatch):
    monkeypatch.setattr(cointeraction, "_BLOCK_PAIRS", block)
    config = GraphConfig(k=4, include_self=include_self, edges=edges, co_item_top_k=1)
    data = build_graph(dataset, config)
    users = {
        i: set(dataset.train.user[dataset.train.item == i].tolist())
        for i in range(dataset.num_items)
    }
    found = inspect_graph(data)["modalities"]
    for modality, features in dataset.features.items():
        present = np.flatnonzero(features.present).tolist()
        pairs = list(itertools.combinations(present, 2))
        chance = sum(bool(users[i] & users[j]) for i, j in pairs) / len(pairs)
        near = [(s, t) for s, t in data[knn_edge_type(modality)].edge_index.T.tolist() if s != t]
        share = sum(bool(users[s] & users[t]) for s, t in near) / len(near)
        assert found[modality] == {
            "dim": features.x.shape[1],
            "present": len(present),
            "coverage": len(present) / 20,
            "knn_pairs": len(near),
            "knn_share": pytest.approx(share),
            "chance": pytest.approx(chance),
            "ratio": pytest.approx(share / chance),
        }


def test_counts_degrees_isolated_and_weights():
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = 3, 5
    data[USER_ITEM].edge_index = torch.tensor([[0, 1, 0], [0, 0, 3]])
    data[USER_ITEM].edge_weight = torch.tensor([0.5, 1.0, 3.0])
    data[CO_ITEM].edge_index = torch.tensor([[3], [0]])
    found = inspect_graph(data)
    assert found["nodes"] == {"user": 3, "item": 5}
    assert found["edges"]["user__interacts__item"] == {
        "count": 3,
        "in_degree": {"min": 0.0, "q25": 0.0, "median": 0.0, "q75": 1.0, "max": 2.0},
        "isolated": {"user": 1, "item": 3},
        "weight": {"min": 0.5, "mean": 1.5, "max": 3.0},
    }
    assert found["edges"]["item__co_interacts__item"]["isolated"] == {"item": 3}
    assert found["edges"]["item__co_interacts__item"]["weight"] is None
    assert found["modalities"] == {}


def test_it_is_json(dataset):
    found = inspect_graph(build_graph(dataset, GraphConfig(k=3)))
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_nothing_shared_has_no_ratio(dataset):
    data = build_graph(dataset, GraphConfig(k=3))
    data[USER_ITEM].edge_index = data[USER_ITEM].edge_index[:, :1]
    data[USER_ITEM].edge_weight = data[USER_ITEM].edge_weight[:1]
    found = inspect_graph(data)["modalities"]["text"]
    assert (found["knn_share"], found["chance"], found["ratio"]) == (0.0, 0.0, None)


def test_a_modality_without_neighbours_has_no_shares(dataset):
    found = inspect_graph(build_graph(dataset, GraphConfig(edges=())))
    assert found["modalities"]["image"] == {"dim": 4, "present": 15, "coverage": 0.75}


def test_without_interactions_there_is_nothing_to_say():
    with pytest.raises(GraphError, match="no user__interacts__item edges"):
        inspect_graph(HeteroData())
