"""The training loop, to be read in one sitting."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from torch import Tensor, nn

from mmgraph.allocator import keep_freed_memory
from mmgraph.errors import FitError
from mmgraph.models.base import Recommender, Stage
from mmgraph.models.batch import Batch
from mmgraph.training.checkpoint import (
    Checkpoint,
    CheckpointStore,
    pack_optimizer,
    unpack_optimizer,
)
from mmgraph.training.random_state import random_states, set_random_states
from mmgraph.training.sampler import Order, Pool, Sampler
from mmgraph.training.stopping import EarlyStopping

Precision = Literal["float32", "bfloat16"]


class TrainingConfig(BaseModel):
    """How a model is trained.

    Attributes:
        max_epochs: Limit of each stage that has none of its own.
        batch_size: Triples a step.
        learning_rate: Of Adam, at the start.
        weight_decay: Of Adam: this times a weight joins its gradient, so rows outside of the batch shrink too.
        schedule: ``constant``, or ``exponential``: times ``decay_rate`` every ``decay_every`` epochs, smoothly.
        patience: Validations in a row without improvement before a stage stops.
        eval_every: Epochs between validations; the last epoch is always validated.
        order: See ``PairwiseSampler``.
        negatives: Pool of the negatives; see ``PairwiseSampler``.
        checkpoint_seconds: A checkpoint follows the first epoch to end this long after the last one; 0 saves after
            every epoch.
        precision: ``bfloat16`` computes the losses, and their gradients, in it where torch's autocast says so;
            weights, the optimiser and validation stay float32.
        num_neighbors: Learn from a sampled part of the user-item graph, so many neighbours of each node at each hop;
            see ``mmgraph.training.neighbors``. By default every step uses the whole graph.
        sparse_backend: Name of the kernel of sparse products; by default the best one here, see ``mmgraph.sparse``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_epochs: int = Field(default=1000, ge=1)
    batch_size: int = Field(default=2048, ge=1)
    learning_rate: float = Field(default=5e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Literal["constant", "exponential"] = "constant"
    decay_rate: float = Field(default=0.96, gt=0, le=1)
    decay_every: int = Field(default=50, ge=1)
    patience: int = Field(default=20, ge=1)
    eval_every: int = Field(default=1, ge=1)
    order: Order = "interaction_uniform"
    negatives: Pool = "train_items"
    checkpoint_seconds: float = Field(default=30.0, ge=0)
    precision: Precision = "float32"
    num_neighbors: tuple[PositiveInt, ...] | None = None
    sparse_backend: str | None = None


@dataclass(frozen=True)
class EpochReport:
    """What happened in one epoch: mean loss terms, validation metrics if it was validated, seconds.

    Attributes:
        epoch: Counted through all stages.
        limit: The last one there can be, now that earlier stages have ended.
    """

    epoch: int
    limit: int
    stage: str
    losses: dict[str, float]
    valid: dict[str, float] | None
    is_best: bool
    epoch_s: float
    eval_s: float | None

    def record(self) -> dict[str, Any]:
        """Return the part that is the same on every run with this seed, for ``metrics.jsonl``."""
        return {k: v for k, v in asdict(self).items() if k not in ("limit", "epoch_s", "eval_s")}


@dataclass
class _Progress:
    """All that changes from epoch to epoch outside of the model and the optimiser."""

    stage: int = 0
    epoch: int = 0
    epoch_in_stage: int = 0
    stopping: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    best_valid: dict[str, float] | None = None
    best_epoch: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class FitResult:
    """How a model was trained; it stands at ``best_epoch``.

    Attributes:
        epochs: Of all stages; none if the model has no stages.
        best_epoch: The best validated one of the last stage, counted through all stages. A stage before it may have
            had a better one.
        valid: Validation metrics there.
        history: What each epoch reported.
    """

    epochs: int
    best_epoch: int
    valid: dict[str, float]
    history: list[dict[str, Any]]


def fit(
    model: Recommender,
    sampler: Sampler,
    *,
    config: TrainingConfig,
    seed: int,
    validate: Callable[[Recommender], Mapping[str, float]] | None,
    select_by: str,
    checkpoints: CheckpointStore | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> FitResult:
    """Train a model through its stages and leave it with the weights of the best validated epoch of the last one.

    Each stage begins with the weights of the best validated epoch of the stage before it. Stages are not compared with
    each other: they train different things. Without ``validate`` every stage runs to its last epoch and keeps the last
    weights. A run that finds a checkpoint goes on from it and ends as if it had never been interrupted. A model without
    stages is validated as it is.

    Args:
        model: Changed in place.
        sampler: Gives the batches.
        config: How to train.
        seed: Of batches and negatives, apart from that of the initial weights.
        validate: Returns validation metrics of the model in eval mode; sees no test data by construction.
        select_by: The metric to maximise.
        checkpoints: Where to save and look for checkpoints.
        on_epoch: Called after every epoch, not for epochs restored from a checkpoint.

    Raises:
        FitError: a loss is not finite.
    """
    loop = _Loop(model, sampler, config=config, seed=seed, select_by=select_by)
    loop.restore(checkpoints.latest() if checkpoints else None)
    saved_at = time.monotonic()
    with keep_freed_memory():
        while loop.progress.stage < len(model.stages):
            stage = loop.enter_stage()
            while not loop.stage_is_over(stage):
                report = loop.run_epoch(stage, validate)
                if on_epoch:
                    on_epoch(report)
                if checkpoints and time.monotonic() - saved_at >= config.checkpoint_seconds:
                    loop.save(checkpoints)
                    saved_at = time.monotonic()
            loop.leave_stage()
        if not model.stages and validate:
            loop.progress.best_valid = _validated(model, validate)
    model.eval()
    progress = loop.progress
    return FitResult(
        progress.epoch, progress.best_epoch, progress.best_valid or {}, progress.history
    )


def _validated(
    model: Recommender, validate: Callable[[Recommender], Mapping[str, float]]
) -> dict[str, float]:
    model.eval()
    with torch.no_grad():
        return dict(validate(model))


def choose_learning(model: Recommender, stage: Stage) -> list[nn.Parameter]:
    """Let the parameters that a stage names learn, and no others; return them."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(stage.parameters))
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def compute_losses(
    model: Recommender, stage: Stage, batch: Batch, *, precision: Precision
) -> tuple[dict[str, Tensor], Tensor]:
    """Return the named terms of a batch, and their sum with the weights of a stage."""
    with computing_in(precision, batch.user.device):
        terms = model.losses(batch)
    return weigh(terms, stage.loss_weights)


def computing_in(precision: Precision, device: torch.device) -> torch.autocast:
    """Return a context in which losses are computed with a precision."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def weigh(
    terms: Mapping[str, Tensor], weights: Mapping[str, float]
) -> tuple[dict[str, Tensor], Tensor]:
    """Return named terms in float32 at least, and their weighted sum; a term without a weight has 1."""
    # A sum of bfloat16 numbers would keep three digits.
    exact = {
        name: term.to(torch.promote_types(term.dtype, torch.float32))
        for name, term in terms.items()
    }
    weighted = [weights.get(name, 1.0) * term for name, term in exact.items()]
    return exact, torch.stack(weighted).sum()


def mean_terms(
    steps: Iterable[Mapping[str, Tensor]], *, when: str, remedy: str
) -> dict[str, float]:
    """Take the steps of an epoch; return the means of their named terms.

    Args:
        steps: The terms of each step, which is taken as it is asked for.
        when: What to call the epoch if something goes wrong.
        remedy: What to do about it.

    Raises:
        FitError: a mean is not finite.
    """
    totals: dict[str, Tensor] = {}
    count = 0
    for terms in steps:
        for name, value in terms.items():
            totals[name] = totals.get(name, 0) + value.detach()
        count += 1
    means = {name: value.item() / count for name, value in totals.items()}
    for name, mean in means.items():
        if not math.isfinite(mean):
            raise FitError(
                f"the loss must stay finite (term {name!r} is {mean} in {when}); {remedy}"
            )
    return means


class _Loop:
    """The state of one training run, and the steps ``fit`` is made of."""

    def __init__(
        self,
        model: Recommender,
        sampler: Sampler,
        *,
        config: TrainingConfig,
        seed: int,
        select_by: str,
    ) -> None:
        self.model, self.sampler, self.config, self.select_by = model, sampler, config, select_by
        self.begin, self.earlier_s = time.perf_counter(), 0.0
        self.device = sampler.device
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.progress = _Progress()
        self.stopping = EarlyStopping(config.patience)
        self.best: dict[str, Tensor] = {}
        self.optimizer: torch.optim.Optimizer | None = None
        self.restored: Checkpoint | None = None

    def enter_stage(self) -> Stage:
        """Choose what learns and make the optimiser; after a restore, fill it with its old state."""
        stage = self.model.stages[self.progress.stage]
        self.model.on_stage(stage)
        learning = choose_learning(self.model, stage)
        rate, decay = self.config.learning_rate, self.config.weight_decay
        self.optimizer = torch.optim.Adam(learning, lr=rate, weight_decay=decay, fused=True)
        if self.restored:
            unpack_optimizer(
                self.optimizer, self.restored.group("optimizer"), self.restored.state["optimizer"]
            )
            self.restored = None
        return stage

    def stage_is_over(self, stage: Stage) -> bool:
        """Return whether the stage has used its epochs or its patience."""
        limit = stage.max_epochs(self.config.max_epochs)
        return self.progress.epoch_in_stage >= limit or self.stopping.should_stop

    def last_epoch(self) -> int:
        """Return the last epoch there can be."""
        ahead = self.model.stages[self.progress.stage :]
        limits = [stage.max_epochs(self.config.max_epochs) for stage in ahead]
        return self.progress.epoch - self.progress.epoch_in_stage + sum(limits)

    def leave_stage(self) -> None:
        """Go back to the best weights and get ready for the next stage."""
        if self.best:
            self.model.load_state_dict(self.best)
        self.progress.stage += 1
        self.progress.epoch_in_stage = 0
        self.stopping = EarlyStopping(self.config.patience)

    def run_epoch(
        self, stage: Stage, validate: Callable[[Recommender], Mapping[str, float]] | None
    ) -> EpochReport:
        """Train one epoch, validate if it is due, and note the result."""
        progress, begin = self.progress, time.perf_counter()
        progress.epoch += 1
        progress.epoch_in_stage += 1
        losses = self._train_epoch(stage)
        epoch_s, begin = time.perf_counter() - begin, time.perf_counter()
        valid, is_best, eval_s = None, False, None
        last = progress.epoch_in_stage >= stage.max_epochs(self.config.max_epochs)
        if validate and (last or progress.epoch_in_stage % self.config.eval_every == 0):
            valid = _validated(self.model, validate)
            is_best = self.stopping.update(valid[self.select_by], progress.epoch)
            if is_best:
                self._remember(valid)
            eval_s = time.perf_counter() - begin
        elif not validate and last:
            self._remember(None)
        report = EpochReport(
            progress.epoch, self.last_epoch(), stage.name, losses, valid, is_best, epoch_s, eval_s
        )
        progress.history.append(report.record())
        return report

    def _train_epoch(self, stage: Stage) -> dict[str, float]:
        assert self.optimizer is not None
        self._schedule(stage)
        self.model.train()
        self.model.on_epoch(self.progress.epoch)
        batches = self.sampler.epoch(self.config.batch_size, self.generator)
        return mean_terms(
            (self.step(stage, batch) for batch in batches),
            when=f"epoch {self.progress.epoch}",
            remedy="lower training.learning_rate or check the features",
        )

    def step(self, stage: Stage, batch: Batch) -> dict[str, Tensor]:
        """Take one step on one batch; return the named terms."""
        assert self.optimizer is not None
        self.optimizer.zero_grad(set_to_none=True)
        terms, loss = compute_losses(self.model, stage, batch, precision=self.config.precision)
        loss.backward()
        self.optimizer.step()
        self.model.after_step()
        return terms

    def _schedule(self, stage: Stage) -> None:
        assert self.optimizer is not None
        decay = 1.0
        if self.config.schedule == "exponential":
            done = self.progress.epoch_in_stage - 1
            decay = self.config.decay_rate ** (done / self.config.decay_every)
        for group in self.optimizer.param_groups:
            group["lr"] = stage.rate * self.config.learning_rate * decay

    def _remember(self, valid: dict[str, float] | None) -> None:
        self.best = {
            name: value.detach().clone() for name, value in self.model.state_dict().items()
        }
        self.progress.best_valid, self.progress.best_epoch = valid, self.progress.epoch

    def save(self, checkpoints: CheckpointStore) -> None:
        """Write everything the next epoch depends on."""
        assert self.optimizer is not None
        optimizer, plain = pack_optimizer(self.optimizer)
        groups = {
            "model": self.model.state_dict(),
            "best": self.best,
            "optimizer": optimizer,
            "random": {"sampler": self.generator.get_state(), **random_states(self.device)},
        }
        tensors = {f"{group}/{k}": v for group, part in groups.items() for k, v in part.items()}
        self.progress.stopping = asdict(self.stopping)
        self.progress.seconds = self.earlier_s + time.perf_counter() - self.begin
        state = {"optimizer": plain, "progress": asdict(self.progress)}
        checkpoints.save(self.progress.epoch, tensors, state)

    def restore(self, checkpoint: Checkpoint | None) -> None:
        """Take everything back from a checkpoint, if there is one."""
        if checkpoint is None:
            return
        self.model.load_state_dict(checkpoint.group("model"))
        self.best = checkpoint.group("best")
        self.progress = _Progress(**checkpoint.state["progress"])
        self.earlier_s = self.progress.seconds
        self.stopping = EarlyStopping(**self.progress.stopping)
        random = checkpoint.group("random")
        self.generator.set_state(random["sampler"])
        set_random_states(random, self.device)
        self.restored = checkpoint
