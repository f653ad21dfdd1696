"""Exact nearest-neighbour graphs over items: search in float32, choice in float64."""

from mmgraph.graph.knn.join import knn_graph

__all__ = ["knn_graph"]
