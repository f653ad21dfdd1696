"""Layers and losses: message passing, encoders, fusion, readouts, losses, regularisers. Knows no data set."""

from mmgraph.nn.buffers import BufferList, freeze_parameters
from mmgraph.nn.calibration import (
    ItemWeights,
    ScoredItems,
    calibration_loss,
    confidence,
    masked_softmax,
    modality_scores,
    reliability,
)
from mmgraph.nn.content_projector import ContentProjector
from mmgraph.nn.contrast import info_nce, pairwise_info_nce
from mmgraph.nn.conv import LightGCNConv, MMGCNConv, NeighborRouting, NGCFConv
from mmgraph.nn.decoders import ModalityDecoder, ModalityDecoders
from mmgraph.nn.dimension_attention import DimensionAttention
from mmgraph.nn.early_fusion import EarlyFusion
from mmgraph.nn.edge_dropping import KeptEdges, drop_edges, num_kept
from mmgraph.nn.encoders import ModalityEncoder, ModalityEncoders, id_embedding
from mmgraph.nn.fused_items import FusedItemLayers
from mmgraph.nn.fusion import EdgeFusion, normalize_rows, presence_mean
from mmgraph.nn.gates import QueryAttention, SigmoidGate
from mmgraph.nn.heads import ModalityAttention, ModalityPooling
from mmgraph.nn.hypergraph import HypergraphConv, ModalityHypergraphs, SoftHypergraph
from mmgraph.nn.learned_graphs import ItemGraph, LearnedItemGraphs
from mmgraph.nn.losses import bpr_loss
from mmgraph.nn.metric_learning import clip_rows, covariance_penalty, rank_weighted_hinge
from mmgraph.nn.modality_gcn import ModalityUserItemGCN, weigh_blocks
from mmgraph.nn.noisy_labels import FlipFactors, NoisyLabelCriterion, noisy_label_loss
from mmgraph.nn.progressive import ProgressiveWeights
from mmgraph.nn.projection import linear_rows
from mmgraph.nn.propagation import UserItemPropagation, joint_adjacency
from mmgraph.nn.readout import LayerStack
from mmgraph.nn.regularizers import l2_penalty
from mmgraph.nn.repeats import neighbour_repeats
from mmgraph.nn.spectral import cosine_transform
from mmgraph.nn.sphere import alignment_loss, cosine_loss, uniformity_loss
from mmgraph.nn.spherical_mix import SphericalMix, slerp
from mmgraph.nn.structure import (
    FusedItemGraph,
    edge_cosine,
    fuse_item_graphs,
    item_shares,
    merge_edges,
    mix_item_graphs,
    normalize_by_row,
    shares_of,
    shrunk_cosine,
    sum_graphs,
)

__all__ = [
    "BufferList",
    "ContentProjector",
    "DimensionAttention",
    "EarlyFusion",
    "EdgeFusion",
    "FlipFactors",
    "FusedItemGraph",
    "FusedItemLayers",
    "HypergraphConv",
    "ItemGraph",
    "ItemWeights",
    "KeptEdges",
    "LayerStack",
    "LearnedItemGraphs",
    "LightGCNConv",
    "MMGCNConv",
    "ModalityAttention",
    "ModalityDecoder",
    "ModalityDecoders",
    "ModalityEncoder",
    "ModalityEncoders",
    "ModalityHypergraphs",
    "ModalityPooling",
    "ModalityUserItemGCN",
    "NGCFConv",
    "NeighborRouting",
    "NoisyLabelCriterion",
    "ProgressiveWeights",
    "QueryAttention",
    "ScoredItems",
    "SigmoidGate",
    "SoftHypergraph",
    "SphericalMix",
    "UserItemPropagation",
    "alignment_loss",
    "bpr_loss",
    "calibration_loss",
    "clip_rows",
    "confidence",
    "cosine_loss",
    "cosine_transform",
    "covariance_penalty",
    "drop_edges",
    "edge_cosine",
    "freeze_parameters",
    "fuse_item_graphs",
    "id_embedding",
    "info_nce",
    "item_shares",
    "joint_adjacency",
    "l2_penalty",
    "linear_rows",
    "masked_softmax",
    "merge_edges",
    "mix_item_graphs",
    "modality_scores",
    "neighbour_repeats",
    "noisy_label_loss",
    "normalize_by_row",
    "normalize_rows",
    "num_kept",
    "pairwise_info_nce",
    "presence_mean",
    "rank_weighted_hinge",
    "reliability",
    "shares_of",
    "shrunk_cosine",
    "slerp",
    "sum_graphs",
    "uniformity_loss",
    "weigh_blocks",
]
