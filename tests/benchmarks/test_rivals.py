"""Every rival answers what it is asked: right lists, no row its own neighbour, all that it counts."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from benchmarks import rivals
from benchmarks.graph.features import make_features
from benchmarks.graph.methods import METHODS
from benchmarks.graph.oracle import KnnOracle, count_recall
from benchmarks.methods import Method
from benchmarks.rivals.answer import drop_self, unit_rows
from benchmarks.rivals.dense_torch import dense_bytes

ROWS, K = 400, 7
RIVALS = [name for name in METHODS["knn"] if not name.startswith("mmgraph")]
COUNTERS = [name for name in METHODS["cointeraction"]]


def loaded(method: Method) -> object:
    if method.is_missing():
        pytest.skip(f"{method.needs} is not installed")
    return method.load()


def exact_lists(x: NDArray[np.float32]) -> NDArray[np.int64]:
    rows = x.astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosine = rows @ rows.T
    np.fill_diagonal(cosine, -2)
    return np.argsort(-cosine, axis=1, kind="stable")[:, :K]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    # The first call of pynndescent compiles for twenty seconds.
    [pytest.param(n, marks=[pytest.mark.slow] if "descent" in n else []) for n in RIVALS],
)
def test_a_rival_finds_the_neighbours(name: str) -> None:
    method = METHODS["knn"][name]
    search = loaded(method)
    x = make_features("clustered", ROWS, 16, 0)
    before = x.copy()
    found = search(x, K, threads=1, seed=0, device="cpu", options=method.options)
    assert found.index.shape == (ROWS, K)
    assert found.index.dtype == np.int64
    assert not (found.index == np.arange(ROWS)[:, None]).any()
    assert np.array_equal(x, before)
    recall = KnnOracle(x, K, 0, sample=ROWS).recall(found.index)
    assert recall == 1 if method.exact else recall > 0.9
    assert all(seconds >= 0 for seconds in found.seconds.values())
    if method.exact:
        assert np.array_equal(np.sort(found.index), np.sort(exact_lists(x)))


def test_the_row_itself_is_dropped_wherever_it_stands() -> None:
    found = np.array([[0, 2, 1], [2, 1, 0], [0, 1, 3], [1, -1, -1]])
    assert drop_self(found).tolist() == [[2, 1], [2, 0], [0, 1], [1, -1]]


def test_unit_rows_leave_rows_of_zeros() -> None:
    rows = unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]], dtype=np.float16))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0]], rtol=1e-6)
    assert rows.dtype == np.float32


def test_the_whole_matrix_has_a_size() -> None:
    assert dense_bytes(100_000, 384) == 4 * 100_000**2 + 4 * 100_000 * 384


def test_recall_counts_every_right_neighbour_once() -> None:
    x = make_features("isotropic", ROWS, 16, 0)
    oracle = KnnOracle(x, K, 0, sample=50)
    right = exact_lists(x)
    assert oracle.recall(right) == 1
    wrong = right.copy()
    wrong[:, 0] = -1
    assert oracle.recall(wrong) == pytest.approx(1 - 1 / K)
    wrong[:, 0] = np.arange(ROWS)
    assert oracle.recall(wrong) == pytest.approx(1 - 1 / K)
    assert oracle.recall(np.repeat(right[:, :1], K, axis=1)) == pytest.approx(1 / K)


def test_equal_rows_may_stand_for_each_other() -> None:
    x = np.repeat(np.eye(4, dtype=np.float32), 3, axis=0)
    oracle = KnnOracle(x, 1, 0, sample=12)
    first = np.array([[3 * (row // 3) + (row + 1) % 3] for row in range(12)])
    other = np.array([[3 * (row // 3) + (row + 2) % 3] for row in range(12)])
    assert oracle.recall(first) == oracle.recall(other) == 1


@pytest.fixture(scope="module")
def pairs() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    user, item = np.nonzero(np.random.default_rng(0).random((40, 30)) < 0.2)
    return user, item


@pytest.mark.parametrize("side", ["item", "user"])
@pytest.mark.parametrize("name", COUNTERS)
def test_a_rival_counts_all_pairs(name: str, side: str, pairs: tuple) -> None:
    count = loaded(METHODS["cointeraction"][name])
    user, item = pairs
    matrix = sp.coo_array((np.ones(len(user)), (user, item)), shape=(40, 30)).toarray()
    product = matrix.T @ matrix if side == "item" else matrix @ matrix.T
    np.fill_diagonal(product, 0)
    counts = count(user, item, num_users=40, num_items=30, side=side, top_k=None)
    found = np.zeros_like(product)
    found[counts.target, counts.source] = 1
    assert np.array_equal(found, product > 0)
    assert len(counts.source) == (product > 0).sum()


@pytest.mark.parametrize("name", [name for name in COUNTERS if name != "scipy"])
def test_a_rival_keeps_the_largest_counts(name: str, pairs: tuple) -> None:
    count = loaded(METHODS["cointeraction"][name])
    user, item = pairs
    counts = count(user, item, num_users=40, num_items=30, side="item", top_k=4)
    assert np.bincount(counts.target).max() == 4
    judged = count_recall(counts.source, counts.target, node=item, partner=user, top_k=4, seed=0)
    assert judged == 1


def test_missing_and_surplus_edges_lower_the_figure(pairs: tuple) -> None:
    user, item = pairs
    count = METHODS["cointeraction"]["scipy"].load()
    counts = count(user, item, num_users=40, num_items=30, side="item", top_k=None)

    def judged(source: NDArray[np.int64], target: NDArray[np.int64]) -> float:
        return count_recall(source, target, node=item, partner=user, top_k=None, seed=0)

    number = len(counts.source)
    assert judged(counts.source, counts.target) == 1
    assert judged(counts.source[1:], counts.target[1:]) == pytest.approx(1 - 1 / number)
    surplus = judged(np.append(counts.source, 0), np.append(counts.target, 0))
    assert surplus == pytest.approx(1 - 1 / number)


def test_the_table_names_what_exists() -> None:
    for methods in METHODS.values():
        for method in methods.values():
            module = method.place.partition(":")[0]
            assert importlib.util.find_spec(module), method.place


def test_rivals_know_nothing_of_the_library_but_the_one_that_says_so() -> None:
    folder = Path(rivals.__file__).parent
    found = {
        p.stem
        for p in folder.glob("*.py")
        if re.search(r"^(from|import) mmgraph", p.read_text(), re.MULTILINE)
    }
    assert found == {"plain_system"}
    assert "``plain_system``" in str(rivals.__doc__)
