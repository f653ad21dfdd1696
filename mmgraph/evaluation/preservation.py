"""How much of the items' raw features is left in their final vectors."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mmgraph.errors import ConfigError, DataError

_ROWS_AT_ONCE = 1024


def similarity_change(
    final: Tensor,
    features: Tensor,
    *,
    present: Tensor | None = None,
    block_size: int = 512,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Return, for each item, how far its similarities to the other items have moved away from those of the features.

    The mean over all other items of ``|cos(f_j, f_l) - cos(x_j, x_l)|``, with ``f`` the final vectors and ``x`` the
    features of one modality. 0 means that all similarities are kept, and 2 is the largest value there is. Items without
    the modality (no row, or a row of zeros) take no part, on neither side of a pair; a final vector of zeros is similar
    to nothing, its cosines are 0.

    Source: MARIO (the modality-preservation measurement, five steps); the paper does not say what becomes of items
    without features.

    Args:
        final: Final vectors of the items.
        features: Their raw vectors in one modality, of any other width.
        present: Which items have the modality; by default those whose row is not zero.
        block_size: Rows of similarities held at once. The result changes by the rounding of float32 at most.
        progress: Called after each block with the number of pairs done and their total.

    Returns:
        The means in float64, NaN for items without the modality; products are float32, sums float64.

    Shapes:
        final (num_items, dim); features (num_items, width); present (num_items,) bool; returns (num_items,).

    Raises:
        DataError: the shapes do not match, a value is not finite, or fewer than two items have the modality.
        ConfigError: ``block_size`` is less than one.

    Complexity:
        num_items^2 (dim + width) / 2 multiplications: each pair once. Beside copies of the two inputs the memory is 16
        bytes for each of block_size * num_items similarities; there is no table of all pairs.

    Example:
        >>> features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
        >>> similarity_change(2 * features, features).tolist()
        [0.0, 0.0, 0.0, nan]
        >>> similarity_change(torch.tensor([[1.0], [1.0], [-1.0], [1.0]]), features)[0].item()
        1.35355...
    """
    _check(final, features, present, block_size)
    has = features.any(dim=1) if present is None else present & features.any(dim=1)
    items = has.nonzero().squeeze(1)
    count = len(items)
    if count < 2:
        raise DataError(
            f"at least two items need the modality (got {count} of {len(has)}); leave the modality out"
        )
    final, features = _unit_rows(final, items), _unit_rows(features, items)
    total = torch.zeros(count, dtype=torch.float64, device=final.device)
    for start in range(0, count, block_size):
        stop = min(start + block_size, count)
        difference = final[start:stop] @ final[start:].T
        difference.sub_(features[start:stop] @ features[start:].T).abs_()
        difference[:, : stop - start].fill_diagonal_(0)
        total[start:stop] += difference.sum(dim=1, dtype=torch.float64)
        # Every pair stands in one block only: what is on its right counts for the items there too.
        total[stop:] += difference[:, stop - start :].sum(dim=0, dtype=torch.float64)
        if progress is not None:
            progress(count**2 - (count - stop) ** 2, count**2)
    # Rounded cosines can be a little beyond 1.
    mean = (total / (count - 1)).clamp_(max=2.0)
    return mean.new_full((len(has),), math.nan).index_copy_(0, items, mean)


def high_degree_items(degree: Tensor, *, quantile: float = 0.8) -> Tensor:
    """Return which items are among those with the most training interactions.

    The best ``1 - quantile`` of all items, rounded to the nearest count and never none; ties by the smaller index.

    Args:
        degree: Training interactions of each item.
        quantile: Share of the items that are not among them, at least 0 and less than 1.

    Shapes:
        degree (num_items,) int64; returns (num_items,) bool.

    Raises:
        ConfigError: the share is out of range.

    Example:
        >>> high_degree_items(torch.tensor([3, 9, 9, 1, 2]), quantile=0.8).tolist()
        [False, True, False, False, False]
    """
    if not 0 <= quantile < 1:
        raise ConfigError(
            f"the share of items below high degree must be at least 0 and less than 1 (got {quantile:g}); "
            "write for example 0.8 for the top 20 %"
        )
    count = max(1, round((1 - quantile) * len(degree)))
    best = torch.argsort(degree, descending=True, stable=True)[:count]
    return torch.zeros(len(degree), dtype=torch.bool, device=degree.device).index_fill_(
        0, best, True
    )


def _check(final: Tensor, features: Tensor, present: Tensor | None, block_size: int) -> None:
    if block_size < 1:
        raise ConfigError(f"block_size must be at least 1 (got {block_size}); 512 is usual")
    shapes = tuple(final.shape), tuple(features.shape)
    if final.ndim != 2 or features.ndim != 2 or len(final) != len(features):
        raise DataError(
            f"final vectors and features must have a row for each item (got shapes {shapes[0]} and "
            f"{shapes[1]}); give those of one data set"
        )
    if present is not None and (present.dtype != torch.bool or present.shape != features.shape[:1]):
        raise DataError(
            f"present must be a bool for each of {len(features)} items (got {present.dtype} of shape "
            f"{tuple(present.shape)}); give the mask of the features"
        )
    for name, x in (("final vectors", final), ("features", features)):
        broken = (~x.isfinite().all(dim=1)).nonzero().squeeze(1)
        if len(broken):
            raise DataError(
                f"{name} must be finite (got NaN or infinity in {len(broken)} rows, the first is "
                f"{int(broken[0])}); train again or correct the file"
            )


def _unit_rows(x: Tensor, rows: Tensor) -> Tensor:
    """Return some rows with length one in float32; zero rows stay zero."""
    unit = torch.empty((len(rows), x.size(1)), dtype=torch.float32, device=x.device)
    for part, target in zip(rows.split(_ROWS_AT_ONCE), unit.split(_ROWS_AT_ONCE), strict=True):
        # In float64 no length of a float32 row overflows or vanishes.
        exact = x.detach().index_select(0, part).double()
        length = torch.linalg.vector_norm(exact, dim=1, keepdim=True)
        target.copy_(exact / length.masked_fill(length == 0, 1.0))
    return unit
