"""Dense float64 versions of the equations, as plain as the papers print them.

Slow, and of quadratic size: for graphs of a few dozen nodes. They share no code with the package; matrices are
numpy arrays, row ``i`` of an item graph belongs to the item that receives. Edges are given as ``train_pairs``, one
(user, item) in a row, without duplicates.
"""

from mmgraph.testing.oracles.baselines import (
    cb_scores,
    cb_similarity,
    cointeraction_softmax,
    dragon,
    freedom,
    freedom_item_graph,
    lattice_item_graph,
    ngcf_layer,
)
from mmgraph.testing.oracles.blocks import (
    Matrix,
    bpr,
    half_squared_penalty,
    interaction_matrix,
    lightgcn,
    mean_squared_penalty,
    norm_penalty,
    normalized_graph,
    sym_adjacency,
    unit_rows,
)
from mmgraph.testing.oracles.margo import (
    margo_calibration,
    margo_confidence,
    margo_reliability,
    margo_scores,
    margo_weights,
)
from mmgraph.testing.oracles.mario import (
    mario_logit,
    mario_pooled,
    mario_preservation,
    mario_score,
    mario_weights,
)
from mmgraph.testing.oracles.mm_gef import (
    mm_gef,
    mm_gef_cointeraction_graph,
    mm_gef_content_graph,
    mm_gef_features,
    mm_gef_features_side_by_side,
    mm_gef_final_items,
    mm_gef_item_graph,
    mm_gef_message,
    mm_gef_neighbour_attention,
    mm_gef_projected_features,
)
from mmgraph.testing.oracles.preservation import similarity_change

__all__ = [
    "Matrix",
    "bpr",
    "cb_scores",
    "cb_similarity",
    "cointeraction_softmax",
    "dragon",
    "freedom",
    "freedom_item_graph",
    "half_squared_penalty",
    "interaction_matrix",
    "lattice_item_graph",
    "lightgcn",
    "margo_calibration",
    "margo_confidence",
    "margo_reliability",
    "margo_scores",
    "margo_weights",
    "mario_logit",
    "mario_pooled",
    "mario_preservation",
    "mario_score",
    "mario_weights",
    "mean_squared_penalty",
    "mm_gef",
    "mm_gef_cointeraction_graph",
    "mm_gef_content_graph",
    "mm_gef_features",
    "mm_gef_features_side_by_side",
    "mm_gef_final_items",
    "mm_gef_item_graph",
    "mm_gef_message",
    "mm_gef_neighbour_attention",
    "mm_gef_projected_features",
    "ngcf_layer",
    "norm_penalty",
    "normalized_graph",
    "similarity_change",
    "sym_adjacency",
    "unit_rows",
]
