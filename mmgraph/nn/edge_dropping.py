"""Training on a random part of the user-item edges, drawn anew for each epoch."""

from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmgraph.errors import ConfigError, nearest

DropPolicy = Literal["degree", "uniform"]


class KeptEdges(NamedTuple):
    """The edges that are left, in their old order, and their weights among themselves.

    Weights are ``1 / sqrt(d_u d_i)`` with the degrees of what was kept, the same for both directions
    of message passing; ``position`` tells where each edge was, rising.

    Shapes:
        edge_index (2, num_kept), edge_weight (num_kept,) float32, position (num_kept,).
    """

    edge_index: Tensor
    edge_weight: Tensor
    position: Tensor


def num_kept(num_edges: int, drop: float) -> int:
    """Return ``floor(num_edges * (1 - drop))``, with ``drop`` taken as the decimal number that it is written as.

    In floating point 150 * (1 - 0.8) is below 30.

    Raises:
        ConfigError: ``drop`` is not in [0, 1).

    Example:
        >>> num_kept(150, 0.8), int(150 * (1 - 0.8))
        (30, 29)
    """
    if not isinstance(drop, int | float) or not 0 <= drop < 1:
        raise ConfigError(
            f"drop must be a number from 0 on and below 1 (got {drop!r}); 0 keeps every edge"
        )
    return int(num_edges * (1 - Fraction(repr(float(drop)))))


def drop_edges(
    edge_index: Tensor,
    *,
    num_users: int,
    num_items: int,
    drop: float,
    policy: DropPolicy = "degree",
    seed: int = 0,
    epoch: int = 0,
) -> KeptEdges:
    """Keep a random part of the user-item edges and normalise it anew.

    Edges are drawn one after the other without replacement, each with a chance in proportion to ``1 / sqrt(d_u d_i)``
    (``degree``: what popular items and busy users say is the first to go) or to one (``uniform``). All draws are made
    at once: the smallest ``num_kept`` of one exponential variable per edge, divided by its chance, are such a sample.
    The same seed, epoch and edges give the same sample on any device and with any number of threads, and nothing has
    to be saved to resume. Evaluation uses the full graph, not this.

    Source: Zhou and Shen, FREEDOM, 2023, section 3.2, which computes the number of edges in floating point; Efraimidis
    and Spirakis, 2006, for drawing at once.

    Args:
        edge_index: Users in row 0, items in row 1; pairs are distinct.
        num_users: Number of users.
        num_items: Number of items.
        drop: Share of the edges to leave out, in [0, 1).
        policy: ``degree`` or ``uniform``.
        seed: Seed of the run.
        epoch: Number of the epoch; each has a sample of its own.

    Returns:
        :func:`num_kept` edges; every edge when ``drop`` is 0.

    Raises:
        ConfigError: ``drop`` is not in [0, 1) or the policy is unknown.

    Shapes:
        edge_index (2, num_edges) int64.

    Complexity: O(num_edges).

    Example:
        >>> edges = torch.tensor([[0, 0, 0, 1], [0, 1, 2, 2]])
        >>> kept = drop_edges(edges, num_users=2, num_items=3, drop=0.5)
        >>> kept.edge_index.shape, torch.equal(edges[:, kept.position], kept.edge_index)
        (torch.Size([2, 2]), True)
    """
    if policy not in ("degree", "uniform"):
        near = nearest(str(policy), ("degree", "uniform"))
        raise ConfigError(f"policy must be 'degree' or 'uniform' (got {policy!r}){near}")
    for name, number in (("seed", seed), ("epoch", epoch)):
        if not isinstance(number, int) or number < 0:
            raise ConfigError(
                f"{name} must be a whole number from 0 on (got {number!r}); such as 0"
            )
    num_edges = edge_index.size(1)
    count = num_kept(num_edges, drop)
    if count == num_edges:
        position = torch.arange(num_edges, device=edge_index.device)
    else:
        # numpy's stream depends on no thread and no device; below only operations that round correctly follow.
        draws = np.random.default_rng((seed, epoch)).standard_exponential(num_edges)
        key = torch.from_numpy(draws).to(edge_index.device)
        if policy == "degree":
            degree_product = _of_ends(edge_index, num_users, num_items)
            key = key * (degree_product[0] * degree_product[1]).double().sqrt()
        position = _smallest(key, count)
    kept = edge_index.index_select(1, position)
    user_degree, item_degree = _of_ends(kept, num_users, num_items)
    weight = user_degree.double() ** -0.5 * item_degree.double() ** -0.5
    return KeptEdges(kept, weight.float(), position)


def _of_ends(edge_index: Tensor, num_users: int, num_items: int) -> tuple[Tensor, Tensor]:
    """Return the degree of the user and of the item of each edge."""
    user, item = edge_index
    user_degree = torch.bincount(user, minlength=num_users)
    item_degree = torch.bincount(item, minlength=num_items)
    return user_degree.index_select(0, user), item_degree.index_select(0, item)


def _smallest(key: Tensor, count: int) -> Tensor:
    """Return where the ``count`` smallest keys are, rising; of equal keys the first ones."""
    if count == 0:
        return torch.empty(0, dtype=torch.int64, device=key.device)
    bound = key.kthvalue(count).values
    position = (key <= bound).nonzero().squeeze(1)
    if len(position) > count:
        equal = (key.index_select(0, position) == bound).nonzero().squeeze(1)
        extra = equal[len(equal) - (len(position) - count) :]
        chosen = torch.ones(len(position), dtype=torch.bool, device=key.device)
        chosen[extra] = False
        position = position[chosen]
    return position
