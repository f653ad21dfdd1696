"""Message-passing layers over ``mmgraph.sparse``."""

from mmgraph.nn.conv.lightgcn_conv import LightGCNConv
from mmgraph.nn.conv.ngcf_conv import NGCFConv

__all__ = ["LightGCNConv", "NGCFConv"]
