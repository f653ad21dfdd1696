"""The loop of unlearning, to be read in one sitting."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmgraph.allocator import keep_freed_memory
from mmgraph.errors import FitError
from mmgraph.models.base import Recommender, Stage, score_function
from mmgraph.models.batch import Batch
from mmgraph.training import EarlyStopping, EpochReport, Sampler, TrainingConfig
from mmgraph.training.loop import choose_learning, mean_terms
from mmgraph.unlearning.forget_pairs import ForgetSampler, Pairs
from mmgraph.unlearning.objective import FORGET, can_share_rows, unlearning_losses
from mmgraph.unlearning.settings import UnlearningConfig

STAGE = "unlearning"

MARGIN = "margin"
"""Name of what :meth:`Goal.gap` returns, in what is told about an epoch."""


@dataclass(frozen=True)
class Goal:
    """When pairs count as forgotten: as soon as their mean margin is that of pairs that were never learned.

    Attributes:
        forgotten: Pairs to be forgotten.
        target: The pairs they should come to resemble.
        block_size: Users scored at once.
    """

    forgotten: Pairs
    target: Pairs
    block_size: int = 1024

    def gap(self, model: Recommender) -> float:
        """Return how far the mean margin is above that of the target, less the standard error of the latter.

        Raises:
            FitError: a score is not finite.
        """
        score = score_function(model)
        mine, wanted = (
            pairs.margins(score, block_size=self.block_size)
            for pairs in (self.forgotten, self.target)
        )
        error = math.sqrt(float(wanted.var(correction=0)) / len(wanted))
        gap = float(mine.mean() - wanted.mean()) - error
        if not math.isfinite(gap):
            raise FitError(
                "scores must stay finite while unlearning (a margin is not a number); lower learning_rate"
            )
        return gap


@dataclass(frozen=True)
class Unlearned:
    """How unlearning went; the model stands at ``best_epoch``, 0 where it was left as it was.

    Attributes:
        epochs: Passes made over the forgotten interactions.
        best_epoch: The one whose weights were kept.
        forgotten: Whether the margin had reached its target there.
        gap: What :meth:`Goal.gap` was there.
        valid: Validation metrics then; empty without a validation part, and where the target was not reached.
    """

    epochs: int
    best_epoch: int
    forgotten: bool
    gap: float
    valid: dict[str, float]


def unlearn_pairs(
    model: Recommender,
    retain: Sampler,
    forget: ForgetSampler,
    goal: Goal,
    *,
    config: UnlearningConfig,
    training: TrainingConfig,
    seed: int,
    validate: Callable[[Recommender], Mapping[str, float]] | None,
    select_by: str,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> Unlearned:
    """Push forgotten pairs down to where never learned ones are, while the retained ones go on being learned.

    An epoch is a pass over the forgotten interactions, with as many steps on retained ones, whose epochs go on from one
    to the next. It turns the criterion round if the forgotten pairs are above their target when it begins, and only
    learns from the retained ones if not; so they are not pushed further than that. It ends when the target has been
    reached and validation has not improved for ``patience`` epochs since, or after ``max_epochs``. Kept are the weights
    that validate best of those at the target, the first ones included, or the last ones if none are.

    Nothing that a retrained model would be needed for is looked at.

    Args:
        model: With the weights to unlearn from; changed in place.
        retain: Draws triples of retained interactions.
        forget: Draws forgotten pairs; without any the model is left as it is.
        goal: When they are forgotten.
        config: How to unlearn; ``max_epochs`` must be set.
        training: Of the run, for what ``config`` does not say.
        seed: Of batches and negatives.
        validate: Returns validation metrics of retained users; None where there is no validation part.
        select_by: The metric to maximise.
        on_epoch: Called after every epoch.

    Raises:
        FitError: a loss or a score is not finite.
    """
    if not len(forget):
        return Unlearned(0, 0, True, 0.0, _validated(model, validate))
    loop = _Loop(model, retain, forget, config=config, training=training, seed=seed)
    kept = _Kept(EarlyStopping(config.patience), select_by)
    limit, epoch = config.max_epochs or 1, 0
    gap = goal.gap(model)
    # Validated at the target only: no other weights can be kept for it.
    if gap <= 0:
        kept.offer(model, 0, gap, _validated(model, validate))
    with keep_freed_memory():
        while epoch < limit and not kept.is_enough(validated=validate is not None):
            epoch += 1
            begin = time.perf_counter()
            losses = loop.run_epoch(epoch, forgetting=gap > 0)
            epoch_s, begin = time.perf_counter() - begin, time.perf_counter()
            gap, valid, is_best = goal.gap(model), {}, False
            if gap <= 0:
                valid = _validated(model, validate)
                is_best = kept.offer(model, epoch, gap, valid)
            if on_epoch:
                told, eval_s = {MARGIN: gap, **losses}, time.perf_counter() - begin
                on_epoch(
                    EpochReport(epoch, limit, STAGE, told, valid or None, is_best, epoch_s, eval_s)
                )
    if kept.found is None:
        return Unlearned(epoch, epoch, False, gap, {})
    model.load_state_dict(kept.weights)
    model.eval()
    return replace(kept.found, epochs=epoch)


class _Kept:
    """The best weights at which the forgotten pairs were at their target."""

    def __init__(self, stopping: EarlyStopping, select_by: str) -> None:
        self.stopping, self.select_by = stopping, select_by
        self.found: Unlearned | None = None
        self.weights: dict[str, Tensor] = {}

    def offer(self, model: Recommender, epoch: int, gap: float, valid: dict[str, float]) -> bool:
        """Keep the weights of an epoch if they validate best; return whether they do."""
        if not self.stopping.update(valid.get(self.select_by, 0.0), epoch):
            return False
        self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
        self.found = Unlearned(epoch, epoch, True, gap, valid)
        return True

    def is_enough(self, *, validated: bool) -> bool:
        """Return whether later weights are not worth waiting for."""
        return self.stopping.should_stop or (self.found is not None and not validated)


def _validated(
    model: Recommender, validate: Callable[[Recommender], Mapping[str, float]] | None
) -> dict[str, float]:
    model.eval()
    with torch.no_grad():
        return dict(validate(model)) if validate else {}


class _Loop:
    """The optimiser and the batches, and what one epoch does with them."""

    def __init__(
        self,
        model: Recommender,
        retain: Sampler,
        forget: ForgetSampler,
        *,
        config: UnlearningConfig,
        training: TrainingConfig,
        seed: int,
    ) -> None:
        self.model, self.forget, self.config, self.training = model, forget, config, training
        self.batch_size = config.batch_size or training.batch_size
        self.generator = torch.Generator(retain.device).manual_seed(seed)
        self.retained = self._endless(retain)
        self.together: bool | None = None  # asked of the model when it trains
        # The last one learned by: what it learns, and by which terms, is what has to be forgotten.
        self.stage: Stage = model.stages[-1]
        model.on_stage(self.stage)
        self.optimizer = torch.optim.Adam(
            choose_learning(model, self.stage),
            lr=config.learning_rate,
            weight_decay=training.weight_decay,
            fused=True,
        )

    def _endless(self, sampler: Sampler) -> Iterator[Batch]:
        while True:
            yield from sampler.epoch(self.batch_size, self.generator)

    def run_epoch(self, epoch: int, *, forgetting: bool) -> dict[str, float]:
        """Take the steps of one epoch; return the means of the named terms."""
        self.model.train()
        self.model.on_epoch(epoch)
        batches = self.forget.epoch(self.batch_size, self.generator)
        return mean_terms(
            (self.step(next(self.retained), lost if forgetting else None) for lost in batches),
            when=f"epoch {epoch} of unlearning",
            remedy="lower learning_rate",
        )

    def step(self, retain: Batch, forget: Batch | None) -> dict[str, Tensor]:
        """Take one step; return the named terms."""
        if self.together is None and forget is not None:
            self.together = can_share_rows(self.model, forget)
        self.optimizer.zero_grad(set_to_none=True)
        terms, loss = unlearning_losses(
            self.model,
            self.stage,
            retain,
            forget,
            mix=self.config.mix,
            reverse=self.config.reverse,
            precision=self.training.precision,
            together=bool(self.together),
        )
        loss.backward()
        self.optimizer.step()
        self.model.after_step()
        return terms


def without_forgotten(losses: Mapping[str, float]) -> dict[str, float]:
    """Return the terms of an epoch that say nothing about what is forgotten."""
    return {name: value for name, value in losses.items() if name not in (MARGIN, FORGET)}
