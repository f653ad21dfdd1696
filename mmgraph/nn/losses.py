"""Training criteria; each returns one scalar."""

import math
from typing import Literal

import torch.nn.functional as F
from torch import Tensor


def bpr_loss(
    positive: Tensor,
    negative: Tensor,
    mask: Tensor | None = None,
    *,
    base: Literal["e", "2"] = "e",
) -> Tensor:
    r"""Return the mean of :math:`-\ln \sigma(s^+ - s^-)`, in its stable form.

    Each of several negatives makes a pair with its positive. With a mask the mean is over the pairs it keeps, and 0 if
    it keeps none. In base 2 it is 1.4427 times as large, as if the other terms had a smaller weight.

    Source: Rendle et al., 2009 (BPR), criterion BPR-OPT; written as ``softplus(s^- - s^+)``, which neither saturates
    nor loses its gradient for large differences.

    Shapes:
        positive (batch,) and negative (batch,) or (batch, num_negatives) scores; mask bool, as negative; returns ().

    Example:
        >>> import torch
        >>> round(bpr_loss(torch.zeros(1), torch.zeros(1)).item(), 6)
        0.693147
    """
    if negative.dim() > positive.dim():
        positive = positive[:, None]
    terms = F.softplus(negative - positive)
    if base == "2":
        terms = terms / math.log(2)
    if mask is None:
        return terms.mean()
    return terms.where(mask, 0.0).sum() / mask.sum().clamp(min=1)
