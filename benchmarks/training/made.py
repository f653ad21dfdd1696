"""Interactions of any size: a few users are busy, a few items popular."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import HeteroData

from benchmarks.graph.features import make_features
from benchmarks.training.cells import FEATURE_WIDTHS, TrainingCell
from mmgraph.graph.transforms import AddBipartite, AddCointeraction, AddKNNGraph

# Positions are uniform numbers to these powers: the larger the power, the more falls on the first.
_USER_POWER, _ITEM_POWER = 1.5, 2.0
NEIGHBOURS = 10
USER_NEIGHBOURS = 40


def made_pairs(
    num_users: int, num_items: int, num_pairs: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return distinct pairs of user and item, sorted, with degrees that fall like a power.

    Example:
        >>> user, item = made_pairs(30, 20, 100, seed=0)
        >>> len(np.unique(user * 20 + item))
        100
    """
    rng = np.random.default_rng([seed, 4])
    keys = np.empty(0, dtype=np.int64)
    while len(keys) < num_pairs:
        count = num_pairs + num_pairs // 8 + 16
        user = (num_users * rng.random(count) ** _USER_POWER).astype(np.int64)
        item = (num_items * rng.random(count) ** _ITEM_POWER).astype(np.int64)
        keys = np.union1d(keys, user * num_items + item)
    keys = np.sort(rng.choice(keys, num_pairs, replace=False, shuffle=False))
    return keys // num_items, keys % num_items


def made_graph(cell: TrainingCell) -> HeteroData:
    """Return the graph of made interactions, with features and neighbours of items for models that need them."""
    user, item = made_pairs(cell.users, cell.items, cell.edges, cell.seed)
    graph = HeteroData({"user": {"num_nodes": cell.users}, "item": {"num_nodes": cell.items}})
    graph["user", "interacts", "item"].edge_index = torch.from_numpy(np.stack([user, item]))
    if cell.wide:
        for name, width in FEATURE_WIDTHS.items():
            x = make_features("imagelike", cell.items, width, cell.seed)
            graph["item"][f"x_{name}"] = torch.from_numpy(x)
            graph["item"][f"has_{name}"] = torch.ones(cell.items, dtype=torch.bool)
            graph = AddKNNGraph(name, NEIGHBOURS, include_self=True)(graph)
    if cell.model == "margo":
        graph = AddCointeraction("user", top_k=USER_NEIGHBOURS, normalize="none")(graph)
    return AddBipartite()(graph)
