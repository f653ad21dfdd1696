"""Ways to bring modalities together: as vectors, and as the weights of the edges of two graphs."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgraph.sparse import segment_softmax

Attention = Literal["edge", "global", "neighbour", "none"]


def normalize_rows(x: Tensor) -> Tensor:
    """Return ``x`` with every row divided by its Euclidean length; zero rows stay zero.

    Example:
        >>> normalize_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist()
        [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    return F.normalize(x, dim=-1, eps=1e-12)


def presence_mean(vectors: Sequence[Tensor], present: Sequence[Tensor]) -> Tensor:
    """Return, per item, the mean over the modalities it has; zero where it has none.

    Shapes:
        vectors: (num_items, dim) each; present: (num_items,) bool each; returns (num_items, dim).

    Example:
        >>> yes, no = torch.tensor([True]), torch.tensor([False])
        >>> presence_mean([torch.tensor([[2.0]]), torch.tensor([[9.0]])], [yes, no]).tolist()
        [[2.0]]
    """
    kept = [keep_present(x, mask) for x, mask in zip(vectors, present, strict=True)]
    count = torch.stack(list(present)).sum(dim=0).clamp(min=1)
    return torch.stack(kept).sum(dim=0) / count[:, None]


def keep_present(x: Tensor, present: Tensor) -> Tensor:
    """Return ``x`` with zero rows where nothing is present, whatever stood there, NaN included.

    Example:
        >>> keep_present(torch.tensor([[float("nan")], [2.0]]), torch.tensor([False, True])).tolist()
        [[0.0], [2.0]]
    """
    return torch.where(present[:, None], x, torch.zeros_like(x))


class EdgeFusion(nn.Module):
    r"""Fuse two weighted graphs over the same edges by soft attention.

    With the pair :math:`e_{ij} = [E^m_{ij} ; E^c_{ij}]` of an edge's weights (0 where a graph lacks the edge):

    - ``edge``: :math:`\beta_{ij} = \mathrm{softmax}(W_a e_{ij} + b_a)`, :math:`E^u_{ij} = \beta_{ij} \cdot e_{ij}`;
    - ``global``: one :math:`\beta = \mathrm{softmax}(\theta)` for all edges;
    - ``neighbour``: :math:`E^u_{ij}` is the softmax of :math:`w\cdot e_{ij}` over the neighbours j of item i;
    - ``none``: the plain sum.

    All parameters start at zero, so training starts from the plain average, of the graphs or of the neighbours.

    Source: MM-GEF, eq. (5); the paper leaves the form of the attention open, the edge gate is the only weighted sum of
    both graphs under which all rows of its ablation table can differ.

    Shapes:
        first, second (num_edges,); rowptr (num_items + 1,), where the edges of each item begin and end; returns
        (num_edges,).

    Example:
        >>> EdgeFusion("edge")(torch.tensor([1.0]), torch.tensor([0.0])).item()
        0.5
    """

    def __init__(self, attention: Attention = "edge") -> None:
        super().__init__()
        self.attention = attention
        if attention == "edge":
            self.weight = nn.Parameter(torch.zeros(2, 2))
            self.bias = nn.Parameter(torch.zeros(2))
        elif attention == "global":
            self.bias = nn.Parameter(torch.zeros(2))
        elif attention == "neighbour":
            self.weight = nn.Parameter(torch.zeros(2))

    def forward(self, first: Tensor, second: Tensor, rowptr: Tensor | None = None) -> Tensor:
        """Return the fused weight of every edge; ``neighbour`` needs to know whose edges they are.

        Raises:
            TypeError: it is not told.
        """
        if self.attention == "none":
            return first + second
        if self.attention == "neighbour":
            if rowptr is None:
                raise TypeError(
                    "attention 'neighbour' needs rowptr (got None); pass where each item's edges begin"
                )
            return segment_softmax(self.weight[0] * first + self.weight[1] * second, rowptr)
        # A softmax over two logits is a sigmoid of their difference: one pass over the edges instead of three.
        difference = self.bias[0] - self.bias[1]
        if self.attention == "edge":
            slope = self.weight[0] - self.weight[1]
            difference = slope[0] * first + slope[1] * second + difference
        return second + torch.sigmoid(difference) * (first - second)
