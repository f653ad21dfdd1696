"""MARGO on DRAGON trained the plain way: COO products, neighbours of users gathered, Adam over all of it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.rivals.coo_lightgcn import Triples, sym_adjacency
from benchmarks.rivals.dense_freedom import Linear, mean_of_neighbours
from benchmarks.rivals.dense_training import DenseTraining, learns


class UserNeighbours(NamedTuple):
    """The users that share most items with each user: (num_users, k) indices and their numbers of shared items.

    A user with fewer of them is filled up with 0 shared items.
    """

    nearest: Tensor
    shared: Tensor


class DenseDragon(DenseTraining):
    """The second stage of MARGO and its step, on a DRAGON as the authors' code has it.

    Args:
        preferences: Modality -> initial vectors of the users, (num_users, dim); copied. Their device is that of the
            work.
        features: Modality -> (num_items, width); they do not learn. The authors' code has copies of them that would,
            but uses the features themselves.
        encoders: Modality -> both initial layers of its encoder.
        logits: Initial logits of the items' weights, (num_items, num_modalities); copied.
        pairs: Training pairs of user and item, (2, num_pairs).
        neighbours: Modality -> edges of its nearest neighbours: source in row 0, target in row 1,
            as many for each item.
        shares: Modality -> its share of the item graph.
        users: The user graph.
        alpha: Weight of the calibration.
        tau: Of the confidence.
        reg_weight: Weight of the penalty on preferences.
        learning_rate: Of Adam.
    """

    def __init__(
        self,
        *,
        preferences: Mapping[str, Tensor],
        features: Mapping[str, Tensor],
        encoders: Mapping[str, Sequence[Linear]],
        logits: Tensor,
        pairs: Tensor,
        neighbours: Mapping[str, Tensor],
        shares: Mapping[str, float],
        users: UserNeighbours,
        alpha: float = 0.1,
        tau: float = 5.0,
        reg_weight: float = 0.1,
        learning_rate: float = 1e-3,
    ) -> None:
        self.num_users, self.num_items = len(users.nearest), len(logits)
        self.tau = tau
        self.preferences = {name: learns(x) for name, x in preferences.items()}
        self.features = dict(features)
        self.encoders = {
            name: [(learns(weight), learns(bias)) for weight, bias in layers]
            for name, layers in encoders.items()
        }
        self.logits = learns(logits)
        self.adjacency = sym_adjacency(pairs[0], pairs[1], self.num_users, self.num_items)
        self.item_graph = mean_of_neighbours(neighbours, shares, self.num_items)
        self.user_index = users.nearest
        chances = users.shared.float().masked_fill(users.shared == 0, float("-inf")).softmax(dim=1)
        self.user_weight = chances.nan_to_num()[:, None, :]  # zeros where a user has no neighbour
        learning = [self.logits, *self.preferences.values()]
        learning += [x for layers in self.encoders.values() for layer in layers for x in layer]
        weights = {"reg": reg_weight, "calibration": alpha}
        super().__init__(learning, weights=weights, learning_rate=learning_rate)

    def encode(self) -> list[tuple[Tensor, Tensor]]:
        """Return final users and items of each modality."""
        users, items = [], []
        for name, x in self.features.items():
            first, second = self.encoders[name]
            content = F.linear(F.leaky_relu(F.linear(x, *first)), *second)
            ego = F.normalize(torch.cat([self.preferences[name], content]))
            near = torch.sparse.mm(self.adjacency, ego)
            far = torch.sparse.mm(self.adjacency, near)
            user, item = (ego + near + far).split([self.num_users, self.num_items])
            users.append(user)
            items.append(item)
        user, item = torch.cat(users, dim=1), torch.cat(items, dim=1)
        user = user + torch.matmul(self.user_weight, user[self.user_index]).squeeze(1)
        item = item + torch.sparse.mm(self.item_graph, item)
        widths = [x.size(1) for x in users]
        return list(zip(user.split(widths, dim=1), item.split(widths, dim=1), strict=True))

    def loss(self, triples: Triples) -> dict[str, Tensor]:
        """Return the criterion, the unweighted penalty and the unweighted calibration."""
        user, positive, negative = triples
        vectors = self.encode()
        weights = self.logits.softmax(dim=1)
        good, bad = (
            torch.stack([(u[user] * i[items]).sum(dim=1) for u, i in vectors], dim=1)
            for items in (positive, negative)
        )
        better = (weights[positive] * good).sum(dim=1) - (weights[negative] * bad).sum(dim=1)
        with torch.no_grad():
            apart = good - bad
            z = torch.where(apart >= 0, apart, torch.full_like(apart, -403.4)).softmax(dim=1)
            gamma = torch.tanh(better.clamp(min=0) / self.tau)
        target = (weights[positive] + weights[negative]) / 2
        divergence = (torch.xlogy(z, z) - z * target.log()).sum(dim=1)
        squares = [x[user].square().mean() for x in self.preferences.values()]
        return {
            "bpr": F.softplus(-better).mean(),
            "reg": torch.stack(squares).sum(),
            "calibration": (gamma * divergence).mean(),
        }
