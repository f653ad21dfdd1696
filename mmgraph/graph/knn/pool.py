"""Where a join keeps the pairs that can still be among the nearest."""

import torch
from torch import Tensor

_MOST_PARTS = 64
"""Tensors of candidates that a pool holds before it makes one of them."""


class CandidatePool:
    """Candidates of the rows of one block: place of the row in it, neighbour, key.

    Args:
        room: Candidates to hold before it is time to drop some.
        integer: Type of the keys.
        device: Where they are.
    """

    def __init__(self, room: int, integer: torch.dtype, device: torch.device) -> None:
        types = (torch.int16, torch.int32, integer)
        self._none = tuple(torch.empty(0, dtype=kind, device=device) for kind in types)
        self._parts: list[tuple[Tensor, ...]] = []
        self.held, self.room = 0, room

    @property
    def full(self) -> bool:
        """Whether it is time to drop what has become too little."""
        return self.held > self.room

    def add(self, owner: Tensor, item: Tensor, key: Tensor) -> None:
        """Put candidates in."""
        self._parts.append((owner, item, key))
        self.held += len(owner)
        if len(self._parts) > _MOST_PARTS:
            # Late in a search a block adds a few candidates, less than the tensors that hold them.
            self._parts = [self._joined()]

    def drop_below(self, threshold: Tensor) -> Tensor:
        """Drop what lies below the bounds of the rows; return how many are left of each."""
        owner, item, key = self.take()
        row = owner.long()
        stay = (key >= threshold[row]).nonzero().view(-1)
        self.add(owner[stay], item[stay], key[stay])
        return torch.bincount(row[stay], minlength=len(threshold))

    def take(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return everything and keep nothing."""
        owner, item, key = self._joined()
        self._parts, self.held = [], 0
        return owner, item, key

    def _joined(self) -> tuple[Tensor, ...]:
        parts = [self._none, *self._parts]
        return tuple(torch.cat(part) for part in zip(*parts, strict=True))
