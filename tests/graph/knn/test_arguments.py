"""Bad input is refused in one line with rule, value and remedy; odd but good input has its answer."""

import numpy as np
import pytest
import torch

from mmgraph.errors import GraphError
from mmgraph.graph.knn import knn_graph, knn_search
from mmgraph.graph.knn.arguments import present_items, wanted_items

EXACT = ("flat", "exact", "auto")


def features(row=None, value=np.nan):
    x = np.random.default_rng(13).standard_normal((40, 3))
    if row is not None:
        x[row, 1] = value
    return x


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 50}, "k must be between 1 and num_items - 1 (got 50 with 40 items); lower graph.k"),
        ({"k": 40}, "k must be between 1 and num_items - 1 (got 40 with 40 items); lower graph.k"),
        ({"k": 0}, "k must be between 1 and num_items - 1 (got 0 with 40 items); raise graph.k"),
        ({"k": -3}, "k must be between 1 and num_items - 1 (got -3 with 40 items); raise graph.k"),
        ({"k": 2.0}, "k must be a whole number (got 2.0)"),
        ({"k": True}, "k must be a whole number (got True)"),
        ({"k": "4"}, "k must be a whole number (got '4')"),
        (
            {"k": 10, "mask": np.arange(40) < 10},
            "k must be between 1 and the number of items that have the feature - 1 "
            "(got 10 with 10 items that have the feature); lower graph.k",
        ),
        (
            {"k": 3, "x": np.eye(40, 3)},
            "k must be between 1 and the number of items that have the feature - 1 "
            "(got 3 with 3 items that have the feature); lower graph.k",
        ),
        ({"k": 1, "x": np.ones((1, 4))}, "(got 1 with 1 items)"),
        ({"k": 1, "x": np.empty((0, 4))}, "(got 1 with 0 items)"),
        ({"k": 1, "x": np.zeros((9, 4))}, "(got 1 with 0 items that have the feature)"),
        ({"k": 1, "mask": np.zeros(40, bool)}, "(got 1 with 0 items that have the feature)"),
        ({"x": features(7)}, "feature row 7 must be finite (got nan in column 1; 1 such row: 7)"),
        ({"x": features(9, -np.inf)}, "feature row 9 must be finite (got -inf in column 1; 1 such"),
        ({"x": features([9, 31])}, "(got nan in column 1; 2 such rows: 9, 31); correct the rows"),
        (
            {"x": features(np.arange(3, 40, 4), np.inf)},
            "feature row 3 must be finite (got inf in column 1; 10 such rows: 3, 7, 11, 15, 19, "
            "...); correct the rows or mask the items out",
        ),
        ({"x": features(9, np.nan), "mask": np.arange(40) >= 9}, "feature row 9 must be finite"),
        ({"x": features(9).astype("f2")}, "feature row 9 must be finite (got nan in column 1"),
        ({"x": features(9, 1e200)}, "feature row 9 must have a length between 1e-145 and 1e150"),
        (
            {"x": np.vstack([features()] * 2) * 1e-160},
            "feature row 0 must have a length between 1e-145 and 1e150 (its largest value is",
        ),
        ({"x": features().astype(object)}, "features must be a numpy array or tensor of numbers"),
        ({"x": features().astype("c16")}, "(got complex128); convert them to float32"),
        ({"x": features().astype("S8")}, "features must be a numpy array or tensor of numbers"),
        ({"x": [[1.0]]}, "features must be a numpy array or tensor of numbers (got list)"),
        ({"x": None}, "features must be a numpy array or tensor of numbers (got NoneType)"),
        ({"x": features()[0]}, "features must have shape (num_items, dim) (got (3,))"),
        ({"x": np.empty((5, 0))}, "features must have shape (num_items, dim) (got (5, 0))"),
        ({"metric": "cosin"}, "(got 'cosin'); did you mean 'cosine'?"),
        ({"method": "ivff"}, "flat, ivf, hnsw, nndescent (got 'ivff'); did you mean 'ivf'?"),
        ({"method": None}, "one of auto, exact, join, flat, ivf, hnsw, nndescent (got None)"),
        ({"method": "nndescent", "metric": "inner_product"}, "must have metric 'cosine' or 'l2'"),
        ({"mask": np.ones(40)}, "mask must be bool of shape (40,) (got float64 of shape (40,))"),
        ({"mask": np.ones(39, bool)}, "mask must be bool of shape (40,) (got bool of shape (39,))"),
        ({"targets": np.array([3, 40])}, "0 and num_items - 1 (got 40 with 40 items)"),
        ({"targets": torch.tensor([-1])}, "0 and num_items - 1 (got -1 with 40 items)"),
        ({"targets": np.array([1.0])}, "must be item numbers in one row (got float64 of shape (1,"),
        ({"targets": np.eye(2, dtype=int)}, "item numbers in one row (got int64 of shape (2, 2))"),
        ({"targets": np.ones(40, bool)}, "item numbers in one row (got bool of shape (40,))"),
        ({"min_recall": 0}, "min_recall must be a number above 0 and at most 1 (got 0)"),
        ({"min_recall": 1.5}, "min_recall must be a number above 0 and at most 1 (got 1.5)"),
        ({"min_recall": np.nan}, "min_recall must be a number above 0 and at most 1 (got nan)"),
        ({"min_recall": "0.9"}, "min_recall must be"),
        ({"min_recall": None}, "min_recall must be"),
        ({"max_memory": 0}, "max_memory must be a whole number from 1 on (got 0)"),
        ({"max_memory": -1}, "max_memory must be a whole number from 1 on (got -1)"),
        ({"max_memory": "1G"}, "max_memory must be"),
        ({"max_memory": 1000}, "max_memory must be at least"),
        ({"method": "join", "k": 10}, "method 'join' must have k of at most"),
        ({"method": "ivf", "seed": -1}, "seed must be"),
    ],
)
def test_bad_input_is_named_in_one_line(arguments, message):
    with pytest.raises(GraphError) as caught:
        knn_graph(**{"x": features(), "k": 4, **arguments})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_targets_are_marked_whatever_their_order_and_type():
    assert wanted_items(None, 3).tolist() == [True] * 3
    assert wanted_items(torch.tensor([3, 1, 3]), 4).tolist() == [False, True, False, True]
    assert wanted_items(np.array([3, 1], np.uint8), 4).tolist() == [False, True, False, True]
    for nothing in (np.array([], np.int64), []):
        assert wanted_items(nothing, 2).tolist() == [False, False]


def test_masks_say_who_takes_part():
    assert present_items(None, 3).tolist() == [0, 1, 2]
    assert present_items(torch.tensor([True, False, True]), 3).tolist() == [0, 2]


@pytest.mark.parametrize("method", [*EXACT, "ivf", "hnsw"])
def test_two_equal_rows(method, metric):
    x = np.full((2, 3), 2.0, np.float32)
    graph = knn_search(x, 1, method=method, metric=metric)
    assert graph.edge_index.tolist() == [[1, 0], [0, 1]]
    weight = {"cosine": 1.0, "inner_product": 12.0, "l2": 1.0}[metric]
    assert graph.edge_weight.tolist() == pytest.approx([weight] * 2)


@pytest.mark.parametrize("method", [*EXACT, "ivf", "hnsw"])
@pytest.mark.parametrize("include_self", [False, True])
@pytest.mark.parametrize("k", [1, 2, 19])
def test_all_rows_equal(method, include_self, k, metric):
    x = np.full((20, 3), 2.0, np.float32)
    graph = knn_search(x, k, method=method, metric=metric, include_self=include_self)
    for i in range(20):
        others = [j for j in range(20) if j != i]
        expected = sorted([*others[: k - 1], i]) if include_self else others[:k]
        assert graph.edge_index[0, graph.edge_index[1] == i].tolist() == expected


def test_k_above_a_thousand(metric, definition):
    x = np.random.default_rng(0).standard_normal((1100, 3))
    targets = np.random.default_rng(1).choice(1100, 60, replace=False)
    for k in (1025, 1099):
        graph = knn_search(x, k, metric=metric, targets=targets)
        assert graph.method == "flat"
        _, item, _ = definition(x, k, metric)
        index = graph.edge_index.numpy().reshape(2, 60, k)
        np.testing.assert_array_equal(index[1, :, 0], np.sort(targets))
        np.testing.assert_array_equal(index[0], np.sort(item[np.sort(targets)], axis=1))


@pytest.mark.parametrize("method", ["join", "flat"])
@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.astype("f2"),
        lambda x: x.astype("f8"),
        lambda x: x.astype("i1"),
        lambda x: x.astype("i8"),
        lambda x: x.astype(">f4"),
        lambda x: x.astype(">f8"),
        lambda x: x.astype(np.longdouble),
        lambda x: np.asfortranarray(x),
        lambda x: np.repeat(x, 3, axis=0)[::3],
        lambda x: np.repeat(x, 2, axis=1)[:, ::2],
        lambda x: x[::-1].copy()[::-1],
        lambda x: torch.from_numpy(x).bfloat16(),
        lambda x: torch.from_numpy(x.T.copy()).T,
        lambda x: torch.from_numpy(x).to(torch.int8),
    ],
)
def test_every_kind_of_matrix_gives_the_same_graph(change, method, metric):
    x = np.random.default_rng(10).integers(-9, 10, (140, 6)).astype(np.float32)
    expected, weight = knn_graph(x, 3, method="flat", metric=metric)
    given = change(x)
    before = given.clone() if isinstance(given, torch.Tensor) else given.copy()
    edge_index, edge_weight = knn_graph(given, 3, method=method, metric=metric)
    assert torch.equal(edge_index, expected)
    assert torch.equal(edge_weight, weight)
    assert (given == before).all()


@pytest.mark.parametrize("method", ["join", "flat"])
def test_a_read_only_memory_map_gives_the_same_graph(method, tmp_path):
    x = np.random.default_rng(11).standard_normal((200, 6)).astype(np.float16)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r", allow_pickle=False)
    expected = knn_graph(x.astype(np.float64), 3)
    graph = knn_graph(mapped, 3, method=method)
    assert torch.equal(graph[0], expected[0])
    assert torch.equal(graph[1], expected[1])
