"""Message-passing layers over ``mmgraph.sparse``."""

from mmgraph.nn.conv.lightgcn_conv import LightGCNConv

__all__ = ["LightGCNConv"]
