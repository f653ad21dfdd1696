"""What a step of unlearning descends: the criterion, turned round on what is forgotten, as it is on the retained."""

from typing import Literal

import torch
from torch import Tensor

from mmgraph.models.base import Recommender, Stage
from mmgraph.models.batch import Batch, Rows
from mmgraph.training.loop import Precision, computing_in, weigh
from mmgraph.training.random_state import own_random

Reverse = Literal["swap", "negate"]

FORGET = "forget"
"""Name of the reversed term."""

_PENALTY = "reg"


def reverse_loss(
    model: Recommender, forget: Batch, reverse: Reverse = "swap", *, rows: Rows | None = None
) -> Tensor:
    r"""Return the reversed criterion of a model on forgotten pairs and unobserved items.

    With :math:`x = \hat y_{ui} - \hat y_{uk}` and BPR, ``swap`` puts the unobserved item before the forgotten one and
    ``negate`` turns the sign of the loss:

    .. math::
        \text{swap: } \log(1 + e^{x}), \qquad \text{negate: } -\log(1 + e^{-x})

    The former is never below zero, its slope :math:`\sigma(x)` is large while the pair is remembered and vanishes once
    it is not. The latter moves a pair that is remembered well the least and never stops with one that is forgotten. To
    turn both the sides and the sign would be to learn the pair again.

    The criterion is that of the scores of ``batch_rows``; of a model that makes each pair's score anew it is the first
    term of its losses.

    Source: Sinha et al. (MMRecUN) name reverse BPR without an equation; ``swap`` is our reading of it.

    Args:
        model: Whose criterion it is.
        forget: Users, forgotten items and an unobserved item for each.
        reverse: Which way.
        rows: What ``batch_rows`` returns for them, if that is known.

    Example:
        >>> from mmgraph.models.bpr_mf import BPRMF
        >>> from mmgraph.testing import checkerboard_graph
        >>> model = BPRMF(checkerboard_graph(), BPRMF.Config(embedding_dim=1))
        >>> rows = Rows(torch.tensor([[1.0]]), torch.tensor([[8.0]]), torch.tensor([[0.0]]))
        >>> pair = Batch(*(torch.tensor([n]) for n in (0, 2, 1)))
        >>> [round(reverse_loss(model, pair, way, rows=rows).item(), 4) for way in ("swap", "negate")]
        [8.0003, -0.0003]
    """
    if model.scorer == "pairwise":
        exchanged = forget._replace(positive=forget.negative, negative=forget.positive)
        terms = model.losses(exchanged if reverse == "swap" else forget)
        ranking = next(iter(terms.values()))
        return ranking if reverse == "swap" else -ranking
    remembered, unobserved = (rows or model.batch_rows(forget)).scores()
    if reverse == "swap":
        return model.criterion(unobserved, remembered)
    return -model.criterion(remembered, unobserved)


def unlearning_losses(
    model: Recommender,
    stage: Stage,
    retain: Batch,
    forget: Batch | None,
    *,
    mix: float,
    reverse: Reverse = "swap",
    precision: Precision = "float32",
    together: bool = False,
) -> tuple[dict[str, Tensor], Tensor]:
    r"""Return the named terms of a step, and the sum that is descended.

    .. math::
        \mathcal L = a\, \mathcal L_f + (1 - a)\, \mathcal L_r + \lambda\,\mathrm{Reg}

    :math:`\mathcal L_f` is the reversed criterion, :math:`\mathcal L_r` whatever else the model learns by from retained
    triples, with the weights of the stage, and Reg its penalty ``reg`` on them, whose weight stays.

    Source: Sinha et al. (MMRecUN), from the abstract; the convex mixture is our reading.

    Args:
        model: The model, in training.
        stage: The stage it was last trained in.
        retain: Triples of retained interactions.
        forget: Pairs to be forgotten with one unobserved item each, or None where there is nothing to forget now.
        mix: The weight :math:`a`; nothing is reversed with 0, and nothing without ``forget``.
        reverse: See :func:`reverse_loss`.
        precision: As in training.
        together: Encode once for both, where :func:`can_share_rows` allows it.
    """
    if forget is None or not mix:
        mix, forget = 0.0, None
    with computing_in(precision, retain.user.device):
        if forget is None:
            terms = model.losses(retain)
        elif together:
            terms = _from_one_encoding(model, retain, forget, reverse)
        else:
            terms = {**model.losses(retain), FORGET: reverse_loss(model, forget, reverse)}
    weights = {
        name: stage.loss_weights.get(name, 1.0) * (1 if name == _PENALTY else 1 - mix)
        for name in terms
    }
    return weigh(terms, {**weights, FORGET: mix})


def can_share_rows(model: Recommender, batch: Batch) -> bool:
    """Return whether two batches may be encoded as one: the losses are the base class's, of the rows and nothing else.

    Args:
        model: The model, in training.
        batch: Any triples.
    """
    if type(model).losses is not Recommender.losses or model.num_negatives != 1:
        return False
    with torch.no_grad(), own_random(batch.user.device):
        return type(model.batch_rows(batch)) is Rows


def _from_one_encoding(
    model: Recommender, retain: Batch, forget: Batch, reverse: Reverse
) -> dict[str, Tensor]:
    user, positive, negative = (
        torch.cat([a, b]) for a, b in zip(retain[:3], forget[:3], strict=True)
    )
    joint = Batch(user, positive, negative)
    sizes = [len(retain.user), len(forget.user)]
    kept, lost = (
        Rows(*part) for part in zip(*(x.split(sizes) for x in model.batch_rows(joint)), strict=True)
    )
    return {
        "bpr": model.criterion(*kept.scores()),
        **model.penalties(retain, kept),
        FORGET: reverse_loss(model, forget, reverse, rows=lost),
    }
