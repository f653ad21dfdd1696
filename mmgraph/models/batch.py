"""A batch of training and the vectors it is scored with."""

from typing import NamedTuple, Self

import torch
from torch import Tensor

from mmgraph.sparse import SparseAdjacency


class Embeddings(NamedTuple):
    """Final vectors: ``user`` (num_users, dim) and ``item`` (num_items, dim)."""

    user: Tensor
    item: Tensor


class Neighborhood(NamedTuple):
    """A part of the user-item graph: indices of its users and items, and the joint matrix among them."""

    user: Tensor
    item: Tensor
    adjacency: SparseAdjacency

    def rows_of(self, vectors: Embeddings) -> Embeddings:
        """Return the vectors of its users and items."""
        return Embeddings(
            vectors.user.index_select(0, self.user), vectors.item.index_select(0, self.item)
        )


class Batch(NamedTuple):
    """Triples of user, positive item and sampled negative item; each (batch,) int64.

    A model with several negatives a triple finds them as (batch, num_negatives). With a neighbourhood they name its
    rows, otherwise users and items themselves.
    """

    user: Tensor
    positive: Tensor
    negative: Tensor
    neighborhood: Neighborhood | None = None


class Rows(NamedTuple):
    """The vectors that a batch is scored with, a row for each triple; (batch, dim) each.

    Several negatives of a triple are (batch, num_negatives, dim).
    """

    user: Tensor
    positive: Tensor
    negative: Tensor

    def scores(self) -> tuple[Tensor, Tensor]:
        """Return the inner products of the users with their positive and with their negative items; (batch,) each.

        With several negatives the latter are (batch, num_negatives).
        """
        user = self.user if self.negative.dim() == 2 else self.user[:, None]
        return (self.user * self.positive).sum(dim=1), (user * self.negative).sum(dim=-1)

    def with_first_negative(self) -> Self:
        """Return the same with the first of several negatives alone; what a subclass carries comes along."""
        if self.negative.dim() == 2:
            return self
        rows = type(self)(self.user, self.positive, self.negative[:, 0])
        for name, value in getattr(self, "__dict__", {}).items():
            setattr(rows, name, value)
        return rows


def rows_of(vectors: Embeddings, batch: Batch) -> Rows:
    """Return the rows of a batch's users, positive and negative items."""
    # index_select: its gradient is the same for any number of threads, that of indexing is not.
    return Rows(vectors.user.index_select(0, batch.user), *items_of(vectors.item, batch))


def items_of(table: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the rows of a batch's positive and of its negative items, in the shape of these.

    Shapes:
        table (num_items, dim); returns (batch, dim) each; several negatives are (batch, num_negatives, dim).
    """
    # Both at once: each gradient of a selection is a whole table.
    rows = table.index_select(0, torch.cat([batch.positive, batch.negative.flatten()]))
    positive, negative = rows.split([len(batch.positive), batch.negative.numel()])
    return positive, negative.unflatten(0, batch.negative.shape)


def distinct_items(batch: Batch) -> tuple[Tensor, Batch]:
    """Return the items of a batch, each once, and the batch with their places among these.

    Shapes:
        returns (num_distinct,) int64 and triples as those of the batch.

    Example:
        >>> batch = Batch(torch.tensor([5, 5]), torch.tensor([7, 3]), torch.tensor([3, 9]))
        >>> items, places = distinct_items(batch)
        >>> items.tolist(), places.positive.tolist(), places.negative.tolist()
        ([3, 7, 9], [1, 0], [0, 2])
    """
    both = torch.cat([batch.positive, batch.negative.flatten()])
    items, place = torch.unique(both, return_inverse=True)
    positive, negative = place.split([len(batch.positive), batch.negative.numel()])
    return items, Batch(batch.user, positive, negative.view_as(batch.negative))


def renumbered(batch: Batch) -> tuple[Tensor, Tensor, Batch]:
    """Return the users and the items of a batch, each once, and the batch in terms of their places.

    Shapes:
        returns (num_distinct_users,), (num_distinct_items,) int64 and triples as those of the batch.

    Example:
        >>> batch = Batch(torch.tensor([5, 5]), torch.tensor([7, 3]), torch.tensor([3, 9]))
        >>> users, items, places = renumbered(batch)
        >>> users.tolist(), items.tolist(), [x.tolist() for x in places[:3]]
        ([5], [3, 7, 9], [[0, 0], [1, 0], [0, 2]])
    """
    users, user = torch.unique(batch.user, return_inverse=True)
    items, places = distinct_items(batch)
    return users, items, places._replace(user=user)
