"""MM-GEF: an item graph from early-fused content and one from co-interaction, fused by soft attention."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch_geometric.data import HeteroData

from mmgraph.graph.knn import knn_graph
from mmgraph.graph.schema import CO_ITEM, USER_ITEM
from mmgraph.models.base import EmbeddingConfig, IdRecommender, Paper
from mmgraph.models.batch import Batch, Embeddings, Rows, rows_of
from mmgraph.models.inputs import required_features, user_item_adjacency
from mmgraph.nn import (
    BufferList,
    EarlyFusion,
    FusedItemGraph,
    FusedItemLayers,
    UserItemPropagation,
    edge_cosine,
)
from mmgraph.nn.early_fusion import FusionMode
from mmgraph.nn.encoders import Init
from mmgraph.nn.fusion import Attention


class MMGEFConfig(EmbeddingConfig):
    """Options of MM-GEF; the defaults are the recommended readings of what the paper leaves open.

    Attributes:
        num_layers: Depth on the user-item graph.
        num_item_layers: Depth T on the fused item graph.
        k: Neighbours of an item by content; counts the item itself unless ``exclude_self``.
        fusion: ``mean`` averages features of equal width and projects the mean; ``projected_mean`` projects
            each modality and averages; ``concat`` projects all of them side by side; ``auto`` takes ``mean`` where the
            widths agree, ``projected_mean`` elsewhere.
        unit_features: Bring each modality to unit length before they are fused.
        graph_features: What neighbours are chosen by: ``projected`` features, or ``raw`` ones, whose graph never
            changes and which need no projection.
        rebuild: When content neighbours are chosen anew: at the ``epoch_first_batch`` (its gradient reaches the
            projection through that batch only), at ``every_batch``, or never (``frozen``: raw features, no projection).
        skip: Share of the graph of raw features in the content graph.
        attention: How the two graphs' weights are fused; see ``mmgraph.nn.EdgeFusion``.
        use_cointeraction: False drops the co-interaction graph (the paper's ablation "w/o CF").
        graph_norm: Normalisation of the fused item graph; more than one item layer needs ``row`` or ``sym``.
        exclude_self: Leave an item out of its own content neighbours, for cold-start runs.
        cold_id_scale: Factor, outside of training, of the smoothed id row of items without training interactions.
    """

    name: Literal["mm_gef"] = "mm_gef"
    num_layers: int = Field(default=2, ge=0)
    num_item_layers: int = Field(default=1, ge=1)
    k: int = Field(default=10, ge=1)
    fusion: FusionMode = "auto"
    unit_features: bool = True
    graph_features: Literal["projected", "raw"] = "projected"
    rebuild: Literal["epoch_first_batch", "every_batch", "frozen"] = "epoch_first_batch"
    skip: float = Field(default=0.0, ge=0, le=1)
    attention: Attention = "edge"
    use_cointeraction: bool = True
    graph_norm: Literal["none", "row", "sym"] = "none"
    exclude_self: bool = False
    cold_id_scale: float = Field(default=1.0, ge=0)
    reg_weight: float = Field(default=1e-2, ge=0)
    reg_rows: Literal["ego", "final"] = "final"
    init: Init = "xavier_uniform"

    @property
    def is_frozen(self) -> bool:
        """Whether the content graph is that of raw features and never changes."""
        return self.rebuild == "frozen" or self.graph_features == "raw"

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        if self.num_item_layers > 1 and self.graph_norm == "none":
            raise ValueError(
                f"num_item_layers above 1 needs graph_norm 'row' or 'sym' (got {self.num_item_layers} "
                "layers and 'none'); set model.graph_norm"
            )
        if self.is_frozen and 0 < self.skip < 1:
            raise ValueError(
                f"skip must be 0 or 1 where raw features alone choose the neighbours (got {self.skip:g}); remove skip"
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
    paper = Paper(
        "Wu et al.",
        2023,
        "MM-GEF: Multi-modal Representation Meet Collaborative Filtering",
    )
    modality_fusion = "joint"
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "w/o CF": {"model.use_cointeraction": False},
        "w/o Att": {"model.attention": "none"},
        "w/o CF + Att": {"model.use_cointeraction": False, "model.attention": "none"},
    }
    config: MMGEFConfig

    def __init__(self, graph: HeteroData, config: MMGEFConfig) -> None:
        super().__init__(graph, config, init=config.init)
        values, masks = zip(*required_features(graph, config).values(), strict=True)
        adjacency = user_item_adjacency(graph)
        self.propagation = UserItemPropagation(adjacency, num_layers=config.num_layers)
        co = graph[CO_ITEM] if config.use_cointeraction else None
        self.item_layers = FusedItemLayers(
            None if co is None else (co.edge_index, co.edge_weight),
            num_items=self.num_items,
            attention=config.attention,
            num_layers=config.num_item_layers,
            norm=config.graph_norm,
        )
        fuse = partial(EarlyFusion, values, masks, mode=config.fusion, unit=config.unit_features)
        self.skip = 1.0 if config.is_frozen else config.skip
        self.fusion = fuse(out_dim=config.embedding_dim) if self.skip < 1 else None
        self.raw_graph = BufferList(self._nearest(fuse(out_dim=None))[1] if self.skip else ())
        count = torch.bincount(graph[USER_ITEM].edge_index[1], minlength=self.num_items)
        self.id_scale: Tensor
        scale = torch.where(count > 0, 1.0, config.cold_id_scale)[:, None]
        self.register_buffer("id_scale", scale, persistent=False)
        # Training keeps the graph of the epoch's first batch; evaluation always starts from the parameters.
        self._epoch_graph: FusedItemGraph | None = None
        with torch.no_grad():
            self.item_graph()  # a k that does not fit is refused before any training

    @classmethod
    def edges_for(cls, config: MMGEFConfig) -> tuple[str, ...]:
        """Return ``co_item``, unless the ablation drops it; content neighbours are the model's own."""
        return ("co_item",) if config.use_cointeraction else ()

    def on_epoch(self, epoch: int) -> None:
        """Let the next batch choose the content neighbours anew."""
        self._epoch_graph = None

    def item_graph(self) -> FusedItemGraph:
        """Choose content neighbours from the present parameters and join them with the co-interaction edges."""
        raw = tuple(self.raw_graph)
        graphs = [(raw[0], self.skip * raw[1])] if raw else []
        if self.fusion is not None:
            x, (edges, _) = self._nearest(self.fusion)
            graphs.append((edges, (1 - self.skip) * edge_cosine(x, edges)))
        return self.item_layers.join(graphs)

    def encode(self) -> Embeddings:
        """Return LightGCN's users, and its items plus the normalised item-graph message."""
        return self._final(self.item_graph(), self.id_scale)

    def batch_rows(self, batch: Batch) -> Rows:
        """Return rows over the item graph of the epoch, or of the present parameters where every batch rebuilds it."""
        graph = self._epoch_graph
        if graph is None or self.config.rebuild == "every_batch":
            graph = self.item_graph()
        self._epoch_graph = graph._replace(content=graph.content.detach())
        return rows_of(self._final(graph), batch)

    def _nearest(self, fusion: EarlyFusion) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        x, include_self = fusion(), not self.config.exclude_self
        near = knn_graph(x.detach(), self.config.k, include_self=include_self, mask=fusion.present)
        return x, near

    def _final(self, graph: FusedItemGraph, id_scale: Tensor | float = 1.0) -> Embeddings:
        """Return what eqs. (6) and (7) make of a fused graph, the items' own part times a factor."""
        user, item = self.propagation(*self.ego)
        return Embeddings(user, id_scale * item + self.item_layers(self.item_embedding, graph))
