"""What the rivals that train on dense features share: tables that learn, and their steps with a stopwatch."""

import operator
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce

import torch
from torch import Tensor

from benchmarks.laps import Laps
from benchmarks.rivals.coo_lightgcn import Triples


class DenseTraining:
    """Base of these rivals: steps of Adam over everything that learns.

    Args:
        learning: What learns; its device is that of the work.
        weights: Weight of each term of the loss that has another one than 1.
        learning_rate: Of Adam.
    """

    def __init__(
        self, learning: Sequence[Tensor], *, weights: Mapping[str, float], learning_rate: float
    ) -> None:
        self.optimizer = torch.optim.Adam(learning, lr=learning_rate)
        self.weights, self.device = dict(weights), str(learning[0].device)

    def loss(self, triples: Triples) -> dict[str, Tensor]:
        """Return the unweighted terms of the loss on a batch."""
        raise TypeError(f"{type(self).__name__} must define loss()")

    def train(
        self, batches: Iterable[Triples]
    ) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
        """Take one step on each batch; return the seconds of the phases and the terms of every step."""
        seconds, terms = [], []
        for triples in batches:
            laps = Laps(self.device)
            found = self.loss(triples)
            laps.lap("forward")
            loss = reduce(operator.add, [self._weighed(*term) for term in found.items()])
            self.optimizer.zero_grad()
            loss.backward()
            laps.lap("backward")
            self.optimizer.step()
            laps.lap("optimiser")
            terms.append({name: value.item() for name, value in found.items()})
            laps.lap("rest")
            seconds.append(laps.seconds)
        return seconds, terms

    def _weighed(self, name: str, value: Tensor) -> Tensor:
        return self.weights[name] * value if name in self.weights else value


def learns(initial: Tensor) -> Tensor:
    """Return a copy that learns."""
    return initial.detach().clone().requires_grad_()
