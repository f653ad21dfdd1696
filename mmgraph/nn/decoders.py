"""From an item's vectors back to its features: what they must still be able to tell."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mmgraph.nn.encoders import ModalityEncoders, affine
from mmgraph.nn.projection import row_chunks
from mmgraph.sparse.autocast import exactly, product_dtype

Reduction = Literal["mean", "sum"]


class ModalityDecoder(nn.Module):
    """One affine layer from the model's width to a modality's features, Xavier-uniform with zero bias.

    Args:
        in_dim: Width of the vectors.
        out_dim: Width of the features.
        relu: Let no number below zero out, for features that have none.

    Shapes:
        hidden (num_rows, in_dim); returns (num_rows, out_dim).

    Example:
        >>> ModalityDecoder(2, 3)(torch.zeros(1, 2)).tolist()
        [[0.0, 0.0, 0.0]]
    """

    def __init__(self, in_dim: int, out_dim: int, *, relu: bool = False) -> None:
        super().__init__()
        self.linear = affine(in_dim, out_dim)
        self.relu = relu

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the features that the vectors tell of."""
        decoded: Tensor = self.linear(hidden)
        return decoded.relu() if self.relu else decoded

    def distance(self, hidden: Tensor, x: Tensor, rows: Tensor) -> Tensor:
        r"""Return :math:`\sum |\mathrm{decoded} - x_\mathrm{rows}|` without making either of the two.

        The gradient of an absolute value is a sign, so it is summed up on the way, block by block.

        Args:
            hidden: Vectors of the rows.
            x: Constant features.
            rows: Which of them.

        Shapes:
            hidden (num_rows, in_dim), x (num_items, out_dim), rows (num_rows,) int64; returns ().

        Complexity:
            O(num_rows * in_dim * out_dim) time; memory of the gradients and one block.
        """
        dtype = product_dtype(x)
        weight, bias = self.linear.weight.to(dtype), self.linear.bias.to(dtype)
        total: Tensor = _Distance.apply(hidden.to(dtype), x, rows, weight, bias, self.relu)  # type: ignore[no-untyped-call]
        return total


class ModalityDecoders(nn.Module):
    r"""Ask of the encoded modalities of some items that their features can be told from them.

    .. math:: \mathcal L_{MP} = \sum_m \frac{1}{|B_m| d_m} \sum_{j \in B_m} \lVert D_m(\bar v_j^m) - x_j^m\rVert_1

    over the items :math:`B_m` that have the modality. Nothing is held back from the encoder: it is what must preserve.

    Source: MARIO, modality preservation; the paper sums (``sum``), and then a weight that is right for one width of the
    features and one size of the batch is wrong for another.

    Args:
        encoders: The encoders, which hold the features.
        in_dim: Width of the encoded rows.
        relu: See :class:`ModalityDecoder`.
        reduction: ``mean`` or ``sum``, over the items and over the columns.

    Shapes:
        encoded (num_rows, in_dim) for each modality, items (num_rows,) int64, each at most once; returns ().

    Example:
        >>> from mmgraph.nn import ModalityEncoder
        >>> x, has = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([True, False])
        >>> encoders = ModalityEncoders({"text": (x, has)}, lambda width: ModalityEncoder(width, 2))
        >>> items = torch.tensor([0, 1])
        >>> ModalityDecoders(encoders, 2)({"text": torch.zeros(2, 2)}, items, encoders).item()
        1.5
    """

    def __init__(
        self,
        encoders: ModalityEncoders,
        in_dim: int,
        *,
        relu: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        self.reduction = reduction
        self.decoders = nn.ModuleList(
            ModalityDecoder(in_dim, x.size(1), relu=relu) for x in encoders.features
        )

    def forward(
        self, encoded: Mapping[str, Tensor], items: Tensor, encoders: ModalityEncoders
    ) -> Tensor:
        """Return the loss."""
        present = encoders.has(items)
        terms = []
        for name, x, decoder in zip(encoders.names, encoders.features, self.decoders, strict=True):
            rows = present[name].nonzero().squeeze(1)
            hidden = encoded[name].index_select(0, rows)
            assert isinstance(decoder, ModalityDecoder)
            term = decoder.distance(hidden, x, items.index_select(0, rows))
            if self.reduction == "mean":
                term = term / max(1, rows.numel() * x.size(1))
            terms.append(term)
        return torch.stack(terms).sum()


class _Distance(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        x: Tensor,
        rows: Tensor,
        weight: Tensor,
        bias: Tensor,
        relu: bool,
    ) -> Tensor:
        exact = torch.promote_types(weight.dtype, torch.float32)
        total = weight.new_zeros((), dtype=torch.float64)
        learns = any(ctx.needs_input_grad)
        grad_hidden = torch.zeros_like(hidden)
        grad_weight = torch.zeros_like(weight, dtype=exact)
        grad_bias = torch.zeros_like(bias, dtype=exact)
        with exactly(x):
            for part in row_chunks(x, rows):
                decoded = torch.addmm(bias, hidden[part], weight.t())
                if relu:
                    decoded = decoded.relu_()
                difference = decoded - x.index_select(0, rows[part]).to(weight.dtype)
                total += difference.abs().sum(dtype=torch.float64)
                if not learns:
                    continue
                sign = difference.sign_()
                if relu:
                    sign *= decoded > 0
                grad_hidden[part] = sign @ weight
                grad_weight += sign.t() @ hidden[part]
                grad_bias += sign.sum(dim=0, dtype=exact)
        ctx.save_for_backward(grad_hidden, grad_weight.to(weight.dtype), grad_bias.to(bias.dtype))
        return total.to(exact)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias = ctx.saved_tensors
        (g,) = gradients
        return g.to(hidden.dtype) * hidden, None, None, g * weight, g * bias, None
