"""From ids and raw features to vectors of the model's width."""

from typing import Literal

import torch
from torch import Tensor, nn

Init = Literal["xavier_uniform", "xavier_normal", "normal0.1"]


def id_embedding(
    num_rows: int, embedding_dim: int, *, init: Init = "xavier_uniform"
) -> nn.Parameter:
    """Return a trainable table of one row per user or item.

    ``normal0.1`` draws from Normal(0, 0.1) as LightGCN's authors do; the Xavier kinds are those of the MMRec family.

    Shapes:
        returns (num_rows, embedding_dim).

    Example:
        >>> id_embedding(3, 2).shape
        torch.Size([3, 2])
    """
    table = torch.empty(num_rows, embedding_dim)
    if init == "normal0.1":
        nn.init.normal_(table, std=0.1)
    elif init == "xavier_normal":
        nn.init.xavier_normal_(table)
    else:
        nn.init.xavier_uniform_(table)
    return nn.Parameter(table)


class ModalityEncoder(nn.Module):
    """One affine layer from a modality's raw features to the model's width, Xavier-uniform with zero bias.

    Shapes:
        x (num_items, in_dim); returns (num_items, out_dim).

    Example:
        >>> ModalityEncoder(8, 2)(torch.zeros(3, 8)).tolist()
        [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_dim, out_dim)
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the projected features."""
        projected: Tensor = self.linear(x)
        return projected
