"""When to stop: a validation value that no longer improves. There is no way to show it a test value."""

import math
from dataclasses import dataclass


@dataclass
class EarlyStopping:
    """Remember the best validation value and count the evaluations since.

    Values are compared unrounded and an equal value is no improvement.

    Attributes:
        patience: Stop after this many evaluations in a row without improvement.
        best: Best value so far.
        best_epoch: Its epoch, 0 before the first evaluation.
        stale: Evaluations since.

    Example:
        >>> stop = EarlyStopping(patience=2)
        >>> [stop.update(value, epoch) for epoch, value in enumerate([0.1, 0.3, 0.2, 0.3], start=1)]
        [True, True, False, False]
        >>> stop.best_epoch, stop.should_stop
        (2, True)
    """

    patience: int
    best: float = -math.inf
    best_epoch: int = 0
    stale: int = 0

    def update(self, value: float, epoch: int) -> bool:
        """Take the value of an epoch; return whether it is the best so far."""
        improved = value > self.best
        if improved:
            self.best, self.best_epoch, self.stale = value, epoch, 0
        else:
            self.stale += 1
        return improved

    @property
    def should_stop(self) -> bool:
        """Whether patience has run out."""
        return self.stale >= self.patience
