"""What the tests of the search share: a definition by all pairs, and features that are hard to search."""

from collections.abc import Iterator

import faiss
import numpy as np
import pytest
import torch

from mmgraph.graph.knn import choice


def all_scores(x, metric, mask=None):
    """Score all pairs in float64, every pair alone and in the same order; -inf where none is."""
    x = np.asarray(x).astype(np.float64)
    score = np.empty((len(x), len(x)))
    for i, row in enumerate(x):
        score[i] = -((x - row) ** 2).sum(1) if metric == "l2" else (x * row).sum(1)
    there = np.ones(len(x), dtype=bool) if mask is None else np.asarray(mask).copy()
    if metric == "cosine":
        length = np.sqrt(np.diag(score))
        there &= length > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            score /= length[:, None] * length
    score[~there] = -np.inf
    score[:, ~there] = -np.inf
    return score, there


def nearest_rows(x, count, metric, mask=None):
    """Return who has a list, and the lists by falling score, ties by smaller number."""
    score, there = all_scores(x, metric, mask)
    np.fill_diagonal(score, -np.inf)
    order = np.argsort(-score, axis=1, kind="stable")[there, :count]
    return np.flatnonzero(there), order, np.take_along_axis(score[there], order, axis=1)


def _clustered(generator, num_items, dim):
    centres = generator.standard_normal((max(2, num_items // 20), dim))
    spread = generator.choice([0.01, 0.1, 0.5], len(centres))
    of = generator.integers(0, len(centres), num_items)
    return centres[of] + spread[of, None] * generator.standard_normal((num_items, dim)), of


def make_features(kind, num_items, dim, seed=0):
    """Draw features of a kind that is hard in its own way; float32 but where the kind needs more."""
    generator = np.random.default_rng(seed)
    normal = generator.standard_normal((num_items, dim))
    if kind == "isotropic":
        x = normal
    elif kind == "clustered":
        x = _clustered(generator, num_items, dim)[0]
    elif kind == "sorted":
        x, of = _clustered(generator, num_items, dim)
        x = x[np.argsort(of, kind="stable")]
    elif kind == "few":
        x = normal[generator.integers(0, 12, num_items)]
    elif kind == "copies":
        x = normal.copy()
        x[num_items // 3 : num_items // 2] = x[generator.integers(0, 4, num_items // 2)][
            : num_items // 2 - num_items // 3
        ]
    elif kind == "whole":
        x = generator.integers(-2, 3, (num_items, dim))
    elif kind == "dyadic":
        # Exact in bfloat16, their products are not: only the rounding of products is in the way.
        x = generator.integers(-8, 9, (num_items, dim)) / 8
        x[0], x[0, 0] = 0, 2.0 ** np.ceil(np.log2(max(1, dim) ** 0.5) + 1)
    elif kind in ("near 2^-9", "near 2^-24"):
        step = 2.0 ** float(kind.removeprefix("near 2^"))
        x = (1 + generator.random(dim)) * (1 + 4 * step * normal)
    elif kind == "opposite":
        # About half of the rows have no positive product with more than a few others.
        x = np.abs(normal) * np.where(np.arange(num_items) % 40 == 0, -1.0, 1.0)[:, None]
        x[:, 0] += np.where(np.arange(num_items) % 40 == 0, -3.0, 3.0)
    elif kind == "lengths":
        x = normal * 10.0 ** generator.uniform(-6, 3, (num_items, 1))
    elif kind == "offset":
        x = normal + 30
    else:
        raise KeyError(kind)
    return x.astype(np.float32)


KINDS = (
    "isotropic",
    "clustered",
    "sorted",
    "few",
    "copies",
    "whole",
    "dyadic",
    "near 2^-9",
    "near 2^-24",
    "opposite",
    "lengths",
    "offset",
)


@pytest.fixture(scope="session")
def features():
    return make_features


@pytest.fixture(scope="session")
def scores():
    return all_scores


@pytest.fixture(scope="session")
def definition():
    return nearest_rows


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(params=["cosine", "inner_product", "l2"])
def metric(request):
    return request.param


@pytest.fixture(params=["bfloat16", "float32"])
def precision(request):
    return request.param


@pytest.fixture
def rates(monkeypatch):
    """Have the machine multiply as fast as a test says; return what tells it so."""

    def set_rates(bfloat16, float32=1e12):
        known = {"float32": float32} | ({"bfloat16": bfloat16} if bfloat16 else {})
        monkeypatch.setattr(choice, "multiply_rates", lambda device, threads: known)

    return set_rates


@pytest.fixture
def with_threads() -> Iterator:
    """Give torch and FAISS a number of threads, and take it back after the test."""
    before = torch.get_num_threads(), faiss.omp_get_max_threads()

    def set_threads(number):
        torch.set_num_threads(number)
        faiss.omp_set_num_threads(number)

    yield set_threads
    torch.set_num_threads(before[0])
    faiss.omp_set_num_threads(before[1])
