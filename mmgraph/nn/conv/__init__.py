"""Message-passing layers over ``mmgraph.sparse``."""

from mmgraph.nn.conv.lightgcn_conv import LightGCNConv
from mmgraph.nn.conv.mmgcn_conv import MMGCNConv
from mmgraph.nn.conv.neighbor_routing import NeighborRouting
from mmgraph.nn.conv.ngcf_conv import NGCFConv

__all__ = ["LightGCNConv", "MMGCNConv", "NGCFConv", "NeighborRouting"]
