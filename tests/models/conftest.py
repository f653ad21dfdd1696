"""The checkerboard with any of three modalities."""

from collections.abc import Callable

import numpy as np
import pytest
from torch_geometric.data import HeteroData

from mmgraph.data import ModalityFeatures
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.testing import checkerboard_dataset


@pytest.fixture
def board() -> Callable[..., HeteroData]:
    """Return a function that makes the board's graph with some modalities.

    Item 0 has no ``image``, items 3 and 8 have no ``sound``; an item is one of its three neighbours.
    """

    def make(*modalities: str, **options: object) -> HeteroData:
        data, generator = checkerboard_dataset(), np.random.default_rng(5)
        sound = generator.normal(size=(12, 4)).astype(np.float32)
        has = ~np.isin(np.arange(12), (3, 8))
        known = {**data.features, "sound": ModalityFeatures("sound", sound, has, {})}
        features = {name: known[name] for name in modalities}
        config = GraphConfig(**{"k": 3, "include_self": True, "knn_norm": "sym", **options})
        return build_graph(type(data)(**{**vars(data), "features": features}), config)

    return make


@pytest.fixture
def train_pairs() -> np.ndarray:
    """Return the training interactions of the board, a user and an item in each row."""
    train = checkerboard_dataset().train
    return np.stack([train.user, train.item], axis=1)
