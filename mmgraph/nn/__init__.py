"""Layers and losses: message passing, encoders, fusion, readouts, losses, regularisers. Knows no data set."""

from mmgraph.nn.buffers import BufferList
from mmgraph.nn.calibration import (
    ItemWeights,
    ScoredItems,
    calibration_loss,
    confidence,
    masked_softmax,
    modality_scores,
    reliability,
)
from mmgraph.nn.conv import LightGCNConv, NGCFConv
from mmgraph.nn.decoders import ModalityDecoder, ModalityDecoders
from mmgraph.nn.early_fusion import EarlyFusion
from mmgraph.nn.edge_dropping import KeptEdges, drop_edges, num_kept
from mmgraph.nn.encoders import ModalityEncoder, ModalityEncoders, id_embedding
from mmgraph.nn.fused_items import FusedItemLayers
from mmgraph.nn.fusion import EdgeFusion, normalize_rows, presence_mean
from mmgraph.nn.heads import ModalityAttention, ModalityPooling
from mmgraph.nn.losses import bpr_loss
from mmgraph.nn.modality_gcn import ModalityUserItemGCN
from mmgraph.nn.projection import linear_rows
from mmgraph.nn.propagation import UserItemPropagation, joint_adjacency
from mmgraph.nn.readout import LayerStack
from mmgraph.nn.regularizers import l2_penalty
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
    "EarlyFusion",
    "EdgeFusion",
    "FusedItemGraph",
    "FusedItemLayers",
    "ItemWeights",
    "KeptEdges",
    "LayerStack",
    "LightGCNConv",
    "ModalityAttention",
    "ModalityDecoder",
    "ModalityDecoders",
    "ModalityEncoder",
    "ModalityEncoders",
    "ModalityPooling",
    "ModalityUserItemGCN",
    "NGCFConv",
    "ScoredItems",
    "UserItemPropagation",
    "bpr_loss",
    "calibration_loss",
    "confidence",
    "drop_edges",
    "edge_cosine",
    "fuse_item_graphs",
    "id_embedding",
    "item_shares",
    "joint_adjacency",
    "l2_penalty",
    "linear_rows",
    "masked_softmax",
    "merge_edges",
    "mix_item_graphs",
    "modality_scores",
    "normalize_by_row",
    "normalize_rows",
    "num_kept",
    "presence_mean",
    "reliability",
    "shares_of",
    "shrunk_cosine",
    "sum_graphs",
]
