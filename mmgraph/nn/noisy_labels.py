"""Point-wise likelihoods of interactions that were not observed for all who would like the item."""

import math
from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgraph.nn.encoders import ModalityEncoder, ModalityEncoders
from mmgraph.nn.fusion import presence_mean

NoisyLabelCriterion = Literal["bpo", "exact", "surrogate", "nbpo"]

_RELEASED_EPS = 1e-10  # what keeps a clipped likelihood of 0 from having no logarithm
_START = 5.0  # of the factors: at first the flip rate is about 0.002 for 50 of them


def noisy_label_loss(
    positive: tuple[Tensor, Tensor],
    unvoted: tuple[Tensor, Tensor],
    *,
    criterion: NoisyLabelCriterion = "nbpo",
    clip: float | None = None,
) -> Tensor:
    r"""Return the negative likelihood of observed and unvoted pairs, the sum of the means over each.

    With :math:`p = \sigma(R)` the chance that the user likes the item, and :math:`\gamma = \sigma(G)` that of an item
    that is liked to stay unvoted, an observed pair has the likelihood :math:`(1-\gamma)p`, an unvoted one
    :math:`\gamma p + 1 - p`. What is maximised is

    - ``exact``: the logarithms of both;
    - ``surrogate``: both themselves;
    - ``nbpo``: the same with each factor's gradient replaced by that of its logarithm, so that it does not vanish where
      the factor is sure: :math:`[1-\gamma]\ln p + [p]\ln(1-\gamma)` and
      :math:`[\gamma]\ln p + [p]\ln\gamma + \ln(1-p)`, with no gradient through :math:`[\cdot]`;
    - ``bpo``: no noise, :math:`\ln p` and :math:`\ln(1-p)`; flip logits are not read.

    Source: Yu and Qin, 2020 (NBPO): its likelihood, surrogate likelihood and surrogate gradient.

    Args:
        positive: Scores R and flip logits G of observed pairs.
        unvoted: The same of pairs that were not observed.
        criterion: See above.
        clip: Logits beyond which a chance counts as exactly 0 or 1, as in the released code; None for none.

    Shapes:
        any, the same for a score and its flip logit; returns ().

    Example:
        >>> even = torch.zeros(1)
        >>> noisy_label_loss((even, even), (even, even), criterion="surrogate").item()  # -(1/4 + 3/4)
        -1.0
    """
    gain = _observed(*positive, criterion, clip).mean() + _unvoted(*unvoted, criterion, clip).mean()
    return -gain


def _observed(
    score: Tensor, flip: Tensor, criterion: NoisyLabelCriterion, clip: float | None
) -> Tensor:
    if criterion == "bpo":
        return _log_chance(score, clip)
    if criterion == "exact":
        return _log_chance(-flip, clip) + _log_chance(score, clip)
    kept, liked = _chance(-flip, clip), _chance(score, clip)
    if criterion == "surrogate":
        return kept * liked
    return kept.detach() * _log_chance(score, clip) + liked.detach() * _log_chance(-flip, clip)


def _unvoted(
    score: Tensor, flip: Tensor, criterion: NoisyLabelCriterion, clip: float | None
) -> Tensor:
    if criterion == "bpo":
        return _log_chance(-score, clip)
    if criterion == "exact" and clip is None:
        return torch.logaddexp(F.logsigmoid(-score), F.logsigmoid(flip) + F.logsigmoid(score))
    missed, liked = _chance(flip, clip), _chance(score, clip)
    if criterion == "exact":
        return torch.log(missed * liked + _chance(-score, clip) + _RELEASED_EPS)
    if criterion == "surrogate":
        return missed * liked + _chance(-score, clip)
    like = missed.detach() * _log_chance(score, clip) + liked.detach() * _log_chance(flip, clip)
    return like + _log_chance(-score, clip)


def _chance(logit: Tensor, clip: float | None) -> Tensor:
    chance = torch.sigmoid(logit)
    if clip is None:
        return chance
    return chance.where(logit.abs() <= clip, (logit > 0).to(chance.dtype))


def _log_chance(logit: Tensor, clip: float | None) -> Tensor:
    """Return its logarithm; beyond the clip with the slope 1 - chance of a chance that is 0 or 1."""
    chance = F.logsigmoid(logit)
    return chance if clip is None else chance.where(logit.abs() <= clip, logit.clamp(max=0))


class FlipFactors(nn.Module):
    r"""Hold the factors whose product is a pair's flip logit :math:`G_{ui} = \langle P_u, Q_i\rangle`.

    :math:`Q_i` is a row of its own or, with features, :math:`b + \frac{1}{|M_i|}\sum_m W_m x_i^m` over the modalities
    of the item, so that an item nobody interacted with has an estimate too; one without any modality has :math:`b`.
    :math:`P` starts positive and :math:`Q` negative, which makes flips rare: with equal signs the model would begin
    with the belief that everything unvoted is liked.

    Source: Yu and Qin, 2020 (NBPO), and its code for the start; from features is an extension.

    Args:
        num_users: Number of users.
        num_items: Number of items.
        dim: Width of the factors.
        features: Feature matrix and presence mask of each modality; None for rows of their own.

    Shapes:
        users and items (num_rows,) int64; returns (num_rows, dim) for each.

    Example:
        >>> user, item = FlipFactors(2, 3, 50)(torch.tensor([1, 0]), torch.tensor([2, 2]))
        >>> user.shape, bool(((user * item).sum(dim=1) < 0).all())
        (torch.Size([2, 50]), True)
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        dim: int,
        *,
        features: Mapping[str, tuple[Tensor, Tensor]] | None = None,
    ) -> None:
        super().__init__()
        scale = _START / math.sqrt(dim)
        self.flip_user = nn.Parameter(scale * torch.rand(num_users, dim))
        self.encoders: ModalityEncoders | None = None
        if features is None:
            self.flip_item = nn.Parameter(-scale * torch.rand(num_items, dim))
        else:
            self.encoders = ModalityEncoders(
                features, lambda width: ModalityEncoder(width, dim, bias=False), unit=True
            )
            self.bias = nn.Parameter(-scale * torch.rand(dim))

    def of_items(self, items: Tensor | None = None) -> Tensor:
        """Return the factors of some items, or of all."""
        if self.encoders is None:
            return self.flip_item if items is None else self.flip_item.index_select(0, items)
        encoded, present = self.encoders(items), self.encoders.has(items)
        return presence_mean([*encoded.values()], [*present.values()]) + self.bias

    def forward(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return the factors of some users and of some items."""
        return self.flip_user.index_select(0, users), self.of_items(items)
