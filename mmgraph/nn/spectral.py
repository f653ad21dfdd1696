"""Features as frequencies along their columns."""

import torch
from scipy.fft import dct
from torch import Tensor


def cosine_transform(x: Tensor, *, keep: float = 1.0) -> Tensor:
    r"""Return the orthonormal discrete cosine transform (type II) of every row, or its low frequencies only.

    .. math:: c_k = s_k \sum_{j=0}^{d-1} x_j \cos\frac{\pi (2j + 1) k}{2d}, \quad
        s_0 = \sqrt{1/d},\ s_{k>0} = \sqrt{2/d}

    Whole, it is a rotation: inner products stay, and a linear layer after it can learn nothing that one before it could
    not. A part of the frequencies is a projection. There is no gradient.

    Source: LIRDRec's code, along the columns of each modality. Across items, too, as a two-dimensional transform would
    have it, the result would depend on the order in which items are stored.

    Args:
        x: Features.
        keep: Share of the columns that are kept, rounded, at least one.

    Shapes:
        x (num_items, dim); returns (num_items, kept).

    Complexity: O(num_items * dim * log(dim)), on the CPU.

    Example:
        >>> cosine_transform(torch.tensor([[1.0, 1.0]])).tolist()
        [[1.4142135381698608, 0.0]]
    """
    kept = max(1, round(keep * x.size(1)))
    frequencies = dct(x.detach().cpu().numpy(), type=2, norm="ortho", axis=1)[:, :kept]
    return torch.from_numpy(frequencies.copy()).to(x)
