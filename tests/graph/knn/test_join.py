"""The self-join against the definition, and the same bytes whatever the blocks, parts and threads."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.graph.knn import join, knn_search, rows
from mmgraph.graph.knn.canonical import choose_nearest, join_lists
from mmgraph.graph.knn.flat import flat_candidates
from mmgraph.graph.knn.join import join_candidates
from mmgraph.graph.knn.rows import build_rows

PRECISIONS = ("bfloat16", "float32")
METRICS = ("cosine", "inner_product", "l2")


def joined(x, count, metric, precision, *, block=512, targets=None, mask=None):
    """Return the lists that a join serves, and what it leaves over."""
    present = np.arange(len(x)) if mask is None else np.flatnonzero(mask)
    of = build_rows(x, present, metric)
    targets = np.arange(len(of)) if targets is None else targets
    found, left = join_candidates(of, targets, count, precision=precision, block=block)
    parts = [choose_nearest(of, part, count) for part in found]
    return of, parts, left


def whole_lists(x, count, metric, precision, **options):
    """Return the lists of all rows: those that are left over come from the flat search."""
    of, parts, left = joined(x, count, metric, precision, **options)
    if len(left):
        parts += [choose_nearest(of, part, count) for part in flat_candidates(of, left, count)]
    return join_lists(parts), left


def assert_lists(lists, expected, present=None):
    who, item, score = expected
    present = np.arange(who.max() + 1) if present is None else present
    np.testing.assert_array_equal(present[lists.query], who)
    np.testing.assert_array_equal(present[lists.item], item)
    np.testing.assert_allclose(lists.score, score, rtol=1e-9, atol=1e-12 * np.abs(score).max())


def as_bytes(graph):
    return graph.edge_index.numpy().tobytes() + graph.edge_weight.numpy().tobytes()


@pytest.mark.parametrize(("num_items", "block", "count"), [(511, 512, 1), (513, 512, 9)])
def test_equals_the_definition(
    kind, metric, precision, num_items, block, count, features, definition
):
    x = features(kind, num_items, 24)
    if kind in ("few", "copies"):
        # Only as many copies as can matter: the search never hands over more.
        kept, _, _ = rows.find_copies(build_rows(x, np.arange(num_items), metric), count + 1)
        assert len(kept) > count
        x = x[kept]
    lists, left = whole_lists(x, count, metric, precision, block=block)
    assert_lists(lists, definition(x, count, metric))
    if kind == "isotropic":
        assert len(left) == 0


@pytest.mark.parametrize(
    ("dim", "dtype"), [(1, "f8"), (2, "f2"), (2, "i1"), (3, "f8"), (31, "?"), (384, "f2")]
)
def test_equals_the_definition_for_every_width_and_type(
    dim, dtype, metric, precision, features, definition
):
    x = np.rint(features("isotropic", 300, dim) * 2).astype("i1")
    x = x > 0 if dtype == "?" else (x + (0.25 if dtype != "i1" else 0)).astype(dtype)
    x[:4] = x[4:8]
    mask = np.random.default_rng(0).random(300) < 0.9
    there = mask & x.any(axis=1) if metric == "cosine" else mask
    of = build_rows(x, np.flatnonzero(mask), metric)
    np.testing.assert_array_equal(of.present, np.flatnonzero(there))
    lists, _ = whole_lists(x, 5, metric, precision, mask=mask)
    assert_lists(lists, definition(x, 5, metric, mask), of.present)


@pytest.mark.parametrize("num_items", [512, 1536])
def test_whole_blocks_have_no_row_too_many(num_items, metric, precision, features, definition):
    x = features("clustered", num_items, 8)
    lists, _ = whole_lists(x, 3, metric, precision)
    assert_lists(lists, definition(x, 3, metric))


@pytest.mark.parametrize(
    ("num_items", "block", "count"),
    [(700, 512, 40), (700, 512, 65), (700, 512, 160), (1030, 1024, 129)],
)
def test_many_neighbours(num_items, block, count, metric, precision, features, definition):
    x = features("isotropic", num_items, 6)
    lists, _ = whole_lists(x, count, metric, precision, block=block)
    assert_lists(lists, definition(x, count, metric))


@st.composite
def small_cases(draw):
    num_items, dim = draw(st.integers(3, 120)), draw(st.integers(1, 6))
    generator = np.random.default_rng(draw(st.integers(0, 2**16)))
    # Quarters and a largest length that is a power of two: bfloat16 rows are exact, products are
    # not, and ties are many.
    x = generator.integers(-9, 10, (num_items, dim)) / 4
    if draw(st.booleans()):
        x[0], x[0, 0] = 0, 8
    if draw(st.booleans()):
        x += generator.integers(-4, 5, (num_items, dim)) * 2.0 ** draw(st.integers(-26, -6))
    count = draw(st.integers(1, min(40, num_items - 1)))
    dtype = draw(st.sampled_from(["f4", "f8"]))
    x[~x.any(axis=1)] = 1
    return x.astype(dtype), count


@settings(max_examples=60)
@given(small_cases(), st.sampled_from(METRICS), st.sampled_from(PRECISIONS))
def test_equals_the_definition_on_small_rows(definition, case, metric, precision):
    x, count = case
    lists, _ = whole_lists(x, count, metric, precision)
    who, item, score = definition(x, count, metric)
    np.testing.assert_array_equal(lists.query, who)
    # Sums of small dyadic numbers are exact; only a cosine can tie by rounding alone.
    np.testing.assert_allclose(lists.score, score, rtol=1e-12, atol=1e-12)
    different = lists.item != item
    assert metric == "cosine" or not different.any()
    np.testing.assert_allclose(lists.score[different], score[different], rtol=4e-16)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_products_that_round_to_the_same_number_are_told_apart(dtype, count, rates):
    # Scores 1 + 0.625 / 256 and, once, 1 + 0.988 / 256: in bfloat16 all are one.
    x = np.zeros((300, 3), dtype)
    x[0, 0], x[1, :2] = -2, (1, 2.0**-8)
    x[2:42, 0], x[2:42, 1] = 1, 0.625
    x[42:, 0], x[42:, 2] = -1, np.arange(258) % 100 / 256
    rates(1e15)
    for best in (2, 20, 41):
        y = x.copy()
        y[best, 1] = 0.98828125
        graph = knn_search(y, count, metric="inner_product", method="join")
        assert (graph.method, graph.precision) == ("join", "bfloat16")
        expected = [best, *[item for item in range(2, 42) if item != best][: count - 1]]
        assert graph.edge_index[0, graph.edge_index[1] == 1].tolist() == sorted(expected)


@pytest.mark.parametrize(("kind", "dtype"), [("near 2^-9", torch.bfloat16), ("near 2^-24", None)])
def test_the_near_ties_of_these_tests_are_in_the_wrong_order_before_rescoring(
    kind, dtype, features, definition
):
    x = features(kind, 300, 24)
    y = torch.from_numpy(x / np.linalg.norm(x.astype("f8"), axis=1, keepdims=True))
    y = y.to(dtype or torch.float32)
    product = (y @ y.T).float().fill_diagonal_(-2)
    wrong = product.topk(5).indices.sort().values.numpy() != np.sort(definition(x, 5, "cosine")[1])
    assert wrong.any(axis=1).mean() > 0.2


def test_rows_without_positive_products_are_left_over(precision, features, definition):
    x = features("opposite", 600, 8)
    lists, left = whole_lists(x, 30, "cosine", precision)
    # Every fortieth row points away from all others but fourteen.
    assert set(range(0, 600, 40)) <= set(left.tolist())
    assert_lists(lists, definition(x, 30, "cosine"))
    alone = np.concatenate([np.eye(6), -np.eye(6)]) + 2.0**-10
    lists, left = whole_lists(alone, 6, "inner_product", precision)
    assert len(left)
    assert_lists(lists, definition(alone, 6, "inner_product"))


@pytest.mark.parametrize("metric", ["cosine", "inner_product", "l2"])
@pytest.mark.parametrize("others", [3000, 0])
def test_rows_too_close_for_bfloat16_are_left_over(others, metric, features, rates, monkeypatch):
    generator = np.random.default_rng(0)
    near = generator.standard_normal(16) + 1e-4 * generator.standard_normal((700, 16))
    x = np.concatenate([near, generator.standard_normal((others, 16))]).astype("f4")
    x = x[generator.permutation(len(x))]
    _, parts, left = joined(x, 5, metric, "bfloat16", block=1024)
    served = sum(len(part.query) for part in parts)
    assert served + len(left) == len(x)
    assert len(left) >= 600
    assert served > others / 2 or others == 0
    rates(1e15)
    monkeypatch.setattr(join, "block_rows", lambda num_rows, count: 1024)
    graph = knn_search(x, 5, metric=metric, method="join")
    assert (graph.method, graph.precision, graph.recall) == ("join", "bfloat16", 1.0)
    assert as_bytes(graph) == as_bytes(knn_search(x, 5, metric=metric, method="flat"))


def test_a_join_of_crowded_rows_gives_up_early(with_threads):
    generator = np.random.default_rng(1)
    x = generator.standard_normal(8) + 1e-4 * generator.standard_normal((7000, 8))
    of = build_rows(x, np.arange(7000), "cosine")
    for threads in (1, 3):
        with_threads(threads)
        done = []
        found, left = join_candidates(
            of, np.arange(7000), 4, precision="bfloat16", block=1024, progress=done.append
        )
        assert list(found) == []
        assert left.tolist() == list(range(7000))
        assert max(done) < 1


@pytest.mark.parametrize("clusters", [1, 6])
def test_rows_that_are_close_together_do_not_flood_the_second_step(clusters):
    # Closer than bfloat16 tells apart, in blocks of the width that is chosen for so many rows.
    generator = np.random.default_rng(2)
    x = generator.standard_normal((clusters, 64))[generator.integers(0, clusters, 2900)]
    x += 0.04 * generator.standard_normal((2900, 64))
    of = build_rows(x.astype("f4"), np.arange(2900), "cosine")
    found, _ = join_candidates(of, np.arange(2900), 10, precision="bfloat16")
    assert sum(len(part.query) for part in found) < 16 * 10 * 2900


def test_progress_tells_the_share_that_is_done(features):
    done = []
    of = build_rows(features("isotropic", 1300, 8), np.arange(1300), "cosine")
    join_candidates(of, np.arange(1300), 4, precision="float32", block=512, progress=done.append)
    assert sorted(done) == pytest.approx([share / 6 for share in range(1, 7)])


def test_bytes_equal_the_flat_search(kind, metric, precision, features, rates, monkeypatch):
    x = features(kind, 700, 12)
    # Rows that are not float32 are scored in another way.
    x = x.astype(
        "f8" if kind.startswith("near") else "f2" if kind in ("clustered", "few") else "f4"
    )
    x[50] = 0
    mask = np.random.default_rng(1).random(700) < 0.95
    expected = as_bytes(knn_search(x, 6, metric=metric, mask=mask, method="flat"))
    rates(1e15 if precision == "bfloat16" else 1e3)
    monkeypatch.setattr(join, "block_rows", lambda num_rows, count: 1024)
    if kind == "few":
        with_copies = build_rows(x, np.flatnonzero(mask), metric)
        assert len(rows.find_copies(with_copies, 7)[0]) > 4 * 6
    graph = knn_search(x, 6, metric=metric, mask=mask, method="join")
    assert (graph.method, graph.precision) == ("join", precision)
    assert as_bytes(graph) == expected


@pytest.mark.parametrize("method", ["join", "flat"])
@pytest.mark.parametrize("include_self", [False, True])
def test_lists_of_parts_are_the_whole(method, include_self, metric, precision, features, rates):
    x = features("clustered", 900, 8)
    x[100:160], x[700:705], x[300] = x[5], x[6], 0
    mask = np.random.default_rng(2).random(900) < 0.9
    rates(1e15 if precision == "bfloat16" else 1e3)
    options = {"metric": metric, "method": method, "mask": mask, "include_self": include_self}
    whole = knn_search(x, 5, **options)
    order = np.random.default_rng(3).permutation(900)
    ways = [np.array_split(np.arange(900), parts) for parts in (1, 2, 3, 7)]
    ways += [np.array_split(order, 3), [np.r_[100:160], np.r_[:100, 160:900]]]
    for parts in ways:
        graphs = [knn_search(x, 5, targets=part, **options) for part in parts]
        edges = torch.cat([graph.edge_index for graph in graphs], 1)
        weight = torch.cat([graph.edge_weight for graph in graphs])
        place = torch.argsort(edges[1] * 900 + edges[0])
        assert torch.equal(edges[:, place], whole.edge_index)
        assert weight[place].numpy().tobytes() == whole.edge_weight.numpy().tobytes()
        for part, graph in zip(parts, graphs, strict=True):
            assert set(graph.edge_index[1].tolist()) <= set(part.tolist())


def test_a_part_without_its_own_rows_has_no_edges(features):
    x = features("isotropic", 100, 4)
    mask = np.arange(100) >= 10
    graph = knn_search(x, 3, mask=mask, targets=np.arange(10), method="join")
    assert graph.edge_index.shape == (2, 0)
    graph = knn_search(x, 3, mask=mask, targets=np.arange(20), method="join")
    assert graph.edge_index[1].tolist() == np.repeat(np.arange(10, 20), 3).tolist()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_GROWTH", 1.0),
        ("_GROWTH", 100.0),
        ("_BATCH", 1),
        ("_BATCH", 999),
        ("_ORDER_SEED", 5),
        ("_CROWD", -99),
        ("_CROWD", -4),
        ("_CROWD", 3),
        ("_CROWD", 10**6),
    ],
)
def test_bytes_do_not_depend_on_how_the_join_goes(
    name, value, precision, metric, features, monkeypatch
):
    x = features("clustered", 1100, 10)
    expected, _ = whole_lists(x, 7, metric, precision)
    monkeypatch.setattr(join, name, value)
    lists, left = whole_lists(x, 7, metric, precision)
    assert [part.tobytes() for part in lists] == [part.tobytes() for part in expected]
    assert len(left) > 500 or value not in (-4, -99)


def test_bytes_do_not_depend_on_dropping_what_was_found(precision, metric, features, monkeypatch):
    x = features("clustered", 2600, 10)
    expected, _ = whole_lists(x, 7, metric, precision)
    begin, drop, dropped = join.CandidatePool.__init__, join.CandidatePool.drop_below, []

    def spy(self, threshold):
        before = self.held
        left = drop(self, threshold)
        dropped.append(before - self.held)
        return left

    monkeypatch.setattr(
        join.CandidatePool, "__init__", lambda self, room, *types: begin(self, 50, *types)
    )
    monkeypatch.setattr(join, "_HELD", 0)
    monkeypatch.setattr(join.CandidatePool, "drop_below", spy)
    lists, _ = whole_lists(x, 7, metric, precision)
    assert [part.tobytes() for part in lists] == [part.tobytes() for part in expected]
    # Once for each of the six blocks at the end, and before that on the way.
    assert len(dropped) > 6
    assert max(dropped[:-6]) > 0


def test_bytes_do_not_depend_on_threads_and_chunks(
    precision, metric, features, rates, with_threads, monkeypatch
):
    x = features("near 2^-9", 600, 33)
    x[200:400] = features("isotropic", 200, 33)
    rates(1e15 if precision == "bfloat16" else 1e3)
    seen = set()
    for threads, chunk in ((1, 33), (2, 1 << 17), (3, 5000)):
        with_threads(threads)
        monkeypatch.setattr(rows, "CHUNK_VALUES", chunk)
        seen.add(as_bytes(knn_search(x, 5, metric=metric, method="join")))
    assert len(seen) == 1


def test_a_failure_stops_every_thread_and_leaves_torch_as_it_was(with_threads):
    with_threads(3)
    x = np.random.default_rng(0).standard_normal((6000, 8))
    calls = []

    def fail(share):
        calls.append(share)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        join_candidates(
            build_rows(x, np.arange(6000), "cosine"),
            np.arange(6000),
            4,
            precision="float32",
            block=512,
            progress=fail,
        )
    # Each thread may have been about to tell when the first one failed; there are 78 blocks.
    assert len(calls) <= 3
    assert torch.get_num_threads() == 3


@pytest.mark.cuda
@pytest.mark.parametrize("kind", ["isotropic", "clustered", "dyadic", "near 2^-9", "offset"])
def test_a_join_on_the_gpu_gives_the_same_bytes(kind, metric, precision, features, rates):
    x = features(kind, 3000, 48)
    expected = as_bytes(knn_search(x, 8, metric=metric, method="flat"))
    rates(1e15 if precision == "bfloat16" else 1e3)
    graph = knn_search(torch.from_numpy(x).cuda(), 8, metric=metric, method="join")
    assert graph.edge_index.device.type == "cuda"
    moved = graph.edge_index.cpu().numpy().tobytes() + graph.edge_weight.cpu().numpy().tobytes()
    assert moved == expected
