"""MM-GEF: an item graph from early-fused content and one from co-interaction, fused by soft attention."""

import logging
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch_geometric.data import HeteroData

from mmgraph.graph.knn import knn_graph
from mmgraph.graph.schema import CO_ITEM
from mmgraph.models.base import (
    Batch,
    EmbeddingConfig,
    Embeddings,
    IdRecommender,
    Rows,
    required_features,
    rows_of,
    user_item_adjacency,
)
from mmgraph.nn import (
    BufferList,
    EarlyFusion,
    EdgeFusion,
    FusedItemGraph,
    LayerStack,
    LightGCNConv,
    UserItemPropagation,
    edge_cosine,
    fuse_item_graphs,
    normalize_by_row,
    normalize_rows,
)
from mmgraph.nn.early_fusion import FusionMode
from mmgraph.nn.encoders import Init
from mmgraph.nn.fusion import Attention

_LOG = logging.getLogger(__name__)
_MANY_EDGES = 500_000


class MMGEFConfig(EmbeddingConfig):
    """Options of MM-GEF; the defaults are the recommended readings of what the paper leaves open.

    Attributes:
        num_layers: Depth on the user-item graph.
        num_item_layers: Depth T on the fused item graph.
        k: Neighbours of an item by content; counts the item itself unless ``exclude_self``.
        fusion: ``mean`` averages features of equal width and projects the mean; ``projected_mean`` projects
            each modality and averages; ``auto`` takes ``mean`` where the widths agree.
        rebuild: When content neighbours are chosen anew: at the ``epoch_first_batch`` (its gradient reaches the
            projection through that batch only), at ``every_batch``, or never (``frozen``: raw features, no projection).
        attention: How the two graphs' weights are fused; see ``mmgraph.nn.EdgeFusion``.
        use_cointeraction: False drops the co-interaction graph (the paper's ablation "w/o CF").
        graph_norm: Normalisation of the fused item graph; more than one item layer needs ``row`` or ``sym``.
        exclude_self: Leave an item out of its own content neighbours, for cold-start runs.
    """

    name: Literal["mm_gef"] = "mm_gef"
    num_layers: int = Field(default=2, ge=0)
    num_item_layers: int = Field(default=1, ge=1)
    k: int = Field(default=10, ge=1)
    fusion: FusionMode = "auto"
    rebuild: Literal["epoch_first_batch", "every_batch", "frozen"] = "epoch_first_batch"
    attention: Attention = "edge"
    use_cointeraction: bool = True
    graph_norm: Literal["none", "row", "sym"] = "none"
    exclude_self: bool = False
    reg_weight: float = 1e-2
    reg_rows: Literal["ego", "final"] = "final"
    init: Init = "xavier_uniform"

    @model_validator(mode="after")
    def _check_depth(self) -> Self:
        if self.num_item_layers > 1 and self.graph_norm == "none":
            raise ValueError(
                f"num_item_layers above 1 needs graph_norm 'row' or 'sym' (got {self.num_item_layers} "
                "layers and 'none'); set model.graph_norm"
            )
        return self


class MMGEF(IdRecommender):
    r"""LightGCN whose items also receive a normalised message over the fused item graph.

    .. math::
        E^u = \mathrm{SoftAttn}(E^m : E^c), \quad h^t = E^u h^{t-1},
        \quad \tilde v = \bar v + h^T / \lVert h^T \rVert_2

    :math:`E^m` holds the k largest cosines of the projected, early-fused features, :math:`E^c` the
    co-interaction counts over their maximum, :math:`h^0` the item id rows. A missing modality is left out
    of an item's mean; an item with none has no content neighbours.

    Source: MM-GEF, eqs. (1)-(7). Open in the paper and chosen here: per-edge attention, zero diagonal and
    global maximum of the counts, rebuild at each epoch's first batch, penalty on the final rows (after
    LATTICE), features L2-normalised before they are averaged, projection per modality where widths differ.

    Example:
        >>> from mmgraph.testing import checkerboard_graph
        >>> model = MMGEF(checkerboard_graph(), MMGEFConfig(embedding_dim=4, k=3)).eval()
        >>> model.encode().item.shape
        torch.Size([12, 4])
    """

    Config = MMGEFConfig
    modality_fusion = "joint"
    config: MMGEFConfig

    def __init__(self, graph: HeteroData, config: MMGEFConfig) -> None:
        super().__init__(graph, config, init=config.init)
        features = required_features(graph, config)
        self.propagation = UserItemPropagation(
            user_item_adjacency(graph), num_layers=config.num_layers
        )
        self.item_layers = LayerStack(
            LightGCNConv(), num_layers=config.num_item_layers, combine="last"
        )
        self.edge_fusion = EdgeFusion(config.attention)
        self.fusion = EarlyFusion(
            [x for x, _ in features.values()],
            [has for _, has in features.values()],
            out_dim=None if config.rebuild == "frozen" else config.embedding_dim,
            mode=config.fusion,
        )
        no_edges = (torch.empty(2, 0, dtype=torch.long), torch.empty(0))
        counts = graph[CO_ITEM] if config.use_cointeraction else None
        co = (counts.edge_index, counts.edge_weight) if counts is not None else no_edges
        if co[1].numel() > max(_MANY_EDGES, 50 * self.num_items):
            _LOG.warning(
                "the co-interaction graph has %d edges, over 50 an item, and every step visits them; "
                "graph.co_item_top_k keeps the strongest of each item",
                co[1].numel(),
            )
        self.cointeraction = BufferList(co)
        # Chosen here in any case, so that a k that does not fit is refused before any training.
        neighbours = self._neighbours(self.fusion())
        self.fixed_neighbours = BufferList([neighbours] if config.rebuild == "frozen" else [])
        # Training keeps the graph of the epoch's first batch; evaluation always starts from the parameters.
        self._epoch_graph: FusedItemGraph | None = None

    @classmethod
    def edges_for(cls, config: MMGEFConfig) -> tuple[str, ...]:
        """Return ``co_item``, unless the ablation drops it; content neighbours are the model's own."""
        return ("co_item",) if config.use_cointeraction else ()

    def on_epoch(self, epoch: int) -> None:
        """Let the next batch choose the content neighbours anew."""
        if self.config.rebuild != "frozen":
            self._epoch_graph = None

    def item_graph(self) -> FusedItemGraph:
        """Choose content neighbours from the present parameters and join them with the co-interaction edges."""
        fused = self.fusion()
        fixed = list(self.fixed_neighbours)
        neighbours = fixed[0] if fixed else self._neighbours(fused)
        edges, weights = self.cointeraction
        content = (neighbours, edge_cosine(fused, neighbours))
        return fuse_item_graphs(content, (edges, weights), num_items=self.num_items)

    def encode(self) -> Embeddings:
        """Return LightGCN's users, and its items plus the normalised item-graph message."""
        return self._encode(self.item_graph())

    def batch_rows(self, batch: Batch) -> Rows:
        """Return rows over the item graph of the epoch, or of the present parameters where every batch rebuilds it."""
        graph = self._epoch_graph
        if graph is None or self.config.rebuild == "every_batch":
            graph = self.item_graph()
        final = self._encode(graph)
        self._epoch_graph = graph._replace(content=graph.content.detach())
        return rows_of(final, batch)

    def _neighbours(self, fused: Tensor) -> Tensor:
        include_self = not self.config.exclude_self
        x, mask = fused.detach(), self.fusion.present
        return knn_graph(x, self.config.k, include_self=include_self, mask=mask)[0]

    def _encode(self, graph: FusedItemGraph) -> Embeddings:
        user, item = self.propagation(*self.ego)
        weight = normalize_by_row(
            graph.edge_index,
            self.edge_fusion(graph.content, graph.cointeraction),
            num_nodes=self.num_items,
            norm=self.config.graph_norm,
        )
        message = self.item_layers(self.item_embedding, graph.adjacency, weight)
        return Embeddings(user, item + normalize_rows(message))
