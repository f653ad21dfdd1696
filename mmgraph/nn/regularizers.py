"""The three L2 penalties of the field, by name: a weight means nothing without its convention."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Penalty = Literal["half_sq", "norm", "mean_sq"]


def l2_penalty(blocks: Sequence[Tensor], *, kind: Penalty) -> Tensor:
    r"""Return the penalty on the rows a batch uses, each block one row per sample.

    With B samples: ``half_sq`` is :math:`\frac{1}{2B}\sum_q \lVert E_q\rVert_F^2` (LightGCN's authors, NGCF, LATTICE),
    ``norm`` is :math:`\frac{1}{B}\sum_q \lVert E_q\rVert_F`, not squared (MMRec), ``mean_sq`` is
    :math:`\sum_q \mathrm{mean}(E_q^2)` (MMGCN, DRAGON).

    Shapes:
        blocks: (batch, dim) each; returns ().

    Example:
        >>> rows = torch.ones(4, 2)
        >>> [round(l2_penalty([rows] * 3, kind=kind).item(), 4) for kind in ("half_sq", "norm", "mean_sq")]
        [3.0, 2.1213, 3.0]
    """
    batch = blocks[0].size(0)
    if kind == "mean_sq":
        return torch.stack([block.square().mean() for block in blocks]).sum()
    if kind == "norm":
        return torch.stack([block.norm() for block in blocks]).sum() / batch
    return torch.stack([block.square().sum() for block in blocks]).sum() / (2 * batch)
