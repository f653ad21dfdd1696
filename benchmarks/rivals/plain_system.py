"""Any system computed the plain way: the same equations and weights, as a first version computes them.

Sparse products are those of COO tensors; negatives are drawn one by one in Python; every item is encoded in every step,
also where the loss needs those of the batch alone; criteria among many hold their whole matrix of similarities, with a
row for every triple; nearest neighbours are the largest of a dense product; MAML's network sees each pair's three
vectors side by side. Features stay frozen, although several authors' codes train them: that would be slower still.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import combinations
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.training.phases import WatchedSampler
from mmgraph.models.base import Recommender
from mmgraph.nn import DimensionAttention, ModalityEncoders, info_nce
from mmgraph.nn.dimension_attention import Side
from mmgraph.nn.learned_graphs import LearnedItemGraphs
from mmgraph.sparse import use_backend
from mmgraph.sparse.choice import BACKENDS

_COO = "coo"


class OneByOneSampler(WatchedSampler):
    """Draws each negative on its own, until one is not among the user's items."""

    def __init__(self, user: Tensor, item: Tensor, **options: Any) -> None:
        super().__init__(user, item, **options)
        self.items_of: dict[int, set[int]] = {}
        for u, i in zip(self.user.tolist(), self.item.tolist(), strict=True):
            self.items_of.setdefault(u, set()).add(i)
        self.candidates = self.pool.tolist()

    def _negatives(self, user: Tensor, generator: torch.Generator) -> Tensor:
        draw = random.Random(torch.randint(2**31, (1,), generator=generator).item())
        found = []
        for u in user.tolist():
            while True:
                item = self.candidates[draw.randrange(len(self.candidates))]
                if item not in self.items_of[u]:
                    break
            found.append(item)
        return torch.tensor(found, device=user.device)


@contextmanager
def computing_plainly(model: Recommender) -> Iterator[None]:
    """Let a model compute the plain way for as long as the block."""
    backends = {**BACKENDS, _COO: "benchmarks.rivals.coo_products"}
    with ExitStack() as changes:
        enter = changes.enter_context
        enter(patch.dict(BACKENDS, backends))
        enter(use_backend(_COO))
        enter(patch.object(ModalityEncoders, "forward", _encode_all(ModalityEncoders.forward)))
        enter(patch("mmgraph.nn.contrast._SumOfLogSums", _WholeMatrix))
        enter(patch("mmgraph.models.lgmrec.pairwise_info_nce", _every_row_looks))
        enter(patch("mmgraph.models.cm3.uniformity_loss", _every_pair))
        for part in model.modules():
            if isinstance(part, LearnedItemGraphs):
                assert isinstance(part.nearest, partial)
                enter(patch.object(part, "nearest", _dense_neighbours(part.nearest.keywords["k"])))
            if isinstance(part, DimensionAttention):
                enter(patch.object(part, "sides", _whole_sides))
                enter(patch.object(part, "weights", _whole_weights(part)))
        yield


def _encode_all(encode: Callable[..., dict[str, Tensor]]) -> Callable[..., dict[str, Tensor]]:
    def encoded(self: ModalityEncoders, items: Tensor | None = None) -> dict[str, Tensor]:
        everything = encode(self)
        if items is None:
            return everything
        return {name: x.index_select(0, items) for name, x in everything.items()}

    return encoded


def _dense_neighbours(k: int) -> Callable[[Tensor, Tensor], Tensor]:
    def nearest(x: Tensor, present: Tensor) -> Tensor:
        unit = F.normalize(x, dim=1)
        likeness = (unit @ unit.T).masked_fill(~present, float("-inf"))
        receivers = present.nonzero().squeeze(1)
        best = likeness[receivers].topk(min(k, len(receivers)), dim=1).indices
        return torch.stack([best.flatten(), receivers.repeat_interleave(best.size(1))])

    return nearest


class _WholeMatrix:
    """In place of the sum that passes by in blocks."""

    @staticmethod
    def apply(
        x: Tensor, y: Tensor, present: Tensor | None, weight: Tensor, skip: int | None
    ) -> Tensor:
        logits = x @ y.T
        if present is not None:
            logits = logits.masked_fill(~present, float("-inf"))
        if skip is not None:
            itself = torch.zeros_like(logits, dtype=torch.bool)
            itself.diagonal(skip).fill_(True)
            logits = logits.masked_fill(itself, float("-inf"))
        return (weight * logits.logsumexp(dim=1).where(weight > 0, 0.0)).sum()


def _every_row_looks(
    tables: Sequence[Tensor],
    rows: Tensor,
    *,
    present: Sequence[Tensor],
    temperature: float,
    reduction: Any,
) -> Tensor:
    pairs = combinations(zip(tables, present, strict=True), 2)
    terms = [
        info_nce(
            one.index_select(0, rows),
            other,
            rows,
            temperature=temperature,
            present=here & there,
            reduction=reduction,
        )
        for (one, here), (other, there) in pairs
    ]
    return torch.stack(terms).sum()


def _every_pair(x: Tensor, similarity: Tensor | None = None, *, times: Tensor) -> Tensor:
    place = torch.arange(len(x), device=x.device).repeat_interleave(times)
    exponent = -2 * F.pdist(x.index_select(0, place)).square()
    if similarity is not None:
        one, other = torch.triu_indices(len(place), len(place), offset=1, device=x.device)
        exponent = exponent + 4 - 4 * similarity[place[one], place[other]]
    loss: Tensor = exponent.exp().mean().log()
    return loss


def _whole_sides(user: Tensor, item: Tensor, content: Tensor) -> tuple[Side, Side]:
    """Return both sides with their vectors, of which the network makes the hidden layer itself."""
    both = torch.cat([item, content], dim=1)
    return Side(user, user, user[:, 0]), Side(item, both, item[:, 0])


def _whole_weights(attention: DimensionAttention) -> Callable[[Side, Side], Tensor]:
    def weights(user: Side, item: Side) -> Tensor:
        shape = torch.broadcast_shapes(user.hidden.shape[:-1], item.hidden.shape[:-1])
        sides = (x.hidden.expand(*shape, -1) for x in (user, item))
        inside = attention.hidden(F.normalize(torch.cat([*sides], dim=-1), dim=-1))
        hidden = F.dropout(inside.tanh(), attention.dropout, attention.training)
        logits = attention.output(F.normalize(hidden, dim=-1)).relu()
        shares: Tensor = attention.dim * logits.softmax(dim=-1)
        return shares

    return weights
