"""FREEDOM trained the plain way: trainable feature tables, every item projected every step, COO products."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.rivals.coo_lightgcn import Triples, mean_of_layers, sym_adjacency
from benchmarks.rivals.dense_training import DenseTraining, learns

Linear = tuple[Tensor, Tensor]
"""Weight (dim, width) and bias (dim,)."""


class DenseFreedom(DenseTraining):
    """FREEDOM and its step as the authors' code has them: all features learn, Adam steps over all of it.

    Args:
        user_embedding: Initial vectors, (num_users, dim); copied. Their device is that of the work.
        item_embedding: Initial vectors, (num_items, dim); copied.
        features: Modality -> (num_items, width); copied.
        linear: Modality -> initial projection; copied.
        neighbours: Modality -> edges of its nearest neighbours: source in row 0, target in row 1,
            as many for each item.
        shares: Modality -> its share of the item graph.
        num_layers: Depth on the user-item graph.
        modality_weight: Weight of the criterion on projected features.
        learning_rate: Of Adam.
    """

    def __init__(
        self,
        *,
        user_embedding: Tensor,
        item_embedding: Tensor,
        features: Mapping[str, Tensor],
        linear: Mapping[str, Linear],
        neighbours: Mapping[str, Tensor],
        shares: Mapping[str, float],
        num_layers: int = 2,
        modality_weight: float = 1e-3,
        learning_rate: float = 1e-3,
    ) -> None:
        self.num_users, self.num_items = len(user_embedding), len(item_embedding)
        self.num_layers = num_layers
        self.user_embedding, self.item_embedding = learns(user_embedding), learns(item_embedding)
        self.tables = {name: learns(x) for name, x in features.items()}
        self.linear = {name: (learns(w), learns(b)) for name, (w, b) in linear.items()}
        self.item_graph = mean_of_neighbours(neighbours, shares, self.num_items)
        self.adjacency = torch.empty(0)
        learning = [self.user_embedding, self.item_embedding, *self.tables.values()]
        learning += [tensor for pair in self.linear.values() for tensor in pair]
        weights = {"modality": modality_weight}
        super().__init__(learning, weights=weights, learning_rate=learning_rate)

    def keep_edges(self, user: Tensor, item: Tensor) -> None:
        """Train on these user-item edges from now on."""
        self.adjacency = sym_adjacency(user, item, self.num_users, self.num_items)

    def loss(self, triples: Triples) -> dict[str, Tensor]:
        """Return the criterion on the final vectors and the sum of those on projected features."""
        user, positive, negative = triples
        ego = torch.cat([self.user_embedding, self.item_embedding])
        mean = mean_of_layers(self.adjacency, ego, self.num_layers)
        users, items = mean[: self.num_users], mean[self.num_users :]
        items = items + torch.sparse.mm(self.item_graph, self.item_embedding)
        content = torch.zeros((), device=user.device)
        for name, table in self.tables.items():
            projected = F.linear(table, *self.linear[name])
            content = content + _bpr(users[user], projected[positive], projected[negative])
        return {"bpr": _bpr(users[user], items[positive], items[negative]), "modality": content}


def mean_of_neighbours(
    neighbours: Mapping[str, Tensor], shares: Mapping[str, float], num_items: int
) -> Tensor:
    """Return the matrix whose rows are means over the neighbours in each modality, mixed by shares, as COO.

    Example:
        >>> edges = {"text": torch.tensor([[1, 0], [0, 1]])}
        >>> mean_of_neighbours(edges, {"text": 1.0}, 2).to_dense().tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    edges, weights = [], []
    for name, edge_index in neighbours.items():
        k = edge_index.size(1) / num_items
        edges.append(edge_index.flip(0))
        weights.append(torch.full_like(edge_index[0], shares[name] / k, dtype=torch.float32))
    joined, weight = torch.cat(edges, dim=1), torch.cat(weights)
    size = (num_items, num_items)
    return torch.sparse_coo_tensor(joined, weight, size, check_invariants=False).coalesce()


def _bpr(user: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    return F.softplus((user * negative).sum(dim=1) - (user * positive).sum(dim=1)).mean()
