"""Data set to graph: user-item edges, nearest-neighbour graphs per modality, co-interaction graphs.

:func:`build_graph` makes the whole graph of a data set; the builders of its parts work alone as
functions and, in :mod:`mmgraph.graph.transforms`, as PyTorch Geometric transforms.
"""

from mmgraph.graph.bipartite import bipartite_edges
from mmgraph.graph.build import BuildRecord, GraphConfig, build_graph, graph_metadata
from mmgraph.graph.cointeraction import cointeraction_graph
from mmgraph.graph.inspect import inspect_graph
from mmgraph.graph.knn import KNNGraph, knn_graph, knn_search
from mmgraph.graph.normalize import normalize_edges
from mmgraph.graph.schema import check_graph, knn_edge_type, modalities_of
from mmgraph.graph.store import check_target, load_graph, read_graph_metadata, save_graph
from mmgraph.graph.transforms import AddBipartite, AddCointeraction, AddKNNGraph

__all__ = [
    "AddBipartite",
    "AddCointeraction",
    "AddKNNGraph",
    "BuildRecord",
    "GraphConfig",
    "KNNGraph",
    "bipartite_edges",
    "build_graph",
    "check_graph",
    "check_target",
    "cointeraction_graph",
    "graph_metadata",
    "inspect_graph",
    "knn_edge_type",
    "knn_graph",
    "knn_search",
    "load_graph",
    "modalities_of",
    "normalize_edges",
    "read_graph_metadata",
    "save_graph",
]
