"""Which backend is taken: argument, context, variable, and last the clock."""

import importlib
import sys
import threading

import pytest
import torch

from mmgraph.errors import ConfigError
from mmgraph.sparse import available_backends, choice, choose_backend, matmul, use_backend
from mmgraph.sparse.calibration import Case, Timing
from mmgraph.sparse.choice import BACKEND_VARIABLE, BACKENDS, GAIN, SMALL, compare, prefer
from mmgraph.testing.kernels import adjacency_of, sample_matrices

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(BACKEND_VARIABLE, raising=False)
    choice.forget()
    yield
    choice.forget()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch):
    """Make the backends as slow as said; everything else takes ten seconds."""
    asked: list[tuple[list[str], Case]] = []
    seconds: dict[str, float] = {}

    def timings(backends, case, *, fresh=False):
        asked.append(([*backends], case))
        return {name: Timing(seconds.get(name, 10.0), 0.0) for name in backends}

    monkeypatch.setattr(choice, "timings", timings)
    return seconds, asked


def break_backends(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        module = importlib.import_module(BACKENDS[name])
        monkeypatch.setattr(module, "why_not", lambda device: "not today")


def test_the_fastest_is_chosen(clock) -> None:
    seconds, asked = clock
    seconds["csr"] = 1.0
    assert choose_backend("cpu") == "csr"
    assert choose_backend("cpu") == "csr"
    assert len(asked) == 1  # and remembered
    assert asked[0][1] == Case(CPU)


def test_an_earlier_one_is_kept_unless_a_later_one_gains_a_fifth(clock) -> None:
    seconds, _ = clock
    seconds.update(embedding_bag=1.0, csr=0.81)
    assert choose_backend("cpu") == "embedding_bag"
    choice.forget()
    seconds["csr"] = GAIN * 1.0
    assert choose_backend("cpu") == "csr"


def test_preference_compares_with_the_best_so_far() -> None:
    times = {"a": Timing(0.5, 0.5), "b": Timing(0.7, 0.0), "c": Timing(0.6, 0.0)}
    assert prefer(times) == "b"
    assert prefer({"a": Timing(0.0, 1.0)}) == "a"


def test_every_case_is_timed_by_itself(clock) -> None:
    seconds, asked = clock
    seconds["csr"] = 1.0
    choose_backend("cpu", dtype=torch.float64)
    choose_backend("cpu", reduce="max")
    choose_backend("cpu", learned=True)
    choose_backend("cpu", reduce="mean")  # a sum with other weights
    assert [str(case) for _, case in asked] == [
        "float64 sum",
        "float32 max",
        "float32 sum, learned weights",
        "float32 sum",
    ]
    assert "embedding_bag" not in asked[1][0]


def test_another_number_of_threads_is_another_choice(clock) -> None:
    seconds, asked = clock
    torch.set_num_threads(1)
    choose_backend("cpu")
    torch.set_num_threads(2)
    seconds["gather"] = 1.0
    assert choose_backend("cpu") == "gather"
    assert len(asked) == 2


def test_small_matrices_take_the_first_that_works(clock, monkeypatch: pytest.MonkeyPatch) -> None:
    _, asked = clock
    assert choose_backend("cpu", num_edges=SMALL - 1) == "embedding_bag"
    assert choose_backend("cpu", num_edges=SMALL - 1, reduce="max") == "csr"
    choice.forget()
    break_backends(monkeypatch, "embedding_bag", "csr")
    assert choose_backend("cpu", num_edges=SMALL - 1) == "edge_index"
    assert asked == []
    choose_backend("cpu", num_edges=SMALL)
    assert len(asked) == 1


def test_a_backend_that_computes_something_wrong_is_not_taken(
    clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(BACKENDS["embedding_bag"])
    original = module.multiply
    monkeypatch.setattr(module, "multiply", lambda *args: original(*args) + 1)
    assert choose_backend("cpu", num_edges=1) == "csr"
    with pytest.raises(
        ConfigError, match=r"a trial product was 1 off, relatively; choose another$"
    ):
        choose_backend("cpu", "embedding_bag")


def test_other_devices_fall_back_to_plain_operations() -> None:
    assert choose_backend("mps") == "gather"


def test_argument_over_context_over_variable_over_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMGRAPH_SPARSE_BACKEND", "gather")
    assert choose_backend("cpu") == "gather"
    with use_backend("csr"):
        assert choose_backend("cpu") == "csr"
        assert choose_backend("cpu", "edge_index") == "edge_index"
        with use_backend("embedding_bag"):
            assert choose_backend("cpu") == "embedding_bag"
        with use_backend(None):
            assert choose_backend("cpu") == "csr"
    assert choose_backend("cpu") == "gather"
    with pytest.raises(RuntimeError), use_backend("csr"):
        raise RuntimeError
    assert choose_backend("cpu") == "gather"


def test_the_context_holds_in_its_own_thread_only() -> None:
    found = []
    with use_backend("gather"):
        thread = threading.Thread(target=lambda: found.append(choose_backend("cpu", num_edges=1)))
        thread.start()
        thread.join()
    assert found == ["embedding_bag"]


def test_the_context_reaches_the_product_and_its_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gather = importlib.import_module(BACKENDS["gather"])
    original, calls = gather.multiply, []

    def multiply(*args):
        calls.append(1)
        return original(*args)

    monkeypatch.setattr(gather, "multiply", multiply)
    x = torch.ones(6, 1, dtype=torch.float64, requires_grad=True)
    with use_backend("gather"):
        product = matmul(adjacency_of(sample_matrices()["square"]), x)
    product.sum().backward()
    assert len(calls) == 2


@pytest.mark.parametrize("way", ["argument", "context", "variable"])
def test_an_unknown_backend_is_named_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "variable":
        monkeypatch.setenv(BACKEND_VARIABLE, "gahter")
    with pytest.raises(ConfigError) as caught, use_backend("gahter" if way == "context" else None):
        choose_backend("cpu", "gahter" if way == "argument" else None)
    assert str(caught.value) == (
        "the sparse backend must be a known one (got 'gahter'); did you mean 'gather'?"
    )


def test_an_unknown_backend_like_no_other_lists_the_known() -> None:
    known = "csr, edge_index, embedding_bag, gather, scatter, torch_sparse"
    with pytest.raises(ConfigError, match=rf"\(got 'x'\); known: {known}$"):
        choose_backend("cpu", "x")


def test_a_backend_that_cannot_work_says_why() -> None:
    with pytest.raises(ConfigError) as caught:
        choose_backend("mps", "csr")
    assert str(caught.value) == (
        "the sparse backend 'csr' cannot be used for float32 sum on mps: there is no kernel for "
        "device type 'mps'; choose another"
    )
    with pytest.raises(ConfigError, match=r"for float32 max on cpu: it takes no maxima"):
        choose_backend("cpu", "embedding_bag", reduce="max")


def test_all_backends_are_listed_with_reasons() -> None:
    on_cpu, on_mps = available_backends(), available_backends("mps")
    assert list(on_cpu) == [*BACKENDS]
    assert {name for name, why in on_cpu.items() if why is None} >= {"csr", "gather"}
    assert on_mps["gather"] is None
    assert "mps" in on_mps["csr"]


def test_on_a_gpu_the_order_is_another() -> None:
    assert set(choice.order("cuda")) == set(BACKENDS)
    assert choice.order("cuda")[0] == "csr"
    assert choice.order("cuda")[-1] == choice.order("cpu")[-1] == "gather"


def test_a_broken_package_that_is_not_needed_harms_nobody(tmp_path, monkeypatch) -> None:
    (tmp_path / "torch_sparse.py").write_text("raise OSError('undefined symbol: _ZN3c10')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch_sparse", raising=False)
    assert choose_backend("cpu", num_edges=1) == "embedding_bag"
    assert "cannot be imported (undefined symbol" in available_backends("cpu")["torch_sparse"]


def test_the_comparison_says_why(clock, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds, _ = clock
    seconds.update(embedding_bag=2.0, csr=1.9, edge_index=4.0)
    break_backends(monkeypatch, "torch_sparse", "scatter")
    said = {verdict.name: verdict for verdict in compare(Case(CPU))}
    assert [name for name, verdict in said.items() if verdict.chosen] == ["embedding_bag"]
    assert said["embedding_bag"].reason == "csr is not faster by a fifth"
    assert said["csr"].reason == "0.9 times the time of embedding_bag"
    assert said["edge_index"].reason == "2.0 times the time of embedding_bag"
    assert said["scatter"].reason == said["scatter"].why_not == "not today"
    assert said["scatter"].timing is None
    seconds["csr"] = 1.0
    choice.forget()
    assert {v.name: v.reason for v in compare(Case(CPU))}["csr"] == "the fastest"
    with use_backend("gather"):
        assert {v.name: v.reason for v in compare(Case(CPU))}["gather"] == "named by the user"
