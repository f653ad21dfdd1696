"""Sparse kernels: one matrix type, one product and three segment functions, with the backend chosen underneath."""

from mmgraph.sparse.adjacency import SparseAdjacency
from mmgraph.sparse.choice import available_backends, choose_backend, use_backend
from mmgraph.sparse.matmul import matmul
from mmgraph.sparse.powers import sum_of_powers
from mmgraph.sparse.segment import segment_max, segment_softmax, segment_sum
from mmgraph.sparse.similarity import edge_products

__all__ = [
    "SparseAdjacency",
    "available_backends",
    "choose_backend",
    "edge_products",
    "matmul",
    "segment_max",
    "segment_softmax",
    "segment_sum",
    "sum_of_powers",
    "use_backend",
]
