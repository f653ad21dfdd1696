"""Weights of an item's modalities, and the loss that teaches them which modality ranks well."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

KLTarget = Literal["mean", "sum"]


class ScoredItems(NamedTuple):
    """One item of each triple, as :func:`calibration_loss` needs it.

    Its scores by each modality, unweighted, and what it is ranked by; the numbers that its weights are the softmax of,
    and which modalities have a weight, at least one in each row.

    Shapes:
        parts, logits (batch, num_modalities), score (batch,), present (batch, num_modalities) bool.
    """

    parts: Tensor
    score: Tensor
    logits: Tensor
    present: Tensor


class ItemWeights(nn.Module):
    r"""A weight for each modality of each item: the softmax of a row of free numbers.

    A modality that an item lacks has the weight 0, and the others sum to 1; an item without any keeps all.

    Source: MARGO, eq. (3); missing modalities are our reading.

    Args:
        present: Which modalities each item has.
        std: The numbers start as Normal(0, ``std``).
        scale: Factor of the weights where they are multiplied with something.

    Shapes:
        present (num_items, num_modalities) bool; returns (num_items, num_modalities), or a row for each of some items.

    Example:
        >>> weights = ItemWeights(torch.tensor([[True, True], [True, False]]), std=0.0)
        >>> weights().tolist()
        [[0.5, 0.5], [1.0, 0.0]]
    """

    def __init__(self, present: Tensor, *, std: float = 0.01, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.present: Tensor
        known = present | ~present.any(dim=1, keepdim=True)
        self.register_buffer("present", known, persistent=False)
        self.item_logits = nn.Parameter(std * torch.randn(present.shape))

    def rows(self, items: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the numbers of some items, or of all, and which of them count."""
        if items is None:
            return self.item_logits, self.present
        return self.item_logits.index_select(0, items), self.present.index_select(0, items)

    def forward(self, items: Tensor | None = None) -> Tensor:
        """Return the weights of some items, or of all; rows sum to 1."""
        return masked_softmax(*self.rows(items))

    def scores(self, parts: Tensor, items: Tensor) -> Tensor:
        """Return the sum of some items' scores by each modality, times their scaled weights.

        Shapes:
            parts (n, num_modalities), items (n,) int64; returns (n,).
        """
        weights: Tensor = self.scale * self(items)
        return (weights * parts).sum(dim=1)

    def weigh(self, vectors: Tensor, widths: Iterable[int], items: Tensor | None = None) -> Tensor:
        """Return the vectors of items with the columns of each modality, so many, times its scaled weight.

        Shapes:
            vectors (n, sum of widths); returns the same shape.
        """
        weights = (self.scale * self(items)).split(1, dim=1)
        parts = vectors.split([*widths], dim=1)
        return torch.cat([w * part for w, part in zip(weights, parts, strict=True)], dim=1)


def modality_scores(user: Tensor, item: Tensor, widths: Iterable[int]) -> Tensor:
    """Return the inner products of users with items by each modality, whose columns stand side by side.

    Shapes:
        user, item (n, sum of widths); returns (n, num_modalities).

    Example:
        >>> modality_scores(torch.tensor([[1.0, 2.0, 3.0]]), torch.ones(1, 3), [1, 2]).tolist()
        [[1.0, 5.0]]
    """
    columns = (user * item).split([*widths], dim=1)
    return torch.stack([part.sum(dim=1) for part in columns], dim=1)


def masked_softmax(logits: Tensor, present: Tensor) -> Tensor:
    """Return the softmax over the columns that are present, 0 in the others.

    Shapes:
        logits, present (n, num_modalities), at least one present in each row; returns the shape of both.

    Example:
        >>> masked_softmax(torch.zeros(2, 2), torch.tensor([[True, True], [False, True]])).tolist()
        [[0.5, 0.5], [0.0, 1.0]]
    """
    return logits.masked_fill(~present, float("-inf")).softmax(dim=1)


def reliability(difference: Tensor, shared: Tensor) -> Tensor:
    r"""Return :math:`z`, how far each modality alone ranks the positive item above the negative one.

    It is the softmax of the differences that are not negative; 0 for the others; and uniform where all are negative.
    Only the modalities that both items have are compared.

    Source: MARGO, eq. (6). The paper replaces negative differences by :math:`-e^6`, whose exponential is 0 in float32
    beside any other; with nothing beside it the softmax is uniform. A mask says the same.

    Args:
        difference: Score of the positive item less that of the negative one, by each modality.
        shared: Which modalities both items have; at least one in each row.

    Shapes:
        difference, shared (batch, num_modalities); returns the same shape, rows sum to 1.

    Example:
        >>> apart = torch.tensor([[1.0, 1.0, -9.0], [-1.0, -2.0, -3.0]])
        >>> reliability(apart, torch.tensor([[True, True, True], [True, True, False]])).tolist()
        [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0]]
    """
    better = shared & (difference >= 0)
    some = better.any(dim=1, keepdim=True)
    return masked_softmax(difference.where(some, 0.0), better.where(some, shared))


def confidence(positive: Tensor, negative: Tensor, *, tau: float) -> Tensor:
    r"""Return :math:`\gamma = \tanh((s^+ - s^-)/\tau)`, 0 where the negative item is ahead.

    Source: MARGO, eq. (7).

    Shapes:
        positive, negative (batch,); returns (batch,).

    Example:
        >>> confidence(torch.tensor([50.0, 1.0]), torch.tensor([0.0, 2.0]), tau=5.0).tolist()
        [1.0, 0.0]
    """
    return ((positive - negative).clamp(min=0) / tau).tanh()


def calibration_loss(
    positive: ScoredItems,
    negative: ScoredItems,
    *,
    tau: float,
    detach: bool = True,
    kl_target: KLTarget = "mean",
) -> Tensor:
    r"""Return the mean of :math:`\gamma\, \mathrm{KL}(z \,\Vert\, (w_i + w_k)/2)` over triples.

    It pulls the weights of both items towards the modalities that rank the triple well, the more the surer the ranking
    is. By default no gradient flows through :math:`z` and :math:`\gamma`: scores are not bent towards the weights.

    Source: MARGO, eqs. (5)-(8). The text has :math:`w_i + w_k`, which sums to 2: ``kl_target="sum"``. That is smaller
    by :math:`\gamma \log 2` and, with ``detach``, has the same gradient; the mean is never negative. The sum over
    triples is a mean here. The paper knows no missing modality: here two items are compared on the modalities that both
    have, by weights made over those, and not at all if they share none.

    Args:
        positive: The positive item of each triple.
        negative: The negative item of each triple.
        tau: Difference of the scores at which the confidence is :math:`\tanh 1`.
        detach: Stop gradients through :math:`z` and :math:`\gamma`.
        kl_target: What :math:`z` is compared with.

    Shapes:
        returns ().

    Complexity:
        O(batch * num_modalities).

    Example:
        >>> yes = torch.ones(1, 2, dtype=torch.bool)
        >>> good = ScoredItems(torch.tensor([[90.0, 0.0]]), torch.tensor([90.0]), torch.zeros(1, 2), yes)
        >>> bad = ScoredItems(torch.tensor([[0.0, 9.0]]), torch.tensor([9.0]), torch.zeros(1, 2), yes)
        >>> round(calibration_loss(good, bad, tau=5.0).item(), 6)  # log 2: one modality is right, weights are equal
        0.693147
    """
    shared = positive.present & negative.present
    comparable = shared.any(dim=1)
    # Rows that share nothing need some numbers; they count with confidence 0.
    shared = shared | ~comparable[:, None]
    z = reliability(positive.parts - negative.parts, shared)
    gamma = confidence(positive.score, negative.score, tau=tau) * comparable
    if detach:
        z, gamma = z.detach(), gamma.detach()
    both = masked_softmax(positive.logits, shared) + masked_softmax(negative.logits, shared)
    return (gamma * _divergence(z, both if kl_target == "sum" else both / 2)).mean()


def _divergence(z: Tensor, weight: Tensor) -> Tensor:
    # Where z is 0 the term is 0, and so must be its gradient: no logarithm of 0 may be near.
    least = torch.finfo(weight.dtype).tiny
    own = torch.xlogy(z, z.clamp(min=least))
    return (own - torch.xlogy(z, weight.clamp(min=least))).sum(dim=1)
