"""Nearest-neighbour graphs over items: a fast search for candidates, choice in float64."""

from mmgraph.graph.knn.choice import Method
from mmgraph.graph.knn.rows import Metric
from mmgraph.graph.knn.search import KNNGraph, knn_graph, knn_search

__all__ = ["KNNGraph", "Method", "Metric", "knn_graph", "knn_search"]
