"""Indices as int64, for packages that take nothing else; converted once per matrix."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

_KNOWN: Any = WeakTensorKeyDictionary()


def as_int64(index: Tensor) -> Tensor:
    """Return the index as int64: itself, or a copy that is kept as long as the index is alive.

    Example:
        >>> index = torch.tensor([1, 2], dtype=torch.int32)
        >>> as_int64(index) is as_int64(index)
        True
    """
    if index.dtype == torch.int64:
        return index
    wide: Tensor | None = _KNOWN.get(index)
    if wide is None:
        wide = _KNOWN[index] = index.long()
    return wide
