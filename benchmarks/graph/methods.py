"""The table of methods: where each is, with which settings, and what it needs."""

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.graph.cells import What
from mmgraph.errors import ConfigError, nearest

INSTALL = "pip install mmgraph[bench]"
OURS = "mmgraph"


@dataclass(frozen=True)
class Method:
    """One way with one setting.

    Attributes:
        place: ``module:function``.
        exact: Whether it compares all pairs, so that its share of the GEMM peak means something.
        needs: Module that must be importable.
        install: How to get it.
    """

    place: str
    options: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = False
    needs: str | None = None
    install: str = INSTALL

    def load(self) -> Callable[..., Any]:
        """Import and return the function."""
        module, _, name = self.place.partition(":")
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return function

    def is_missing(self) -> bool:
        """Return whether the library it needs is not installed."""
        return self.needs is not None and importlib.util.find_spec(self.needs) is None


_OURS = "benchmarks.graph.ours:search"
_HNSW = "benchmarks.rivals.faiss_hnsw:search"
_NND = "benchmarks.rivals.nn_descent:search"
_USEARCH = "benchmarks.rivals.usearch_hnsw:search"
_CLUSTER = "see https://github.com/rusty1s/pytorch_cluster"

_KNN = {
    OURS: Method(_OURS, {"method": "exact"}, exact=True),
    "mmgraph-join": Method(_OURS, {"method": "join"}, exact=True),
    "mmgraph-flat": Method(_OURS, {"method": "flat"}, exact=True),
    "mmgraph-auto": Method(_OURS, {"method": "auto", "min_recall": 0.95}),
    "mmgraph-ivf": Method(_OURS, {"method": "ivf", "min_recall": 0.95}),
    "mmgraph-hnsw": Method(_OURS, {"method": "hnsw", "min_recall": 0.95}),
    "faiss-flat": Method("benchmarks.rivals.faiss_flat:search", exact=True),
    "faiss-ivf": Method("benchmarks.rivals.faiss_ivf:search", {"nprobe": 16}),
    "faiss-ivf-tuned": Method("benchmarks.rivals.faiss_ivf:search", {"nprobe": 64}),
    "faiss-hnsw": Method(_HNSW),
    "faiss-hnsw-tuned": Method(_HNSW, {"links": 32, "build": 128, "search": 96}),
    "torch-dense": Method("benchmarks.rivals.dense_torch:search", exact=True),
    "torch-blocks": Method("benchmarks.rivals.dense_torch:search", {"block": 2048}, exact=True),
    "sklearn": Method("benchmarks.rivals.sklearn_brute:search", exact=True, needs="sklearn"),
    "pynndescent": Method(_NND, needs="pynndescent"),
    "pynndescent-tuned": Method(_NND, {"neighbours": 30}, needs="pynndescent"),
    "usearch": Method(_USEARCH, needs="usearch"),
    "usearch-tuned": Method(
        _USEARCH,
        {"connectivity": 32, "expansion_add": 192, "expansion_search": 128},
        needs="usearch",
    ),
    "pyg": Method(
        "benchmarks.rivals.pyg_knn:search", exact=True, needs="torch_cluster", install=_CLUSTER
    ),
}
_COINTERACTION = {
    OURS: Method("benchmarks.graph.ours:count", exact=True),
    "scipy": Method("benchmarks.rivals.scipy_cointeraction:count", exact=True),
    "sparse-dot-topn": Method(
        "benchmarks.rivals.topn_cointeraction:count", exact=True, needs="sparse_dot_topn"
    ),
    "dict": Method("benchmarks.rivals.dict_cointeraction:count", exact=True),
}
_BUILD = {
    OURS: Method("benchmarks.graph.build:OurBuild"),
    "plain": Method("benchmarks.graph.build:PlainBuild"),
}

METHODS: dict[What, dict[str, Method]] = {
    "knn": _KNN,
    "cointeraction": _COINTERACTION,
    "build": _BUILD,
}
BASELINES: dict[What, tuple[str, ...]] = {
    "knn": ("faiss-flat", "torch-dense"),
    "cointeraction": ("scipy",),
    "build": ("plain",),
}
"""Whose seconds are divided by those of the others of a cell."""


def find_method(what: What, name: str) -> Method:
    """Return a method by name.

    Raises:
        ConfigError: There is none of that name.
    """
    known = METHODS[what]
    if name not in known:
        raise ConfigError(f"method {name!r} of {what} does not exist{nearest(name, known)}")
    return known[name]


def method_names() -> list[str]:
    """Return all names, each once."""
    return list(dict.fromkeys(name for methods in METHODS.values() for name in methods))
