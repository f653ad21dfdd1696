"""Triples with the sampled neighbourhood they need, for graphs whose full propagation in every step is too dear."""

import warnings
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.loader import LinkNeighborLoader
from torch_geometric.sampler import NeighborSampler
from torch_geometric.utils import degree

from mmgraph.errors import ConfigError, MissingDependency
from mmgraph.graph.schema import ITEM, ITEM_USER, USER, USER_ITEM
from mmgraph.models.base import Recommender
from mmgraph.models.batch import Batch, Neighborhood
from mmgraph.nn import joint_adjacency
from mmgraph.training.sampler import PairwiseSampler


class NeighborhoodSampler:
    """Draw batches like ``PairwiseSampler``, each with a random part of the user-item graph around its nodes.

    Of the neighbours of each user and item of a batch ``num_neighbors[0]`` are drawn with replacement, of those of the
    nodes drawn ``num_neighbors[1]``, and so on. The weight of an edge that was drawn ``c`` times in ``m`` draws among
    ``n`` neighbours is multiplied by ``c n / m``, so that the sum over those drawn is that over all on average. Drawn
    without replacement by torch-sparse 0.6.18 it would not be: of five neighbours it draws the first three about twice
    as often as the last two.

    The samples come from torch's global generator, the triples from the generator of the epoch.

    Source: Hamilton et al., 2017 (GraphSAGE), section 3.1, for a bounded sample of every node's neighbours.

    Args:
        pairs: Draws the triples.
        graph: The graph the model was built from, on the CPU.
        num_neighbors: Neighbours of a node at each hop; -1 takes all.
        model: What the batches are for.

    Raises:
        ConfigError: the model cannot learn from a part of the graph, or from one of this many hops, or has several
            negatives for each triple.
        MissingDependency: neither pyg-lib nor torch-sparse is installed.

    Complexity: O(batch_size * product of num_neighbors) time and memory a batch, O(num_edges log num_edges) time once.
    """

    def __init__(
        self,
        pairs: PairwiseSampler,
        graph: HeteroData,
        num_neighbors: Sequence[int],
        *,
        model: Recommender,
    ) -> None:
        _check_hops(model, len(num_neighbors))
        if pairs.num_negatives != 1:
            raise ConfigError(
                "training.num_neighbors is for models with one negative item a triple (got "
                f"{type(model).__name__} with {pairs.num_negatives}); leave it out"
            )
        if not (find_spec("pyg_lib") or find_spec("torch_sparse")):
            raise MissingDependency(
                "training.num_neighbors needs torch-sparse or pyg-lib; run `python -m mmgraph.sparse.extensions`"
            )
        self.pairs = pairs
        self.graph = _structure_of(graph)
        self.num_neighbors = {
            edge_type: list(num_neighbors) for edge_type in (USER_ITEM, ITEM_USER)
        }
        with _without_notice():
            self.neighbors = NeighborSampler(self.graph, self.num_neighbors, replace=True)

    @property
    def device(self) -> torch.device:
        """Where batches are."""
        return self.pairs.device

    def epoch(self, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Yield the batches of one epoch: the triples that ``pairs`` would yield, in the rows of the sample."""
        count = len(self.pairs)
        (triples,) = self.pairs.epoch(count, generator)
        user, positive, negative = (x.cpu() for x in triples[:3])
        ends = torch.stack([user.repeat(2), torch.cat([positive, negative])])
        rows = torch.arange(count).split(batch_size)
        with _without_notice():
            loader = LinkNeighborLoader(
                self.graph,
                self.num_neighbors,
                edge_label_index=(USER_ITEM, ends),
                neighbor_sampler=self.neighbors,
                batch_sampler=[torch.cat([part, part + count]) for part in rows],
            )
        for sample in loader:
            yield self._batch(sample)

    def tensors(self) -> list[Tensor]:
        """Return what lasts from epoch to epoch, for counting memory."""
        csc = [*self.neighbors.row_dict.values(), *self.neighbors.colptr_dict.values()]
        stores = [value for store in self.graph.stores for value in store.values()]
        return [*self.pairs.tensors(), *csc, *(x for x in stores if isinstance(x, Tensor))]

    def _batch(self, sample: HeteroData) -> Batch:
        ends = sample[USER_ITEM].edge_label_index.to(self.device)
        (user, _), (positive, negative) = (row.chunk(2) for row in ends)
        self_weight = None
        if "self_weight" in sample[USER]:
            self_weight = torch.cat([sample[USER].self_weight, sample[ITEM].self_weight])
        adjacency = joint_adjacency(
            _scaled(sample, USER_ITEM),
            _scaled(sample, ITEM_USER),
            num_users=len(sample[USER].n_id),
            num_items=len(sample[ITEM].n_id),
            self_weight=self_weight,
        )
        around = Neighborhood(
            sample[USER].n_id.to(self.device),
            sample[ITEM].n_id.to(self.device),
            adjacency.to(self.device),
        )
        return Batch(user, positive, negative, around)


def _check_hops(model: Recommender, hops: int) -> None:
    name = type(model).__name__
    if model.num_hops is None:
        raise ConfigError(
            f"training.num_neighbors is for models that learn from a part of the graph (got {name}); leave it out"
        )
    if model.num_hops != hops:
        raise ConfigError(
            f"training.num_neighbors must have one number for each layer (got {hops} for {model.num_hops} layers "
            f"of {name}); write {model.num_hops} numbers"
        )


def _structure_of(graph: HeteroData) -> HeteroData:
    """Return the user-item part of a graph without features, with the number of neighbours each node receives from."""
    part = HeteroData()
    for node_type in (USER, ITEM):
        part[node_type].num_nodes = graph[node_type].num_nodes
        if "self_weight" in graph[node_type]:
            part[node_type].self_weight = graph[node_type].self_weight
    for edge_type in (USER_ITEM, ITEM_USER):
        part[edge_type].edge_index = graph[edge_type].edge_index
        part[edge_type].edge_weight = graph[edge_type].edge_weight
        target = edge_type[2]
        received = degree(graph[edge_type].edge_index[1], part[target].num_nodes, torch.long)
        part[target].received = received
    return part


def _scaled(sample: HeteroData, edge_type: tuple[str, str, str]) -> tuple[Tensor, Tensor]:
    """Return the edges drawn, each once, and their weights, made up for the neighbours left out."""
    drawn, received = sample[edge_type], sample[edge_type[2]].received
    draws = degree(drawn.edge_index[1], len(received), received.dtype)
    _, place, count = torch.unique(drawn.e_id, return_inverse=True, return_counts=True)
    first = torch.empty_like(count).index_copy_(0, place, torch.arange(len(place)))
    edge_index = drawn.edge_index.index_select(1, first)
    share = (received / draws.clamp(min=1)).index_select(0, edge_index[1]) * count
    return edge_index, drawn.edge_weight.index_select(0, first) * share.to(drawn.edge_weight)


def _without_notice() -> warnings.catch_warnings:
    """Keep PyG from telling in every epoch that pyg-lib would be faster than torch-sparse."""
    return warnings.catch_warnings(action="ignore", category=UserWarning)
