"""Where the seconds of the library's own loop go, without a change to the loop."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from benchmarks.laps import Laps
from mmgraph.models.base import Recommender
from mmgraph.models.batch import Batch
from mmgraph.training import PairwiseSampler

PHASES = ("sampler", "forward", "backward", "optimiser", "rest")


class StepClock:
    """Notes when batches come, losses begin and end, and the optimiser begins and ends.

    Args:
        device: Is waited for at each of these moments.

    Attributes:
        start: Seconds before the first batch: making the optimiser, drawing the epoch's edges.
        steps: Seconds of the phases of each step; from the second on, ``sampler`` is only handing out.
        rest: Seconds after the last step.
        terms: Loss terms of the first step that was ever watched.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.start = self.rest = 0.0
        self.steps: list[Laps] = []
        self.terms: dict[str, float] = {}
        self._laps = Laps(device)

    @contextmanager
    def watching(self, model: Recommender) -> Iterator[None]:
        """Note what happens in the block to a model that is trained in it."""
        self.steps, self._laps = [], Laps(self.device)
        begin = self._laps
        plain = model.losses
        hooks = [
            register_optimizer_step_pre_hook(lambda *_: self._note("backward")),
            register_optimizer_step_post_hook(lambda *_: self._note("optimiser")),
        ]
        # On the instance, over the method of its class, for as long as the block.
        object.__setattr__(model, "losses", self._timed(plain))
        try:
            yield
        finally:
            object.__delattr__(model, "losses")
            for hook in hooks:
                hook.remove()
        self._note("end")
        self.start = begin.seconds.get("rest", 0.0)
        self.rest = self._laps.seconds.pop("end")

    def before_batch(self) -> None:
        """Be told that the loop asks for a batch."""
        self._note("rest")

    def after_batch(self, last: bool) -> None:
        """Be told that it got one, or that there is none left."""
        if not last:
            laps = Laps(self.device)
            laps.last = self._laps.last
            self._laps = laps
            self.steps.append(laps)
        self._note("sampler")

    def _note(self, phase: str) -> None:
        self._laps.lap(phase)

    def _timed(self, losses: Callable[[Batch], dict[str, Tensor]]) -> Any:
        def timed(batch: Batch) -> dict[str, Tensor]:
            self._note("rest")
            terms = losses(batch)
            self._note("forward")
            if not self.terms:
                self.terms = {name: float(value.detach()) for name, value in terms.items()}
            return terms

        return timed


class WatchedSampler(PairwiseSampler):
    """The sampler of the library, which tells a clock when it is asked, and may stop early.

    Attributes:
        clock: Is told of every batch.
        limit: Batches of an epoch that are handed out; all of them if None.
    """

    clock: StepClock | None = None
    limit: int | None = None

    def epoch(self, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Yield the batches of one epoch."""
        batches = self.batches(batch_size, generator)
        given = 0
        while True:
            if self.clock is not None:
                self.clock.before_batch()
            batch = next(batches, None) if given != self.limit else None
            if self.clock is not None:
                self.clock.after_batch(batch is None)
            if batch is None:
                return
            given += 1
            yield batch

    def batches(self, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Yield what is handed out: the batches of the library's sampler."""
        return super().epoch(batch_size, generator)


class GivenBatches(WatchedSampler):
    """Hands out the same batches in every epoch, so that two ways can be given the same."""

    given: tuple[Batch, ...] = ()

    def batches(self, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Yield the batches that were given."""
        return iter(self.given)
