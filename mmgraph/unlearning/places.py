"""Where what is retained stands in the whole: graphs, weights and scores with and without the forgotten rows."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from mmgraph.data import Interactions, MultimodalDataset
from mmgraph.evaluation import ScoreFunction
from mmgraph.graph.schema import ITEM, USER

Weights = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Places:
    """The place among all users and items of each that is retained.

    Attributes:
        users: Place of each retained user, in the order of the retained.
        items: Place of each retained item.
        num_users: Number of all users.
        num_items: Number of all items.
    """

    users: Tensor
    items: Tensor
    num_users: int
    num_items: int

    @classmethod
    def of(cls, part: MultimodalDataset, whole: MultimodalDataset) -> "Places":
        """Return where the users and items of a part stand in the whole."""
        return cls(
            torch.from_numpy(whole.users.encode(part.users.ids)),
            torch.from_numpy(whole.items.encode(part.items.ids)),
            whole.num_users,
            whole.num_items,
        )

    def pairs(self, rows: Interactions) -> tuple[Tensor, Tensor]:
        """Return the places of the users and items of retained interactions."""
        return self.users[torch.from_numpy(rows.user)], self.items[torch.from_numpy(rows.item)]

    def widen_graph(self, graph: HeteroData) -> HeteroData:
        """Return a graph of what is retained with rows for all: the others have no edge and no feature.

        Every edge keeps the bits of its weight.
        """
        wide, places = HeteroData(), {USER: self.users, ITEM: self.items}
        wide[USER].num_nodes, wide[ITEM].num_nodes = self.num_users, self.num_items
        for node_type, place in places.items():
            for key, value in graph[node_type].items():
                if isinstance(value, Tensor):
                    # A node without edges keeps the whole of its own vector, where a node keeps any of it.
                    fill = 1 if key == "self_weight" else 0
                    size = (wide[node_type].num_nodes, *value.shape[1:])
                    rows = torch.full(size, fill, dtype=value.dtype)
                    wide[node_type][key] = rows.index_copy_(0, place, value)
        for edge_type in graph.edge_types:
            edges = graph[edge_type]
            source, _, target = edge_type
            ends = [
                places[kind][row]
                for kind, row in ((source, 0), (target, 1))
                for row in (edges.edge_index[row],)
            ]
            order = (ends[1] * wide[source].num_nodes + ends[0]).argsort()
            wide[edge_type].edge_index = torch.stack(ends)[:, order]
            wide[edge_type].edge_weight = edges.edge_weight[order]
        return wide

    def narrow(self, weights: Mapping[str, Tensor]) -> Weights:
        """Return weights without the rows of those that are not retained; rows are told by the name of the table."""
        return {name: self._rows_of(name, value) for name, value in weights.items()}

    def widen(self, weights: Mapping[str, Tensor], fresh: Mapping[str, Tensor]) -> Weights:
        """Return weights with rows for all, those of the others from ``fresh``."""
        wide = {}
        for name, value in weights.items():
            place = self._place_of(name)
            if place is None:
                wide[name] = value
            else:
                rows = fresh[name].detach().clone()
                wide[name] = rows.index_copy_(0, place.to(rows.device), value.to(rows.device))
        return wide

    def narrow_scores(self, score: ScoreFunction) -> ScoreFunction:
        """Return the scores of the retained items for retained users, from scores of all for all."""

        def narrow(users: Tensor) -> Tensor:
            scores = score(self.users.to(users.device)[users])
            return scores.index_select(1, self.items.to(scores.device))

        return narrow

    def _rows_of(self, name: str, value: Tensor) -> Tensor:
        place = self._place_of(name)
        return value if place is None else value[place.to(value.device)]

    def _place_of(self, name: str) -> Tensor | None:
        table = name.rpartition(".")[2]
        if "user" in table:
            return self.users
        return self.items if "item" in table else None
