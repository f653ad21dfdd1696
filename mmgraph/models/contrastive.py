"""What models with a contrastive term share: the term's weight, and where it comes from."""

import torch
from pydantic import Field
from torch import Tensor

from mmgraph.models.base import Batch, EmbeddingConfig, IdRecommender, Rows, Stage
from mmgraph.models.terms import terms_of


class ContrastiveConfig(EmbeddingConfig):
    """Options of models with a contrastive term.

    Attributes:
        contrast_weight: Weight of the term; 0 leaves it out.
        temperature: Of its softmax.
    """

    contrast_weight: float = Field(default=0.01, ge=0)
    temperature: float = Field(default=0.2, gt=0)


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
        return {**super().penalties(batch, rows), **terms_of(rows)}


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
