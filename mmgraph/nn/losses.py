"""Training criteria; each returns one scalar."""

import torch.nn.functional as F
from torch import Tensor


def bpr_loss(positive: Tensor, negative: Tensor) -> Tensor:
    r"""Return the mean of :math:`-\ln \sigma(s^+ - s^-)`, in its stable form.

    Source: Rendle et al., 2009 (BPR), criterion BPR-OPT; written as ``softplus(s^- - s^+)``, which neither saturates
    nor loses its gradient for large differences.

    Shapes:
        positive (batch,) and negative (batch,) scores; returns ().

    Example:
        >>> import torch
        >>> round(bpr_loss(torch.zeros(1), torch.zeros(1)).item(), 6)
        0.693147
    """
    return F.softplus(negative - positive).mean()
