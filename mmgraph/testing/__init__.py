"""For tests, ours and those of third-party models: a contract, dense oracles, tiny data with known answers."""

from mmgraph.testing.contract import RecommenderContract
from mmgraph.testing.tiny import checkerboard_dataset, checkerboard_graph

__all__ = ["RecommenderContract", "checkerboard_dataset", "checkerboard_graph"]
