"""Losses of directions: how far paired vectors are apart, and how evenly vectors lie on the sphere."""

import torch
from torch import Tensor

from mmgraph.nn.fusion import normalize_rows
from mmgraph.sparse.autocast import exactly


def cosine_loss(online: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    r"""Return :math:`1 - \mathrm{mean} \cos(x, \mathrm{sg}(y))` over rows; no gradient reaches the target.

    With a mask the mean is over the rows it keeps, and the loss is 0 if it keeps none.

    Source: Zhou et al., 2023 (BM3), :math:`C(\cdot,\cdot)`; without the stopped gradient everything would collapse to
    one vector.

    Shapes:
        online, target (batch, dim); mask (batch,) bool; returns (), between 0 and 2.

    Example:
        >>> cosine_loss(torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 5.0]])).item()
        1.0
    """
    distance = 1 - (normalize_rows(online) * normalize_rows(target.detach())).sum(dim=1)
    if mask is None:
        return distance.mean()
    return distance.where(mask, 0.0).sum() / mask.sum().clamp(min=1)


def alignment_loss(user: Tensor, item: Tensor) -> Tensor:
    r"""Return the mean of :math:`\lVert x - y \rVert^2` over pairs; of unit rows it is 2 less twice the mean cosine.

    Source: Wang and Isola, 2020, alignment with exponent 2; used by CM3.

    Shapes:
        user, item (batch, dim); returns ().

    Example:
        >>> alignment_loss(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])).item()
        2.0
    """
    return (user - item).square().sum(dim=1).mean()


def uniformity_loss(
    x: Tensor, similarity: Tensor | None = None, *, times: Tensor | None = None, t: float = 2.0
) -> Tensor:
    r"""Return :math:`\ln` of the mean over pairs of rows of :math:`e^{-t\lVert x_k - x_l\rVert^2}`.

    Calibrated by a similarity, the exponent is :math:`-t(\lVert x_k - x_l\rVert^2 - 2 + 2 s_{kl})`: on the unit sphere
    :math:`2t(\cos(x_k, x_l) - s_{kl})`, so that two rows repel each other only as far as they are closer than their
    similarity. Equal rows are a pair like any other. Fewer than two rows make no pair, and the loss is 0.

    Source: Wang and Isola, 2020, uniformity; calibrated after CM3.

    Args:
        x: Rows, of unit length where the above is to hold.
        similarity: Of each pair; may carry a gradient.
        times: How often each row is there, by default once. A batch names its users and items many times over; each
            row once with its number is the same loss for the square of the share of the work.
        t: Sharpness.

    Shapes:
        x (n, dim); similarity (n, n), symmetric, its diagonal of the copies of one row; times (n,); returns ().

    Complexity: O(n^2 * dim) time, O(n^2) memory.

    Example:
        >>> uniformity_loss(torch.tensor([[1.0, 0.0], [0.0, 1.0]])).item()
        -4.0
    """
    # A mean of exponentials is decided by its nearest pairs, which low precision cannot tell apart.
    with exactly(x):
        rows = x.to(torch.promote_types(x.dtype, torch.float32))
        count = rows.new_ones(len(rows)) if times is None else times.to(rows)
        total = count.sum()
        if total < 2:
            return rows.new_zeros(())
        side = (count.log() - t * rows.square().sum(dim=1)).unsqueeze(1)
        if similarity is not None:
            side = side + t
        one = torch.ones_like(side)
        # Both rows' terms are columns of one product, to which the similarities are added in the same pass.
        left, right = (
            torch.cat([2 * t * rows, side, one], dim=1),
            torch.cat([rows, one, side], dim=1),
        )
        if similarity is None:
            pairs = left @ right.T
        else:
            pairs = torch.addmm(similarity.to(rows), left, right.T, beta=-2 * t)
        # A row that is there c times makes c (c - 1) pairs with its copies, not c c.
        pairs.diagonal().add_(((count - 1) / count).log())
        return pairs.flatten().logsumexp(dim=0) - (total * (total - 1)).log()
