"""Questions put to trained runs: what is left of the features, which modality is trusted, what decided a score.

Each takes a run and returns plain numbers, one JSON object; ``mmgraph.report`` draws them. They know models only
through what every :class:`mmgraph.models.base.Recommender` promises.
"""

from mmgraph.analysis.attention import analyze_attention
from mmgraph.analysis.preservation import analyze_preservation
from mmgraph.analysis.weights import analyze_weights

__all__ = ["analyze_attention", "analyze_preservation", "analyze_weights"]
