"""Contrastive criteria in one function: what agrees with what, among which others."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmgraph.nn.fusion import normalize_rows
from mmgraph.sparse.autocast import exactly

Reduction = Literal["mean", "sum"]

_BLOCK_CPU = 2**20
"""Similarities held at a time: 4 MB in float32, which stay in the cache while they are exponentiated."""
_BLOCK_ELSEWHERE = 2**26


def info_nce(
    anchors: Tensor,
    candidates: Tensor,
    positive: Tensor | None = None,
    *,
    temperature: float,
    present: Tensor | None = None,
    unit: bool = True,
    intra: bool = False,
    times: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Return how hard it is to tell each anchor's positive among all candidates.

    .. math::
        \mathcal{L}_i = -\ln \frac{e^{s(a_i, c_{p(i)})/\tau}}
        {\sum_j e^{s(a_i, c_j)/\tau} + [\mathrm{intra}] \sum_{j \ne i} e^{s(a_i, a_j)/\tau}}

    with the cosine, or the inner product, as :math:`s`. The matrix of similarities is never held: blocks of its rows
    pass through the cache, and their part of the gradient is taken before they go. Computed in float32 at least, under
    ``torch.autocast`` too.

    Source: van den Oord et al., 2018 (InfoNCE); ``intra`` of Zhu et al., 2020 (GRACE) as in Zhang et al., 2022 (MICRO).

    Args:
        anchors: Vectors that look for their positive.
        candidates: Vectors among which it is.
        positive: Row of each anchor's positive among the candidates; by default its own.
        temperature: The number :math:`\tau`.
        present: Which candidates there are; others are no negatives, and an anchor whose positive is not there does not
            count.
        unit: Cosines; False takes inner products.
        intra: Whether the other anchors are negatives, too; then anchors and candidates come in pairs.
        times: How often each anchor looks, by default once.
        reduction: Over the anchors that count; the mean of none is 0.

    Shapes:
        anchors (n, dim), candidates (m, dim), positive (n,) int64, present (m,) bool, times (n,); returns ().

    Complexity: O(n * m * dim) time for value and gradient, O((n + m) * dim) memory and one block.

    Example:
        >>> x = torch.eye(3)
        >>> terms = [info_nce(x, x, temperature=0.5, intra=intra).item() for intra in (False, True)]
        >>> [round(term, 6) for term in terms]
        [0.239545, 0.432653]
    """
    exact = torch.promote_types(anchors.dtype, torch.float32)
    anchors, candidates = anchors.to(exact), candidates.to(exact)
    if unit:
        anchors, candidates = normalize_rows(anchors), normalize_rows(candidates)
    own, counted = candidates, present
    if positive is not None:
        own = candidates.index_select(0, positive)
        counted = None if present is None else present.index_select(0, positive)
    weight = anchors.new_ones(len(anchors)) if times is None else times.to(exact)
    if counted is not None:
        weight = weight * counted
    skip = None
    columns = candidates
    if intra:
        skip, columns = len(candidates), torch.cat([candidates, anchors])
        present = None if present is None else present.repeat(2)
    scaled = anchors / temperature
    agreement = weight * (scaled * own).sum(dim=1)
    total: Tensor = _SumOfLogSums.apply(scaled, columns, present, weight, skip)  # type: ignore[no-untyped-call]
    loss = total - agreement.sum()
    return loss if reduction == "sum" else loss / weight.sum().clamp(min=1)


def pairwise_info_nce(
    tables: Sequence[Tensor],
    rows: Tensor,
    *,
    present: Sequence[Tensor],
    temperature: float,
    reduction: Reduction = "mean",
) -> Tensor:
    """Return the sum of the contrasts of each two tables of the same nodes.

    Some rows of the earlier table look for theirs in the later one, among all nodes that both tables know.

    Source: Guo et al., 2024 (LGMRec), hypergraph contrastive learning, whose two modalities are one pair.

    Args:
        tables: Vectors of all nodes, several times.
        rows: The nodes that look, as often as they are named.
        present: Which nodes each table knows.
        temperature: See :func:`info_nce`.
        reduction: See :func:`info_nce`.

    Shapes:
        tables (m, dim) each, rows (n,) int64, present (m,) bool each; returns ().

    Example:
        >>> x, has = torch.eye(3), torch.ones(3, dtype=torch.bool)
        >>> round(pairwise_info_nce([x, x], torch.tensor([2]), present=[has, has], temperature=0.5).item(), 6)
        0.239545
    """
    # A batch names a node many times over; each looks once and counts as often.
    nodes, times = rows.unique(return_counts=True)
    terms = [
        info_nce(
            anchors.index_select(0, nodes),
            candidates,
            nodes,
            temperature=temperature,
            present=here & there,
            times=times,
            reduction=reduction,
        )
        for (anchors, here), (candidates, there) in combinations(
            zip(tables, present, strict=True), 2
        )
    ]
    return torch.stack(terms).sum()


class _SumOfLogSums(torch.autograd.Function):
    r"""The weighted sum over rows i of :math:`\ln\sum_j e^{x_i\cdot y_j}`; column ``skip + i`` is none of row i's."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        y: Tensor,
        present: Tensor | None,
        weight: Tensor,
        skip: int | None,
    ) -> Tensor:
        ctx.wanted = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        total, gradient_x, gradient_y = x.new_zeros(()), torch.zeros_like(x), torch.zeros_like(y)
        absent = None if present is None else ~present
        with exactly(x):
            for rows in _row_blocks(x, y):
                logits = x[rows] @ y.t()
                if absent is not None:
                    logits.masked_fill_(absent, float("-inf"))
                if skip is not None:
                    logits.diagonal(skip + rows.start).fill_(float("-inf"))
                log_sum = logits.logsumexp(dim=1)
                # A row without any column has no share to give; a difference of infinities would make it NaN.
                log_sum = log_sum.where(log_sum > float("-inf"), 0.0)
                total += weight[rows] @ log_sum
                if not ctx.wanted:
                    continue
                share = logits.sub_(log_sum[:, None]).exp_()
                # Weighed are the narrow factors, not the wide block.
                torch.mm(share, y, out=gradient_x[rows]).mul_(weight[rows, None])
                gradient_y.addmm_(share.t(), x[rows] * weight[rows, None])
        ctx.save_for_backward(gradient_x, gradient_y)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gradient_x, gradient_y = ctx.saved_tensors
        return gradients[0] * gradient_x, gradients[0] * gradient_y, None, None, None


def _row_blocks(x: Tensor, y: Tensor) -> list[slice]:
    block = _BLOCK_CPU if x.device.type == "cpu" else _BLOCK_ELSEWHERE
    step = max(1, block // max(1, y.size(0)))
    return [slice(start, start + step) for start in range(0, x.size(0), step)]
