"""The plain build and the library's give the same graphs."""

import dataclasses

import numpy as np
import pytest
import torch

from benchmarks.graph.builds import OurBuild, PlainBuild, shared_edges
from mmgraph.data import Interactions, ModalityFeatures, MultimodalDataset, Vocabulary
from mmgraph.testing import checkerboard_dataset


def random_dataset(seed: int, num_users: int = 40, num_items: int = 30) -> MultimodalDataset:
    rng = np.random.default_rng(seed)
    user, item = np.nonzero(rng.random((num_users, num_items)) < 0.2)
    present = rng.random(num_items) < 0.8
    features = {}
    for name, dim, has in (("text", 7, present), ("image", 5, np.ones(num_items, dtype=bool))):
        x = rng.standard_normal((num_items, dim)).astype(np.float32)
        x[~has] = 0
        features[name] = ModalityFeatures(name, x, has, {})
    return dataclasses.replace(
        checkerboard_dataset(),
        users=Vocabulary([str(u) for u in range(num_users)]),
        items=Vocabulary([str(i) for i in range(num_items)]),
        train=Interactions(user, item),
        features=features,
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_edge_and_weight_is_equal(seed: int) -> None:
    dataset = random_dataset(seed)
    ours, plain = OurBuild(dataset), PlainBuild(dataset)
    our_phases, plain_phases = ours(), plain()
    assert list(our_phases) == list(plain_phases)
    assert set(ours.graph.edge_types) == set(plain.graph)
    for edge_type, (edge_index, edge_weight) in plain.graph.items():
        assert edge_index.shape[1] > 30, edge_type
        assert torch.equal(ours.graph[edge_type].edge_index, edge_index), edge_type
        torch.testing.assert_close(
            ours.graph[edge_type].edge_weight, edge_weight, atol=1e-6, rtol=1e-6
        )
    assert set(shared_edges(ours.graph, plain.graph).values()) == {1.0}


def test_shared_edges_sees_a_difference() -> None:
    dataset = random_dataset(0)
    ours, plain = OurBuild(dataset), PlainBuild(dataset)
    ours()
    plain()
    edge_index, edge_weight = plain.graph["item", "knn_text", "item"]
    plain.graph["item", "knn_text", "item"] = (edge_index[:, 1:], edge_weight[1:])
    assert shared_edges(ours.graph, plain.graph)["shared item-knn_text-item"] < 1
