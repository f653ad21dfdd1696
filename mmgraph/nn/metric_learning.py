"""What metric learning asks of vectors whose distance is the score: order, spread and a bounded length."""

import torch
from torch import Tensor

from mmgraph.sparse.autocast import exactly


def clip_rows(x: Tensor, max_norm: float) -> Tensor:
    """Return ``x`` with rows longer than ``max_norm`` shortened to it; the others stay as they are.

    Shapes:
        x (..., dim); returns the same.

    Example:
        >>> clip_rows(torch.tensor([[3.0, 4.0], [0.3, 0.4]]), 1.0).norm(dim=1).tolist()
        [1.0, 0.5]
    """
    length: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x * (max_norm / length.clamp(min=max_norm))


def rank_weighted_hinge(
    positive: Tensor, negative: Tensor, *, margin: float, num_items: int
) -> Tensor:
    r"""Return a hinge on distances that weighs more where the positive item seems to rank low.

    .. math::
        \frac1B \sum_{u,i} \ln(1 + \mathrm{rank}_{ui})\,\big[m + d_{ui} - \min_k d_{uk}\big]_+, \quad
        \mathrm{rank}_{ui} = \frac{I}{W}\,\big|\{k : m + d_{ui} > d_{uk}\}\big|

    over the W negatives k of each triple. The rank is a count, so no gradient passes through it.

    Source: Hsieh et al., 2017 (Collaborative Metric Learning), eqs. (1)-(3), after Weston et al., 2010 (WSABIE); the
    mean over the batch instead of the sum, so that the weights of other terms do not depend on its size.

    Args:
        positive: Distances of the positive items.
        negative: Distances of the negative ones.
        margin: By how much a negative item should be farther.
        num_items: Size of the catalogue.

    Shapes:
        positive (batch,), negative (batch, num_negatives); returns ().

    Example:
        >>> near, far = torch.tensor([0.5]), torch.tensor([[2.0, 0.75]])
        >>> round(rank_weighted_hinge(near, far, margin=1.0, num_items=2).item(), 6)  # ln 2 * 0.75
        0.51986
    """
    gap = margin + positive[:, None] - negative
    rank = num_items * (gap > 0).to(gap.dtype).mean(dim=1)
    return (torch.log1p(rank) * gap.amax(dim=1).relu()).mean()


def covariance_penalty(x: Tensor, *, signed: bool = False) -> Tensor:
    r"""Return how much the columns of a table vary together, :math:`\sum_{a \ne b} C_{ab}^2`.

    :math:`C` is the covariance of the columns over the rows. ``signed`` adds up the numbers themselves, which rewards
    columns that vary against each other.

    Source: Hsieh et al., 2017 (Collaborative Metric Learning), eq. (6), without the factor 1/N of a sum over a batch;
    signed as in the released code of Liu et al., 2019 (MAML).

    Shapes:
        x (num_rows, dim); returns ().

    Example:
        >>> x = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
        >>> covariance_penalty(x).item(), covariance_penalty(x, signed=True).item()
        (2.0, -2.0)
    """
    centred = x - x.mean(dim=0)
    with exactly(x):
        covariance = centred.t() @ centred / len(x)
    apart = covariance - covariance.diag().diag()
    return apart.sum() if signed else apart.square().sum()
