"""What models with a contrastive term share: the term's weight, and where it comes from."""

from pydantic import Field
from torch import Tensor

from mmgraph.models.base import EmbeddingConfig, IdRecommender, Stage
from mmgraph.models.batch import Batch, Rows
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
