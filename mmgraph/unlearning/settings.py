"""How a forget set is unlearned: the options of the method."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from mmgraph.unlearning.objective import Reverse

Target = Literal["auto", "unobserved", "held_out"]


class UnlearningConfig(BaseModel):
    """Options of unlearning.

    Attributes:
        mix: Weight of the reversed criterion on forgotten interactions; that on retained ones has the rest up to 1.
            What is remembered has steep slopes and what is well learned flat ones, so a small weight is enough.
        reverse: See :func:`mmgraph.unlearning.objective.reverse_loss`.
        negatives: What the forgotten item is put behind: an item the user has not met, drawn as often as it is among
            the retained interactions (``popular``), or from the pool of training (``uniform``). Pushed behind random
            items, forgotten pairs drag down whatever is popular.
        graph: Which interactions the graph of the steps holds: those retained, or, as an ablation, all of them. What
            is saved was always ranked with the former.
        learning_rate: Of Adam.
        batch_size: Triples of a step, of either kind; by default the run's.
        max_epochs: Passes over the forgotten interactions; by default a tenth of the run's epochs, at least 30.
        patience: Validations in a row without improvement, once the interactions are forgotten, before it stops.
        target: How low the mean margin of forgotten pairs must be: as that of ``unobserved`` pairs of the same users,
            of forgotten items of the same items; or as that of ``held_out`` pairs, the validation part. ``auto`` is
            the latter for requests of single interactions, the former for all others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mix: float = Field(default=0.01, ge=0, le=1)
    reverse: Reverse = "swap"
    negatives: Literal["popular", "uniform"] = "popular"
    graph: Literal["retain", "full"] = "retain"
    learning_rate: float = Field(default=1e-3, gt=0)
    batch_size: int | None = Field(default=None, ge=1)
    max_epochs: int | None = Field(default=None, ge=1)
    patience: int = Field(default=5, ge=1)
    target: Target = "auto"
