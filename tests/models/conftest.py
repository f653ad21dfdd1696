"""The checkerboard with any of three modalities, and one with holes, where degrees differ."""

from collections.abc import Callable

import numpy as np
import pytest
from torch_geometric.data import HeteroData

from mmgraph.data import ModalityFeatures, MultimodalDataset
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
    return _pairs(checkerboard_dataset())


@pytest.fixture
def irregular() -> MultimodalDataset:
    """Return the checkerboard without a third of its training interactions; every user and item keeps at least two.

    On the full board all degrees and all counts agree, so that normalisations and softmaxes do, too.
    """
    data = checkerboard_dataset()
    keep = np.random.default_rng(0).random(len(data.train.user)) < 2 / 3
    train = type(data.train)(data.train.user[keep], data.train.item[keep])
    return type(data)(**{**vars(data), "train": train})


@pytest.fixture
def irregular_pairs(irregular: MultimodalDataset) -> np.ndarray:
    """Return the training interactions of the board with holes."""
    return _pairs(irregular)


def _pairs(data: MultimodalDataset) -> np.ndarray:
    return np.stack([data.train.user, data.train.item], axis=1)
