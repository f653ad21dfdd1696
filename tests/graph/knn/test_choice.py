"""Which way a search goes, and the memory it says it needs, and keeps."""

import numpy as np
import pytest
import torch

from mmgraph.errors import GraphError
from mmgraph.graph.knn import choice, join, knn_search
from mmgraph.graph.knn.choice import Plan, choose_method, needed_memory, recall_error
from mmgraph.graph.knn.lists import Search
from mmgraph.graph.knn.rows import build_rows

LARGE = {"num_rows": 30_000, "num_targets": 30_000, "dim": 256, "count": 10}


def chosen(method="exact", **options):
    given = {
        **LARGE,
        "metric": "cosine",
        "device": torch.device("cpu"),
        "min_recall": 1.0,
        "max_memory": None,
    }
    return choose_method(method, **(given | options))


@pytest.mark.parametrize("method", ["exact", "auto"])
def test_the_fastest_exact_way_is_chosen(method, rates):
    rates(bfloat16=4e11, float32=1e11)
    assert chosen(method)[:2] == ("join", "bfloat16")
    rates(bfloat16=1e9, float32=1e11)
    assert chosen(method)[:2] == ("join", "float32")
    rates(bfloat16=None, float32=1e11)
    assert chosen(method)[:2] == ("join", "float32")
    # Products so fast that nothing but keeping the books costs time.
    rates(bfloat16=1e9, float32=1e15)
    assert chosen(method)[:2] == ("flat", "float32")
    # A tenth of the lists: a join saves little.
    rates(bfloat16=1e9, float32=1e11)
    assert chosen(method, num_targets=300, dim=4096)[0] == "join"


def test_a_join_takes_the_faster_type(rates):
    rates(bfloat16=4e11, float32=1e11)
    assert chosen("join")[:2] == ("join", "bfloat16")
    rates(bfloat16=1e9, float32=1e11)
    assert chosen("join")[:2] == ("join", "float32")
    assert chosen("flat")[:2] == ("flat", "float32")


def test_little_work_needs_no_calibration(monkeypatch):
    monkeypatch.setattr(choice, "multiply_rates", None)
    assert chosen(num_rows=1000, num_targets=1000)[:2] == ("flat", "float32")
    assert chosen("auto", num_targets=2)[:2] == ("flat", "float32")
    assert chosen(count=161)[0] == "flat"
    assert chosen(num_rows=400, num_targets=400, dim=10**6, count=100)[0] == "flat"
    for name in ("flat", "ivf", "hnsw"):
        assert chosen(name)[:2] == (name, "float32")


@pytest.mark.parametrize(
    ("num_rows", "min_recall", "method"),
    [
        (250_000, 0.9, "join"),
        (250_001, 0.9, "ivf"),
        (250_001, 1.0, "join"),
        (10**7, 0.999, "ivf"),
    ],
)
def test_auto_is_exact_unless_the_catalogue_is_large_and_less_will_do(
    num_rows, min_recall, method, rates, monkeypatch
):
    rates(bfloat16=4e11, float32=1e11)
    monkeypatch.setattr(choice, "find_library", lambda: None)
    options = {"num_rows": num_rows, "num_targets": num_rows, "min_recall": min_recall}
    assert chosen("auto", **options).method == method
    assert chosen("exact", **options).method == "join"


@pytest.mark.parametrize(("num_rows", "count"), [(30_000, 161), (400, 100), (4, 1)])
def test_a_join_of_too_many_neighbours_is_refused_in_one_line(num_rows, count):
    with pytest.raises(GraphError) as caught:
        chosen("join", num_rows=num_rows, num_targets=num_rows, count=count)
    message = str(caught.value)
    assert f"got {count} neighbours among {num_rows} items" in message
    assert "use method='exact'" in message
    assert "\n" not in message


def test_what_fits_into_the_memory_is_chosen(rates):
    rates(bfloat16=4e11, float32=1e11)
    first = chosen()
    assert chosen(max_memory=first.memory) == first
    rates(bfloat16=None, float32=1e15)
    flat = chosen()
    joined = needed_memory("join", "float32", 30_000, 30_000, 256, 10)
    assert flat.method == "flat"
    least = min(flat.memory, joined)
    assert chosen(max_memory=least).memory == least
    with pytest.raises(GraphError) as caught:
        chosen(max_memory=least - 1)
    message = str(caught.value)
    assert f"max_memory must be at least {least} bytes ({least / 2**20:.0f} MiB)" in message
    assert f"with 30000 items of 256 features (got {least - 1}); raise max_memory" in message
    assert "\n" not in message


@pytest.mark.parametrize("method", ["auto", "exact", "join", "flat", "ivf", "hnsw"])
def test_too_little_memory_is_refused_before_anything_is_made(method, monkeypatch, rates):
    rates(bfloat16=4e11)
    x = np.ones((3000, 8), np.float32)
    x[:, 0] = np.arange(3000)
    for part in ("join_candidates", "flat_candidates", "approximate_candidates"):
        monkeypatch.setattr(f"mmgraph.graph.knn.lists.{part}", None)
    with pytest.raises(GraphError, match=r"max_memory must be at least \d+ bytes \(\d+ MiB\)"):
        knn_search(x, 5, method=method, max_memory=1 << 20, min_recall=0.5)


def test_the_estimate_grows_with_what_is_asked():
    plain = dict(zip(("num_rows", "num_targets", "dim", "count"), LARGE.values(), strict=True))
    for method in ("join", "flat", "ivf", "hnsw", "nndescent"):
        least = needed_memory(method, "float32", **plain)
        for name in ("num_rows", "dim", "count"):
            more = needed_memory(method, "float32", **plain | {name: plain[name] * 10})
            assert more > least or (name == "count" and method in ("ivf", "hnsw"))
    assert needed_memory("join", "bfloat16", **plain) < needed_memory("join", "float32", **plain)
    # Far below the dense matrix.
    plain["num_rows"] = plain["num_targets"] = 200_000
    assert needed_memory("join", "float32", **plain) < 200_000**2 * 4 / 50


MEASURE = """
    import sys
    method, metric, precision, kind = sys.argv[1:5]
    k = int(sys.argv[5])
    known = {"float32": 1e12} | ({"bfloat16": 1e15} if precision == "bfloat16" else {})
    choice.multiply_rates = lambda device, threads: known
    random = np.random.default_rng(0)
    x = random.standard_normal((20_000, 256), dtype=np.float32)
    if kind != "isotropic":
        # Clusters of twenty, or of some hundred that are too close for bfloat16.
        centres, spread = {"clustered": (1000, 0.3), "close": (40, 0.04)}[kind]
        x *= spread
        x += random.standard_normal((centres, 256), dtype=np.float32)[
            random.integers(0, centres, len(x))
        ]
    few = x[:2000].copy()
    options = {"metric": metric, "method": method, "min_recall": 0.3}
    knn_search(few, k, **options)
    limit = choice.needed_memory(
        method, precision, len(x), len(x), x.shape[1], k, metric == "l2"
    )
    used, graph = growth(lambda: knn_search(x, k, max_memory=limit, **options))
    print(graph.method, graph.precision, graph.memory, limit, used)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "metric", "precision", "kind", "k"),
    [
        ("join", "cosine", "bfloat16", "clustered", 10),
        ("join", "l2", "float32", "isotropic", 10),
        ("join", "cosine", "float32", "isotropic", 100),
        ("join", "cosine", "bfloat16", "close", 10),
        ("flat", "cosine", "float32", "clustered", 10),
        ("ivf", "cosine", "float32", "clustered", 10),
        ("hnsw", "inner_product", "float32", "clustered", 10),
    ],
)
def test_a_search_stays_within_the_memory_it_was_given(
    method, metric, precision, kind, k, run_python
):
    words = run_python(MEASURE, method, metric, precision, kind, k)
    assert words[:2] == [method, precision]
    estimate, limit, used = map(int, words[2:])
    assert estimate == limit
    assert used <= 1.1 * estimate


@pytest.mark.parametrize("method", ["join", "flat"])
def test_a_large_memory_map_is_not_copied(method, tmp_path, run_python):
    x = np.random.default_rng(0).standard_normal((50_000, 64)).astype(np.float16)
    np.save(tmp_path / "x.npy", x)
    code = """
        import sys
        choice.multiply_rates = lambda device, threads: {"float32": 1e12, "bfloat16": 1e12}
        few = np.random.default_rng(1).standard_normal((2000, 64)).astype(np.float16)
        x = np.load(sys.argv[1], mmap_mode="r", allow_pickle=False)
        knn_search(few, 5, method=sys.argv[2])
        targets = np.arange(4000)
        used, graph = growth(lambda: knn_search(x, 10, method=sys.argv[2], targets=targets))
        print(graph.edge_index.shape[1], used)
    """
    edges, used = map(int, run_python(code, tmp_path / "x.npy", method))
    assert edges == 40_000
    # All pairs in float32 are 10 GB, those of the targets alone 800 MB.
    assert used < 120 << 20


def test_rates_are_positive_and_measured_once(monkeypatch):
    choice.multiply_rates.cache_clear()
    rates = choice.multiply_rates("cpu", 1)
    assert set(rates) <= {"float32", "bfloat16"}
    assert all(rate > 0 for rate in rates.values())
    monkeypatch.setattr(choice, "_seconds", None)
    assert choice.multiply_rates("cpu", 1) is rates
    choice.multiply_rates.cache_clear()


@pytest.mark.parametrize(("wrong", "expected"), [("bfloat16", ["float32"]), (None, None)])
def test_a_type_whose_products_are_inaccurate_is_left_out(wrong, expected, monkeypatch):
    exact = torch.Tensor.__matmul__

    def multiply(one, other):
        product = exact(one, other)
        if one.dtype == torch.bfloat16 and wrong:
            # As if partial sums were kept in bfloat16.
            middle = one.shape[1] // 2
            product = exact(one[:, :middle], other[:middle]) + exact(
                one[:, middle:], other[middle:]
            )
        return product

    choice.multiply_rates.cache_clear()
    monkeypatch.setattr(choice, "_seconds", lambda x, device: 1.0)
    monkeypatch.setattr(torch.Tensor, "__matmul__", multiply)
    known = list(choice.multiply_rates("cpu", 1))
    choice.multiply_rates.cache_clear()
    assert sorted(known) == (expected or ["bfloat16", "float32"])


def test_recall_is_never_rounded_up_to_what_was_wanted():
    message = str(recall_error(0.94999999, 0.95, "hnsw"))
    assert message == (
        "recall must be at least 0.95 (min_recall; got 0.9499 with method 'hnsw'); lower "
        "min_recall or use method='exact'"
    )


def test_a_plan_says_what_it_needs():
    assert Plan("join", "bfloat16", 5)._fields == ("method", "precision", "memory", "instead")
    assert Plan("join", "bfloat16", 5).instead is None
    for count in (1, 10, 64, join.LARGEST_COUNT):
        groups = join.block_rows(10, count) // join.GROUP
        assert groups % 64 == 0
        assert groups >= 1.6 * count


def test_auto_takes_another_way_where_memory_is_short(rates, monkeypatch):
    rates(1e12)
    monkeypatch.setattr(choice, "find_library", lambda: None)
    options = {"num_rows": 1_000_000, "num_targets": 1_000_000, "dim": 2048, "min_recall": 0.95}
    assert chosen("auto", **options).method == "ivf"
    assert chosen("auto", max_memory=8_000_000_000, **options).method == "join"
    with pytest.raises(GraphError, match="for method 'auto' with 1000000 items"):
        chosen("auto", max_memory=1_000_000, **options)


def test_what_is_left_over_is_copied_only_if_there_is_room():
    x = np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32)
    of = build_rows(x, np.arange(300), "cosine")
    for max_memory, thrifty in ((None, False), (1 << 40, False), (1000, True)):
        plan = Plan("join", "bfloat16", 0)
        search = Search(of, np.arange(300), 5, plan, torch.device("cpu"), 1.0, max_memory, 0, None)
        assert search._must_be_thrifty() is thrifty
