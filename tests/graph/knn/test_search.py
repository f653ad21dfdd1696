"""knn_graph against dense float64 oracles, and its promises: ties, bytes, memory, messages."""

import json

import faiss
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.errors import GraphError
from mmgraph.graph.knn import flat, knn_graph, knn_search, rows

METRICS = ("cosine", "inner_product", "l2")


def dense_graph(x, k, metric="cosine", include_self=False, mask=None):
    """The definition, row by row, from all pairs; exact for small whole numbers."""
    x = np.asarray(x, dtype=np.float64)
    dot = (x[:, None, :] * x[None, :, :]).sum(-1)
    length = np.sqrt(np.diag(dot))
    there = np.ones(len(x), dtype=bool) if mask is None else np.asarray(mask).copy()
    if metric == "cosine":
        there &= length > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            score = dot / (length[:, None] * length[None, :])
    elif metric == "l2":
        score = -((x[:, None, :] - x[None, :, :]) ** 2).sum(-1)
    else:
        score = dot
    edges = []
    for i in np.flatnonzero(there):
        others = sorted(
            (j for j in np.flatnonzero(there) if j != i), key=lambda j: (-score[i, j], j)
        )
        chosen = [*others[: k - 1], i] if include_self else others[:k]
        edges += [(j, i, score[i, j]) for j in sorted(chosen)]
    source, target, value = (np.array(column) for column in zip(*edges, strict=True))
    weight = 1 / (1 + np.sqrt(-value)) if metric == "l2" else value
    return np.stack([source, target]), weight.astype(np.float32)


def as_bytes(graph):
    return graph[0].numpy().tobytes() + graph[1].numpy().tobytes()


def assert_equal(graph, expected):
    assert graph[0].dtype == torch.int64
    assert graph[1].dtype == torch.float32
    np.testing.assert_array_equal(graph[0].numpy(), expected[0])
    np.testing.assert_allclose(graph[1].numpy(), expected[1], rtol=0, atol=2e-7)


@st.composite
def whole_number_cases(draw):
    num_items, dim = draw(st.integers(4, 40)), draw(st.integers(1, 4))
    seed = draw(st.integers(0, 2**16))
    generator = np.random.default_rng(seed)
    x = generator.integers(-1, 3, (num_items, dim)).astype(
        draw(st.sampled_from(["f2", "f4", "f8", "i4"]))
    )
    mask = generator.random(num_items) < 0.8 if draw(st.booleans()) else None
    metric = draw(st.sampled_from(METRICS))
    there = np.ones(num_items, dtype=bool) if mask is None else mask
    usable = int((there & x.any(axis=1)).sum() if metric == "cosine" else there.sum())
    return x, draw(st.integers(1, max(1, usable - 1))), metric, draw(st.booleans()), mask, usable


@settings(max_examples=150)
@given(whole_number_cases())
def test_equals_the_definition_with_ties_zero_rows_and_masks(case):
    x, k, metric, include_self, mask, usable = case
    if k >= usable:
        with pytest.raises(GraphError, match="k must be between 1 and"):
            knn_graph(x, k, metric=metric, include_self=include_self, mask=mask)
        return
    graph = knn_graph(x, k, metric=metric, include_self=include_self, mask=mask)
    assert_equal(graph, dense_graph(x, k, metric, include_self, mask))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("include_self", [False, True])
@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_equals_the_definition_where_every_pair_ties(metric, include_self, factor, monkeypatch):
    # Whole numbers and others take different ways.
    x = np.eye(110)[np.random.default_rng(1).permutation(130) % 110] * factor
    compared = []
    compare_all = flat._compare_all

    def spy(*args, **options):
        compared.append(len(args[1]))
        return compare_all(*args, **options)

    monkeypatch.setattr(flat, "_compare_all", spy)
    graph = knn_graph(x, 4, metric=metric, include_self=include_self)
    assert_equal(graph, dense_graph(x, 4, metric, include_self))
    assert sum(compared) == 130


@pytest.mark.parametrize("metric", METRICS)
def test_equals_the_definition_on_rows_of_a_few_genres(metric):
    x = np.random.default_rng(1).integers(0, 3, (200, 3)).astype(np.float32)
    assert_equal(knn_graph(x, 4, metric=metric), dense_graph(x, 4, metric))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_order_below_float32_resolution_is_right(metric, offset):
    generator = np.random.default_rng(2)
    x = generator.standard_normal(32) + offset + 1e-4 * generator.standard_normal((250, 32))
    as_float32 = x.astype(np.float32)
    assert_equal(knn_graph(x, 5, metric=metric), dense_graph(x, 5, metric))
    assert_equal(knn_graph(as_float32, 5, metric=metric), dense_graph(as_float32, 5, metric))


@pytest.mark.parametrize("include_self", [False, True])
def test_identical_rows_take_the_smallest_numbers(include_self):
    x = np.random.default_rng(3).standard_normal((260, 16)).astype(np.float32)
    copies = np.arange(30, 230)
    x[copies] = x[30]
    edge_index, edge_weight = knn_graph(x, 6, include_self=include_self)
    for i in (30, 33, 36, 100, 229):
        expected = [j for j in copies if j != i][: 5 if include_self else 6]
        expected = sorted([*expected, i]) if include_self else expected
        assert edge_index[0, edge_index[1] == i].tolist() == expected
        assert edge_weight[edge_index[1] == i].tolist() == [1.0] * 6


def test_all_rows_identical():
    edge_index, _ = knn_graph(np.ones((50, 3), dtype=np.float32), 2)
    assert edge_index[0].reshape(50, 2)[:4].tolist() == [[1, 2], [0, 2], [0, 1], [0, 1]]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_bytes_do_not_depend_on_blocks(metric, dtype, monkeypatch):
    generator = np.random.default_rng(4)
    x = generator.standard_normal((150, 33)).astype(dtype)
    x[40:80] = x[generator.integers(0, 5, 40)]
    x[100:140] = np.sign(x[100:140])
    expected = as_bytes(knn_graph(x, 5, metric=metric))
    for block in (1, 7, 64):
        monkeypatch.setattr(flat, "QUERY_ROWS", block)
        monkeypatch.setattr(flat, "_DENSE_SCORES", block)
        monkeypatch.setattr(flat, "_DENSE_VALUES", block)
        monkeypatch.setattr(rows, "CHUNK_VALUES", block * 33)
        assert as_bytes(knn_graph(x, 5, metric=metric)) == expected


def test_bytes_do_not_depend_on_threads():
    x = np.random.default_rng(5).standard_normal((400, 257)).astype(np.float32)
    x[50:90] = np.sign(x[50:90])
    threads = torch.get_num_threads(), faiss.omp_get_max_threads()
    seen = set()
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            faiss.omp_set_num_threads(number)
            seen.add(as_bytes(knn_graph(x, 7)))
    finally:
        torch.set_num_threads(threads[0])
        faiss.omp_set_num_threads(threads[1])
    assert len(seen) == 1


def test_relabelling_the_items_relabels_the_graph():
    generator = np.random.default_rng(6)
    x, order = generator.standard_normal((60, 8)).astype(np.float32), generator.permutation(60)
    edge_index, edge_weight = knn_graph(x, 4)
    moved_index, moved_weight = knn_graph(x[order], 4)
    named = {
        (int(s), int(t)): float(w) for (s, t), w in zip(edge_index.T, edge_weight, strict=True)
    }
    moved = {
        (int(order[s]), int(order[t])): float(w)
        for (s, t), w in zip(moved_index.T, moved_weight, strict=True)
    }
    assert named == moved


def test_k_edges_an_item_and_the_diagonal_is_one():
    x = np.random.default_rng(7).standard_normal((80, 12)).astype(np.float32) * 50
    edge_index, edge_weight = knn_graph(x, 10, include_self=True)
    assert torch.bincount(edge_index[1]).tolist() == [10] * 80
    diagonal = edge_weight[edge_index[0] == edge_index[1]]
    assert diagonal.tolist() == pytest.approx([1.0] * 80, abs=1e-6)
    assert len(diagonal) == 80


def test_self_is_kept_even_where_it_is_not_near():
    x = np.array([[1.0, 0.0], [5.0, 0.0], [9.0, 1.0]])
    edge_index, edge_weight = knn_graph(x, 1, metric="inner_product", include_self=True)
    assert edge_index.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert edge_weight.tolist() == [1.0, 25.0, 82.0]
    edge_index, _ = knn_graph(x, 2, metric="inner_product", include_self=True)
    assert edge_index.tolist() == [[0, 2, 1, 2, 1, 2], [0, 0, 1, 1, 2, 2]]


def test_masked_items_have_no_edges_and_are_not_looked_at():
    x = np.random.default_rng(8).standard_normal((30, 5))
    mask = np.ones(30, dtype=bool)
    mask[[3, 17]] = False
    x[3] = np.nan
    edge_index, _ = knn_graph(x, 4, mask=torch.from_numpy(mask))
    assert not set(edge_index.flatten().tolist()) & {3, 17}
    assert edge_index.size(1) == 28 * 4


def test_sorted_by_target_then_source():
    edge_index, _ = knn_graph(np.random.default_rng(9).standard_normal((50, 5)), 6)
    key = edge_index[1] * 50 + edge_index[0]
    assert bool((key.diff() > 0).all())


def test_a_tensor_that_needs_a_gradient_is_searched_without():
    x = torch.randn(40, 6, requires_grad=True)
    edge_index, edge_weight = knn_graph(x, 3)
    assert not edge_weight.requires_grad
    assert as_bytes((edge_index, edge_weight)) == as_bytes(knn_graph(x.detach().numpy(), 3))


@pytest.mark.cuda
def test_result_is_on_the_device_of_the_features():
    x = torch.randn(40, 6)
    edge_index, edge_weight = knn_graph(x.cuda(), 3)
    assert edge_index.device.type == edge_weight.device.type == "cuda"
    assert as_bytes((edge_index.cpu(), edge_weight.cpu())) == as_bytes(knn_graph(x, 3))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_scale_of_the_features_is_harmless(metric, factor):
    x = np.random.default_rng(12).standard_normal((60, 8))
    if metric == "inner_product" and factor > 1:
        with pytest.raises(GraphError, match="must fit into float32"):
            knn_graph(x * factor, 4, metric=metric)
    else:
        edge_index, _ = knn_graph(x * factor, 4, metric=metric)
        assert torch.equal(edge_index, knn_graph(x, 4, metric=metric)[0])


def test_a_graph_tells_how_it_came_about(rates, features):
    x = features("isotropic", 900, 16)
    x[[3, 5]] = 0
    mask = np.ones(900, dtype=bool)
    mask[10:30] = False
    rates(bfloat16=1e15)
    expected = {"join": "bfloat16", "flat": "float32", "ivf": "float32", "hnsw": "float32"}
    for method, precision in expected.items():
        graph = knn_search(x, 6, method=method, mask=mask, min_recall=0.3)
        report = json.loads(json.dumps(graph.report()))
        assert set(report) == {
            "method",
            "precision",
            "recall",
            "num_searched",
            "num_without_edges",
            "num_left_over",
            "memory",
            "seconds",
        }
        assert (report["method"], report["precision"]) == (method, precision)
        assert report["recall"] == 1.0 if method in ("join", "flat") else 0.3 <= report["recall"]
        assert (report["num_searched"], report["num_without_edges"]) == (878, 22)
        assert report["memory"] > x.nbytes // 2
        assert {"prepare", "search", "score", "edges"} <= set(report["seconds"])
        assert all(seconds >= 0 for seconds in report["seconds"].values())
        index, weight = knn_graph(x, 6, method=method, mask=mask, min_recall=0.3)
        assert (index.shape, weight.shape) == ((2, 878 * 6), (878 * 6,))
        # Distances are of all rows, zeros too.
        assert knn_search(x, 6, metric="l2", method="flat").num_without_edges == 0


def test_exact_ways_agree_byte_for_byte(metric, kind, rates, features):
    x = features(kind, 600, 16)
    seen = set()
    for rate in (1e15, 1e3):
        rates(bfloat16=rate)
        seen |= {
            as_bytes(knn_graph(x, 7, metric=metric, method=method, include_self=True))
            for method in ("join", "flat", "exact", "auto")
        }
    assert len(seen) == 1


@pytest.mark.parametrize("method", ["join", "flat"])
def test_weights_are_exact_scores_rounded_once(method, metric, features, scores):
    x = features("isotropic", 300, 32)
    edge_index, edge_weight = knn_graph(x, 5, metric=metric, method=method, include_self=True)
    score, _ = scores(x, metric)
    value = score[edge_index[1], edge_index[0]]
    weight = 1 / (1 + np.sqrt(-value)) if metric == "l2" else value
    np.testing.assert_allclose(edge_weight.numpy(), weight, rtol=2.0**-23)


def test_memory_never_holds_all_pairs(run_python):
    # 12,000 squared in float32 alone would be 576 MB.
    code = """
        x = np.random.default_rng(0).standard_normal((12000, 32), dtype=np.float32)
        knn_search(x[:200], 5)
        used, graph = growth(lambda: knn_search(x, 10))
        print(used // 1024**2)
    """
    assert int(run_python(code)[0]) < 250
