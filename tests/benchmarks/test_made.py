"""Made interactions: as many as asked for, the same always, unevenly spread."""

import numpy as np
import pytest

from benchmarks.training.cells import TrainingCell
from benchmarks.training.made import made_graph, made_pairs
from mmgraph.graph.schema import check_graph


@pytest.mark.parametrize(("users", "items", "pairs"), [(700, 300, 5000), (20, 10, 150)])
def test_pairs_are_distinct_and_within_range(users: int, items: int, pairs: int) -> None:
    user, item = made_pairs(users, items, pairs, seed=1)
    keys = user * items + item
    assert len(np.unique(keys)) == len(keys) == pairs
    assert (np.diff(keys) > 0).all()
    assert (0 <= user.min(), user.max() < users, 0 <= item.min(), item.max() < items) == (True,) * 4


def test_a_seed_is_a_seed() -> None:
    first, second, other = (made_pairs(700, 300, 5000, seed)[1] for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_few_items_are_popular() -> None:
    _, item = made_pairs(7000, 3000, 100_000, seed=0)
    degree = np.sort(np.bincount(item, minlength=3000))[::-1]
    assert degree[:300].sum() > 0.25 * degree.sum()  # the first tenth, of even ones .1
    assert degree[0] < 7000


def test_the_graph_keeps_the_rules() -> None:
    cell = TrainingCell("scaling", "step", ("mmgraph",), "made", users=70, items=30, edges=400)
    graph = made_graph(cell)
    check_graph(graph)
    assert graph["user", "interacts", "item"].edge_index.shape == (2, 400)
