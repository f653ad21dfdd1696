"""LATTICE: item graphs learned from each modality, mixed with those of the raw features."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from mmgraph.models.base import Paper
from mmgraph.models.batch import Batch, Embeddings, Rows, rows_of
from mmgraph.models.latent_structure import LatentStructure, LatentStructureConfig
from mmgraph.nn import normalize_rows, sum_graphs
from mmgraph.nn.learned_graphs import ItemGraph
from mmgraph.nn.structure import WeightedEdges


class LATTICEConfig(LatentStructureConfig):
    """Options of LATTICE; see also ``LatentStructureConfig``.

    Attributes:
        preset: ``paper``: each learned graph is normalised by itself; ``as_released``: their weighted sum is, and users
            and items are smoothed with ``rw_self``.
    """

    name: Literal["lattice"] = "lattice"


class LATTICE(LatentStructure):
    r"""LightGCN whose items also receive a unit message over an item graph that is partly learned.

    .. math::
        S = \sum_m \mathrm{softmax}(a)_m \left(\lambda\, S_m^0 + (1-\lambda)\, S_m\right), \quad
        h = S^{L_i} Q, \quad Z_I = \bar V + h / \lVert h \rVert_2

    :math:`S_m^0` and :math:`S_m` hold the k largest cosines of the raw and of the projected features, normalised by the
    roots of their row sums. The projected ones are chosen anew at the first batch of an epoch, which alone reaches the
    projections and the weights :math:`a`; the other batches use that graph as it is. An item that lacks a modality has
    no neighbours in its graphs.

    Source: Zhang et al., 2021 (LATTICE), eqs. (1)-(9). The released code normalises after the sum over modalities and
    propagates with ``rw_self``: ``preset="as_released"``.

    Example:
        >>> from mmgraph.testing import checkerboard_graph
        >>> model = LATTICE(checkerboard_graph(), LATTICEConfig(embedding_dim=4, k=3)).eval()
        >>> model.encode().item.shape
        torch.Size([12, 4])
    """

    Config = LATTICEConfig
    paper = Paper("Zhang et al.", 2021, "Mining Latent Structures for Multimedia Recommendation")
    modality_fusion = "joint"
    config: LATTICEConfig

    def __init__(self, graph: HeteroData, config: LATTICEConfig) -> None:
        super().__init__(graph, config)
        self.modality_weight: Tensor
        weight = torch.zeros(len(self.content.names))
        if len(weight) > 1 and config.num_item_layers:
            self.modality_weight = nn.Parameter(weight)
        else:  # the softmax of one number is one, and without item layers no message is mixed
            self.register_buffer("modality_weight", weight, persistent=False)

    def item_graph(self) -> ItemGraph:
        """Return the mixed graph of the present parameters; gradients reach projections and weights."""
        share = self.modality_weight.softmax(dim=0)
        skip = self.config.skip
        raw = zip(self.content.raw(), share, strict=True)
        graphs = [(edges, skip * s * weight.to(s)) for (edges, weight), s in raw]
        if self.config.learns:
            graphs += [(edges, (1 - skip) * weight) for edges, weight in self._learned(share)]
        return self.content.mixed(graphs)

    def item_graphs(self) -> list[ItemGraph]:
        """Return the mixed graph alone."""
        return [self.item_graph()]

    def encode(self) -> Embeddings:
        """Return LightGCN's users, and its items plus the unit message over the item graph."""
        return self._encode(self.item_graph())

    def batch_rows(self, batch: Batch) -> Rows:
        """Return rows over the item graph of the epoch; its first batch chooses the neighbours."""
        return rows_of(self._encode(*self.epoch_graphs()), batch)

    def _learned(self, share: Tensor) -> list[WeightedEdges]:
        """Return the normalised graphs of the projected features, times their shares."""
        graphs, content = self.content.chosen(), self.content
        if self.config.preset == "paper":
            normalized = zip(map(content.normalized, graphs), share, strict=True)
            return [(edges, s * weight) for (edges, weight), s in normalized]
        weighted = [(edges, s * weight) for (edges, weight), s in zip(graphs, share, strict=True)]
        return [content.normalized(sum_graphs(weighted, num_nodes=self.num_items))]

    def _encode(self, graph: ItemGraph) -> Embeddings:
        user, item = self.propagation(*self.ego)
        message = self.item_layers(self.item_embedding, *graph)
        return Embeddings(user, item + normalize_rows(message))
