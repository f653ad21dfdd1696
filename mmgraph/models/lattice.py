"""LATTICE: item graphs learned from each modality, mixed with those of the raw features."""

from typing import Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from mmgraph.graph.knn import knn_graph
from mmgraph.graph.schema import knn_edge_type
from mmgraph.models.base import (
    Batch,
    EmbeddingConfig,
    Embeddings,
    IdRecommender,
    Paper,
    Rows,
    rows_of,
)
from mmgraph.models.inputs import required_features, user_item_adjacency
from mmgraph.nn import (
    BufferList,
    LayerStack,
    LightGCNConv,
    ModalityEncoder,
    ModalityEncoders,
    UserItemPropagation,
    edge_cosine,
    normalize_by_row,
    normalize_rows,
    sum_graphs,
)
from mmgraph.nn.encoders import Init
from mmgraph.nn.structure import WeightedEdges
from mmgraph.sparse import SparseAdjacency


class LATTICEConfig(EmbeddingConfig):
    """Options of LATTICE.

    Attributes:
        feature_dim: Width of the projected features.
        num_layers: Depth on the user-item graph; 0 is the variant on matrix factorisation.
        num_item_layers: Depth on the item graph.
        k: Neighbours of an item in each graph, itself included.
        skip: Share of the graphs of raw features, the paper's lambda.
        preset: ``paper``: each learned graph is normalised by itself; ``as_released``: their weighted sum is, and users
            and items are smoothed with ``rw_self``.
    """

    name: Literal["lattice"] = "lattice"
    feature_dim: int = Field(default=64, ge=1)
    num_layers: int = Field(default=2, ge=0)
    num_item_layers: int = Field(default=1, ge=0)
    k: int = Field(default=10, ge=1)
    skip: float = Field(default=0.9, ge=0, le=1)
    preset: Literal["paper", "as_released"] = "paper"
    reg_weight: float = Field(default=1e-4, ge=0)
    reg_rows: Literal["ego", "final"] = "final"
    init: Init = "xavier_uniform"


class ItemGraph(NamedTuple):
    """A matrix whose stored weights do not count, and the weights that do, in its order; they may carry gradients."""

    adjacency: SparseAdjacency
    weight: Tensor


class LATTICE(IdRecommender):
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
        super().__init__(graph, config, init=config.init)
        features = required_features(graph, config)
        self.propagation = UserItemPropagation(
            user_item_adjacency(graph), num_layers=config.num_layers
        )
        self.item_layers = LayerStack(
            LightGCNConv(), num_layers=config.num_item_layers, combine="last"
        )
        self.content = ModalityEncoders(
            features, lambda width: ModalityEncoder(width, config.feature_dim)
        )
        self.modality_weight = nn.Parameter(torch.zeros(len(features)))
        raw = [graph[knn_edge_type(name)] for name in features]
        self.raw_edges = BufferList(edges.edge_index for edges in raw)
        self.raw_weights = BufferList(edges.edge_weight for edges in raw)
        # Training keeps the graph of the epoch's first batch; evaluation always starts from the parameters.
        self._epoch_graph: ItemGraph | None = None

    @classmethod
    def edges_for(cls, config: LATTICEConfig) -> tuple[str, ...]:
        """Return ``knn``, the graphs of raw features."""
        return ("knn",)

    @classmethod
    def graph_defaults(cls, config: LATTICEConfig) -> dict[str, Any]:
        """Return items among their own neighbours, normalised cosines, and the released operator where it is chosen."""
        operator = {"ui_norm": "rw_self"} if config.preset == "as_released" else {}
        return {"include_self": True, "knn_norm": "sym", **operator}

    def on_epoch(self, epoch: int) -> None:
        """Let the next batch choose the neighbours anew."""
        self._epoch_graph = None

    def item_graph(self) -> ItemGraph:
        """Return the mixed graph of the present parameters; gradients reach projections and weights."""
        share = self.modality_weight.softmax(dim=0)
        skip = self.config.skip
        raw = zip(self.raw_edges, self.raw_weights, share, strict=True)
        graphs = [(edges, skip * s * weight.to(s)) for edges, weight, s in raw]
        if skip < 1:
            graphs += [(edges, (1 - skip) * weight) for edges, weight in self._learned(share)]
        edges, weight = sum_graphs(graphs, num_nodes=self.num_items)
        size = (self.num_items, self.num_items)
        return ItemGraph(SparseAdjacency(edges, size=size), weight)

    def encode(self) -> Embeddings:
        """Return LightGCN's users, and its items plus the unit message over the item graph."""
        return self._encode(self.item_graph())

    def batch_rows(self, batch: Batch) -> Rows:
        """Return rows over the item graph of the epoch; its first batch chooses the neighbours."""
        graph = self.item_graph() if self._epoch_graph is None else self._epoch_graph
        final = self._encode(graph)
        self._epoch_graph = graph._replace(weight=graph.weight.detach())
        return rows_of(final, batch)

    def _learned(self, share: Tensor) -> list[WeightedEdges]:
        """Return the normalised graphs of the projected features, times their shares."""
        content, masks = self.content().values(), self.content.present
        graphs = []
        for x, has in zip(content, masks, strict=True):
            edges = knn_graph(x.detach(), self.config.k, include_self=True, mask=has)[0]
            graphs.append((edges, edge_cosine(x, edges)))
        if self.config.preset == "paper":
            return [
                (edges, s * self._normalized(edges, weight))
                for (edges, weight), s in zip(graphs, share, strict=True)
            ]
        weighted = [(edges, s * weight) for (edges, weight), s in zip(graphs, share, strict=True)]
        edges, weight = sum_graphs(weighted, num_nodes=self.num_items)
        return [(edges, self._normalized(edges, weight))]

    def _normalized(self, edges: Tensor, weight: Tensor) -> Tensor:
        return normalize_by_row(edges, weight, num_nodes=self.num_items, norm="sym")

    def _encode(self, graph: ItemGraph) -> Embeddings:
        user, item = self.propagation(*self.ego)
        message = self.item_layers(self.item_embedding, *graph)
        return Embeddings(user, item + normalize_rows(message))
