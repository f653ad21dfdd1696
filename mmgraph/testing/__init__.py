"""For tests, ours and those of third-party models: a contract, dense oracles, tiny data with known answers."""

from mmgraph.testing.contract import RecommenderContract, ScoringContract
from mmgraph.testing.tiny import checkerboard_dataset, checkerboard_graph

__all__ = ["RecommenderContract", "ScoringContract", "checkerboard_dataset", "checkerboard_graph"]
