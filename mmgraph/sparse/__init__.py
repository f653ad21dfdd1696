"""Sparse kernels: one matrix type and one product, with the backend chosen underneath."""

from mmgraph.sparse.adjacency import SparseAdjacency
from mmgraph.sparse.matmul import available_backends, choose_backend, matmul

__all__ = ["SparseAdjacency", "available_backends", "choose_backend", "matmul"]
