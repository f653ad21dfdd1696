"""Data small enough to know the answer by heart."""

import numpy as np
from torch_geometric.data import HeteroData

from mmgraph.data import Interactions, ModalityFeatures, MultimodalDataset, SplitConfig, Vocabulary
from mmgraph.graph import GraphConfig, build_graph


def checkerboard_dataset(size: int = 12) -> MultimodalDataset:
    """Return a board on which user u likes the items of u's colour, with the diagonal held out for test.

    The only item of a user's colour that is not in training is the diagonal one, so every working
    recommender must put it first. Features agree: ``text`` (2-d) tells the colours apart, ``image`` (3-d)
    does too and is missing for item 0.

    Example:
        >>> board = checkerboard_dataset(4)
        >>> board.train.user.tolist(), board.train.item.tolist(), board.test.item.tolist()
        ([0, 1, 2, 3], [2, 3, 0, 1], [0, 1, 2, 3])
    """
    users, items = np.divmod(np.arange(size * size), size)
    liked = ((users + items) % 2 == 0) & (users != items)
    diagonal, nobody = np.arange(size), np.empty(0, dtype=np.int64)
    ids = Vocabulary([str(i) for i in range(size)])
    return MultimodalDataset(
        name="checkerboard",
        users=ids,
        items=ids,
        train=Interactions(users[liked], items[liked]),
        valid=Interactions(nobody, nobody),
        test=Interactions(diagonal, diagonal),
        features=_colours(size),
        titles=None,
        split_config=SplitConfig(method="given"),
        split_hash="checkerboard",
        content_hash=f"checkerboard-{size}",
        notes=(),
        counts={},
        source="checkerboard",
    )


def checkerboard_graph(size: int = 12) -> HeteroData:
    """Return the graph of the checkerboard with all edge types and three neighbours per modality.

    Example:
        >>> checkerboard_graph()["item"].num_nodes
        12
    """
    return build_graph(checkerboard_dataset(size), GraphConfig(k=3))


def _colours(size: int) -> dict[str, ModalityFeatures]:
    item = np.arange(size)
    black, white = (item % 2 == 0).astype(np.float32), (item % 2 == 1).astype(np.float32)
    tilt = (item / (10 * size)).astype(np.float32)
    # No two items point the same way, or a neighbour would be chosen by its index.
    text = np.stack([black + tilt * white, white + tilt * black], axis=1)
    image = np.stack([black, white, tilt], axis=1)
    everywhere, but_one = np.ones(size, dtype=bool), item > 0
    image[0] = 0
    return {
        "text": ModalityFeatures("text", text, everywhere, {}),
        "image": ModalityFeatures("image", image, but_one, {}),
    }
