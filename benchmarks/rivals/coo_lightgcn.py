"""LightGCN trained the plain way: COO products, negatives one by one, Adam with its defaults."""

import random
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.laps import Laps

Triples = tuple[Tensor, Tensor, Tensor]


class CooLightGCN:
    """LightGCN and its training loop as a first version would have them.

    The loss is that of ``mmgraph.models.lightgcn``: BPR on the mean of the layers, plus
    ``reg_weight`` times half the squared norm of the layer-0 rows of the batch, divided by its size.

    Args:
        user: User of each training pair.
        item: Item of each training pair.
        user_embedding: Initial vectors, (num_users, dim); copied. Their device is that of the work.
        item_embedding: Initial vectors, (num_items, dim); copied.
        num_layers: Depth.
        reg_weight: Weight of the penalty.
        learning_rate: Of Adam.
        batch_size: Triples a step.
    """

    def __init__(
        self,
        user: Sequence[int],
        item: Sequence[int],
        *,
        user_embedding: Tensor,
        item_embedding: Tensor,
        num_layers: int = 2,
        reg_weight: float = 1e-4,
        learning_rate: float = 1e-3,
        batch_size: int = 2048,
    ) -> None:
        self.pairs = list(zip(map(int, user), map(int, item), strict=True))
        self.num_users, self.num_items = len(user_embedding), len(item_embedding)
        self.user_embedding = user_embedding.detach().clone().requires_grad_()
        self.item_embedding = item_embedding.detach().clone().requires_grad_()
        self.num_layers, self.batch_size = num_layers, batch_size
        self.reg_weight, self.learning_rate = reg_weight, learning_rate
        self.adjacency = self._adjacency()
        self.items_of: dict[int, set[int]] = {}
        for u, i in self.pairs:
            self.items_of.setdefault(u, set()).add(i)
        self.pool = sorted({i for _, i in self.pairs})

    def _adjacency(self) -> Tensor:
        user, item = torch.tensor(self.pairs, device=self.user_embedding.device).T
        return sym_adjacency(user, item, self.num_users, self.num_items)

    def encode(self) -> tuple[Tensor, Tensor]:
        """Return final user and item vectors: the mean of all layers."""
        ego = torch.cat([self.user_embedding, self.item_embedding])
        mean = mean_of_layers(self.adjacency, ego, self.num_layers)
        return mean[: self.num_users], mean[self.num_users :]

    def loss(self, triples: Triples) -> tuple[Tensor, Tensor]:
        """Return the criterion and the unweighted penalty on a batch."""
        user, positive, negative = triples
        users, items = self.encode()
        good = (users[user] * items[positive]).sum(dim=1)
        bad = (users[user] * items[negative]).sum(dim=1)
        squares = (
            self.user_embedding[user].pow(2).sum()
            + self.item_embedding[positive].pow(2).sum()
            + self.item_embedding[negative].pow(2).sum()
        )
        return F.softplus(bad - good).mean(), squares / (2 * len(user))

    def sample(self, generator: random.Random) -> list[Triples]:
        """Shuffle the pairs and draw a negative for each by rejection, one after another."""
        pairs = self.pairs.copy()
        generator.shuffle(pairs)
        users, positives, negatives = [], [], []
        for user, positive in pairs:
            while True:
                negative = self.pool[generator.randrange(len(self.pool))]
                if negative not in self.items_of[user]:
                    break
            users.append(user)
            positives.append(positive)
            negatives.append(negative)
        device = self.user_embedding.device
        columns = [torch.tensor(column, device=device) for column in (users, positives, negatives)]
        parts = [column.split(self.batch_size) for column in columns]
        return list(zip(*parts, strict=True))

    def train(
        self, batches: Iterable[Triples], laps: Laps | None = None
    ) -> list[tuple[float, float]]:
        """Take one step on each batch with a fresh Adam; return both terms of every step."""
        laps = laps or Laps(str(self.user_embedding.device))
        optimizer = torch.optim.Adam(
            [self.user_embedding, self.item_embedding], lr=self.learning_rate
        )
        terms = []
        for triples in batches:
            laps.lap("rest")
            bpr, penalty = self.loss(triples)
            laps.lap("forward")
            loss = bpr + self.reg_weight * penalty
            optimizer.zero_grad()
            loss.backward()
            laps.lap("backward")
            optimizer.step()
            laps.lap("optimiser")
            terms.append((bpr.item(), penalty.item()))
        laps.lap("rest")
        return terms

    def epoch(self, generator: random.Random) -> tuple[dict[str, float], float]:
        """Train one epoch; return the seconds of its phases and the mean of the criterion."""
        laps = Laps(str(self.user_embedding.device))
        batches = self.sample(generator)
        laps.lap("sampler")
        terms = self.train(batches, laps)
        return laps.seconds, sum(bpr for bpr, _ in terms) / len(terms)


def sym_adjacency(user: Tensor, item: Tensor, num_users: int, num_items: int) -> Tensor:
    """Return the joint matrix of pairs, users first, with weights ``1 / sqrt(d_u d_i)``, as COO."""
    item = item + num_users
    edges = torch.stack([torch.cat([user, item]), torch.cat([item, user])])
    size = num_users + num_items
    degree = torch.bincount(edges[0], minlength=size).double()
    weight = (degree[edges[0]] * degree[edges[1]]) ** -0.5
    return torch.sparse_coo_tensor(
        edges, weight.float(), (size, size), check_invariants=False
    ).coalesce()


def mean_of_layers(adjacency: Tensor, ego: Tensor, num_layers: int) -> Tensor:
    """Return the mean of a table and its repeated products with a matrix."""
    layers = [ego]
    for _ in range(num_layers):
        layers.append(torch.sparse.mm(adjacency, layers[-1]))
    return torch.stack(layers).mean(dim=0)
