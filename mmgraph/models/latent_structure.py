"""What LATTICE and MICRO share: item graphs that are partly learned, chosen once an epoch."""

from functools import partial
from typing import Any, Literal

from pydantic import Field
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.utils import contains_self_loops

from mmgraph.graph.knn import knn_graph
from mmgraph.graph.schema import knn_edge_type
from mmgraph.models.base import EmbeddingConfig, IdRecommender
from mmgraph.models.inputs import required_features, user_item_adjacency
from mmgraph.nn import LayerStack, LearnedItemGraphs, LightGCNConv, UserItemPropagation
from mmgraph.nn.encoders import Init
from mmgraph.nn.learned_graphs import ItemGraph


class LatentStructureConfig(EmbeddingConfig):
    """Options of models with partly learned item graphs.

    Attributes:
        feature_dim: Width of the projected features.
        num_layers: Depth on the user-item graph; 0 is the variant on matrix factorisation.
        num_item_layers: Depth on the item graphs.
        k: Neighbours of an item in each graph; in the learned ones itself among them if it is in the raw ones.
        skip: Share of the graphs of raw features, the papers' lambda; with 1 nothing of them is learned.
        preset: ``paper``, or ``as_released``, which smooths users and items with ``rw_self``.
    """

    feature_dim: int = Field(default=64, ge=1)
    num_layers: int = Field(default=2, ge=0)
    num_item_layers: int = Field(default=1, ge=0)
    k: int = Field(default=10, ge=1)
    skip: float = Field(default=0.9, ge=0, le=1)
    preset: Literal["paper", "as_released"] = "paper"
    reg_weight: float = Field(default=1e-4, ge=0)
    reg_rows: Literal["ego", "final"] = "final"
    init: Init = "xavier_uniform"

    @property
    def learns(self) -> bool:
        """Whether a part of the item graphs is learned; if not, there are no projections."""
        return self.skip < 1 and self.num_item_layers > 0


class LatentStructure(IdRecommender):
    """Base of models that smooth ids over the user-item graph and over item graphs chosen at an epoch's first batch.

    That batch alone reaches the projections; the others use its graphs as they are. Evaluation always starts from the
    parameters.

    Args:
        graph: With the nearest neighbours of every modality.
        config: The model's own.
    """

    config: LatentStructureConfig

    def __init__(self, graph: HeteroData, config: LatentStructureConfig) -> None:
        super().__init__(graph, config, init=config.init)
        features = required_features(graph, config)
        self.propagation = UserItemPropagation(
            user_item_adjacency(graph), num_layers=config.num_layers
        )
        self.item_layers = LayerStack(
            LightGCNConv(), num_layers=config.num_item_layers, combine="last"
        )
        raw = [graph[knn_edge_type(name)] for name in features]
        among_own = any(contains_self_loops(edges.edge_index) for edges in raw)
        self.content = LearnedItemGraphs(
            features,
            [(edges.edge_index, edges.edge_weight) for edges in raw],
            dim=config.feature_dim if config.learns else None,
            nearest=partial(_nearest, k=config.k, include_self=among_own),
        )
        self._epoch_graphs: list[ItemGraph] = []

    @classmethod
    def edges_for(cls, config: LatentStructureConfig) -> tuple[str, ...]:
        """Return ``knn``, the graphs of raw features."""
        return ("knn",)

    @classmethod
    def graph_defaults(cls, config: LatentStructureConfig) -> dict[str, Any]:
        """Return items among their own neighbours, normalised cosines, and the released operator where it is chosen."""
        operator = {"ui_norm": "rw_self"} if config.preset == "as_released" else {}
        return {"include_self": True, "knn_norm": "sym", **operator}

    def item_graphs(self) -> list[ItemGraph]:
        """Return the graphs of the present parameters; gradients reach all that learns in them."""
        raise TypeError(f"{type(self).__name__} must define item_graphs()")

    def on_epoch(self, epoch: int) -> None:
        """Let the next batch choose the neighbours anew."""
        self._epoch_graphs = []

    def epoch_graphs(self) -> list[ItemGraph]:
        """Return the graphs of the epoch, which the first call in it makes and which carry gradients for it alone."""
        graphs = self._epoch_graphs or self.item_graphs()
        self._epoch_graphs = [graph.detached() for graph in graphs]
        return graphs


def _nearest(x: Tensor, present: Tensor, *, k: int, include_self: bool) -> Tensor:
    return knn_graph(x, k, include_self=include_self, mask=present)[0]
