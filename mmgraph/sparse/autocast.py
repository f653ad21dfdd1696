"""The precision that products are computed in, and keeping to it."""

import torch
from torch import Tensor


def product_dtype(x: Tensor) -> torch.dtype:
    """Return that of autocast where it is on for the device of the rows, else their own; float64 stays.

    Example:
        >>> with torch.autocast("cpu", dtype=torch.bfloat16):
        ...     product_dtype(torch.ones(1)), product_dtype(torch.ones(1, dtype=torch.float64))
        (torch.bfloat16, torch.float64)
    """
    kind = x.device.type
    if torch.is_autocast_enabled(kind) and x.dtype != torch.float64:
        return torch.get_autocast_dtype(kind)
    return x.dtype


def exactly(like: Tensor) -> torch.autocast:
    """Keep autocast from changing the precision that was chosen before a kernel is called.

    Example:
        >>> one = torch.ones(1, 1)
        >>> with torch.autocast("cpu", dtype=torch.bfloat16), exactly(one):
        ...     (one @ one).dtype
        torch.float32
    """
    return torch.autocast(like.device.type, enabled=False)
