"""The table of methods: where each is, with which settings, and what it needs."""

from benchmarks.cells import OURS, PLAIN
from benchmarks.methods import Method

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
    "mmgraph-nndescent": Method(
        _OURS,
        {"method": "nndescent", "min_recall": 0.95},
        needs="pynndescent",
        install="pip install 'mmgraph[nndescent]'",
    ),
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
    OURS: Method("benchmarks.graph.builds:OurBuild"),
    PLAIN: Method("benchmarks.graph.builds:PlainBuild"),
}

METHODS: dict[str, dict[str, Method]] = {
    "knn": _KNN,
    "cointeraction": _COINTERACTION,
    "build": _BUILD,
}
BASELINES: dict[str, tuple[str, ...]] = {
    "knn": ("faiss-flat", "torch-dense"),
    "cointeraction": ("scipy",),
    "build": (PLAIN,),
}
"""Whose seconds are divided by those of the others of a cell."""
