"""What models with a contrastive term share: the term's weight, and where it comes from."""

from collections.abc import Mapping
from typing import Self

import torch
from pydantic import Field
from torch import Tensor

from mmgraph.models.base import Batch, EmbeddingConfig, IdRecommender, Rows, Stage


class ContrastiveConfig(EmbeddingConfig):
    """Options of models with a contrastive term.

    Attributes:
        contrast_weight: Weight of the term; 0 leaves it out.
        temperature: Of its softmax.
    """

    contrast_weight: float = Field(default=0.01, ge=0)
    temperature: float = Field(default=0.2, gt=0)


class RowsAndTerms(Rows):
    """The rows of a batch, and the terms of the loss made of what the rows are made of."""

    terms: Mapping[str, Tensor]

    @classmethod
    def of(cls, rows: Rows, terms: Mapping[str, Tensor]) -> Self:
        """Put terms to rows."""
        both = cls(*rows)
        both.terms = terms
        return both


class Contrastive(IdRecommender):
    """Base of models whose ``batch_rows`` returns the rows together with the term ``contrast``."""

    config: ContrastiveConfig

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One stage, with the configured weights of penalty and contrast."""
        weights = {"reg": self.config.reg_weight, "contrast": self.config.contrast_weight}
        return (Stage(loss_weights=weights),)

    def penalties(self, batch: Batch, rows: Rows) -> dict[str, Tensor]:
        """Return ``reg`` and ``contrast``, each if it has a weight."""
        assert isinstance(rows, RowsAndTerms)
        return {**super().penalties(batch, rows), **rows.terms}


def renumbered(batch: Batch) -> tuple[Tensor, Tensor, Batch]:
    """Return the users and the items of a batch, each once, and the batch in terms of their places.

    Shapes:
        returns (num_distinct_users,), (num_distinct_items,) and triples as those of the batch.

    Example:
        >>> batch = Batch(torch.tensor([5, 5]), torch.tensor([7, 3]), torch.tensor([3, 9]))
        >>> users, items, places = renumbered(batch)
        >>> users.tolist(), items.tolist(), [x.tolist() for x in places[:3]]
        ([5], [3, 7, 9], [[0, 0], [1, 0], [0, 2]])
    """
    users, user = torch.unique(batch.user, return_inverse=True)
    both = torch.cat([batch.positive, batch.negative.flatten()])
    items, place = torch.unique(both, return_inverse=True)
    positive, negative = place.split([len(batch.positive), batch.negative.numel()])
    return users, items, Batch(user, positive, negative.view_as(batch.negative))
