"""Metrics of ranked lists: one float64 value for each user.

All of them are functions of the same two things: which places of a list hold a relevant item, and
how many relevant items the user has. Means are left to the caller, so that significance tests see
the users.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from mmgraph.errors import ConfigError, nearest


class Metric(Protocol):
    """What every entry of ``METRICS`` looks like."""

    def __call__(self, hits: Tensor, num_relevant: Tensor, *, k: int) -> Tensor:
        """Return one value for each user."""


def recall(hits: Tensor, num_relevant: Tensor, *, k: int) -> Tensor:
    """Share of the user's relevant items that are among the first k.

    Args:
        hits: Whether each place of the list holds a relevant item, bool ``(n, places)`` with at
            least k places.
        num_relevant: Number of relevant items of each user, int64 ``(n,)``, all positive.
        k: Number of places looked at.

    Returns:
        Float64 values in [0, 1], ``(n,)``.

    Raises:
        ConfigError: Fewer than k places, k below 1, or a user without a relevant item.

    Example:
        >>> recall(torch.tensor([[True, False, True]]), torch.tensor([4]), k=2).tolist()
        [0.25]
    """
    first = _first_places(hits, num_relevant, k)
    return first.sum(dim=1) / num_relevant.double()


def precision(hits: Tensor, num_relevant: Tensor, *, k: int) -> Tensor:
    """Share of the first k places that hold a relevant item.

    The divisor is k, also for a user whose list has fewer than k candidates.

    Args:
        hits: Whether each place of the list holds a relevant item, bool ``(n, places)`` with at
            least k places.
        num_relevant: Number of relevant items of each user, int64 ``(n,)``, all positive.
        k: Number of places looked at.

    Returns:
        Float64 values in [0, 1], ``(n,)``.

    Raises:
        ConfigError: Fewer than k places, k below 1, or a user without a relevant item.

    Example:
        >>> precision(torch.tensor([[True, False, True]]), torch.tensor([4]), k=2).tolist()
        [0.5]
    """
    return _first_places(hits, num_relevant, k).sum(dim=1) / k


def ndcg(hits: Tensor, num_relevant: Tensor, *, k: int) -> Tensor:
    """Discounted gain of the first k places over the gain of the best list the user could get.

    A hit at rank r, counted from 1, gains ``1 / log2(r + 1)``. The best list has hits at its first
    ``min(num_relevant, k)`` ranks.

    Source: Järvelin and Kekäläinen, 2002, with binary gains.

    Args:
        hits: Whether each place of the list holds a relevant item, bool ``(n, places)`` with at
            least k places.
        num_relevant: Number of relevant items of each user, int64 ``(n,)``, all positive.
        k: Number of places looked at.

    Returns:
        Float64 values in [0, 1], ``(n,)``.

    Raises:
        ConfigError: Fewer than k places, k below 1, or a user without a relevant item.

    Example:
        >>> hits = torch.tensor([[True, False, True], [True, True, False]])
        >>> ndcg(hits, torch.tensor([2, 2]), k=3).numpy().round(4).tolist()
        [0.9197, 1.0]
    """
    first = _first_places(hits, num_relevant, k)
    gains = 1.0 / torch.arange(2, k + 2, dtype=torch.float64, device=hits.device).log2()
    ideal = gains.cumsum(0)[num_relevant.clamp(max=k) - 1]
    return (first * gains).sum(dim=1) / ideal


def average_precision(hits: Tensor, num_relevant: Tensor, *, k: int) -> Tensor:
    """Average precision of the first k places; its mean over users is MAP.

    The precision at each hit, summed and divided by ``min(num_relevant, k)``. The divisor is the
    number of hits the best list of length k has, so 1 can be reached, as in PyTorch Geometric's
    ``LinkPredMAP``. trec_eval's ``map_cut_k`` divides by ``num_relevant`` instead; for a user with
    more than k relevant items it is this value times ``k / num_relevant``.

    Args:
        hits: Whether each place of the list holds a relevant item, bool ``(n, places)`` with at
            least k places.
        num_relevant: Number of relevant items of each user, int64 ``(n,)``, all positive.
        k: Number of places looked at.

    Returns:
        Float64 values in [0, 1], ``(n,)``.

    Raises:
        ConfigError: Fewer than k places, k below 1, or a user without a relevant item.

    Example:
        >>> hits = torch.tensor([[True, False, False, True]])
        >>> average_precision(hits, torch.tensor([2]), k=4).tolist()
        [0.75]
    """
    first = _first_places(hits, num_relevant, k)
    precisions = first.cumsum(dim=1) * (1.0 / _ranks(k, hits.device))
    return (precisions * first).sum(dim=1) / num_relevant.clamp(max=k)


def reciprocal_rank(hits: Tensor, num_relevant: Tensor, *, k: int) -> Tensor:
    """One over the rank of the first hit, 0 without a hit among the first k; its mean is MRR.

    Args:
        hits: Whether each place of the list holds a relevant item, bool ``(n, places)`` with at
            least k places.
        num_relevant: Number of relevant items of each user, int64 ``(n,)``, all positive.
        k: Number of places looked at.

    Returns:
        Float64 values in [0, 1], ``(n,)``.

    Raises:
        ConfigError: Fewer than k places, k below 1, or a user without a relevant item.

    Example:
        >>> reciprocal_rank(torch.tensor([[False, True, True]]), torch.tensor([2]), k=3).tolist()
        [0.5]
    """
    first = _first_places(hits, num_relevant, k)
    return (first / _ranks(k, hits.device)).amax(dim=1)


def hit(hits: Tensor, num_relevant: Tensor, *, k: int) -> Tensor:
    """Whether any of the first k places holds a relevant item; its mean is the hit rate.

    Args:
        hits: Whether each place of the list holds a relevant item, bool ``(n, places)`` with at
            least k places.
        num_relevant: Number of relevant items of each user, int64 ``(n,)``, all positive.
        k: Number of places looked at.

    Returns:
        Float64 values, 0 or 1, ``(n,)``.

    Raises:
        ConfigError: Fewer than k places, k below 1, or a user without a relevant item.

    Example:
        >>> hit(torch.tensor([[False, True], [False, False]]), torch.tensor([1, 1]), k=2).tolist()
        [1.0, 0.0]
    """
    return _first_places(hits, num_relevant, k).amax(dim=1)


METRICS: dict[str, Metric] = {
    "recall": recall,
    "ndcg": ndcg,
    "precision": precision,
    "map": average_precision,
    "mrr": reciprocal_rank,
    "hit": hit,
}
"""The name of each metric in configs, result files and tables."""


def parse_metric(text: str) -> tuple[str, int]:
    """Split ``"recall@20"`` into the name and k.

    Args:
        text: A metric name, an at sign and a list length.

    Returns:
        Name and k.

    Raises:
        ConfigError: The name is unknown or k is not a positive integer.

    Example:
        >>> parse_metric("ndcg@10")
        ('ndcg', 10)
    """
    name, separator, length = text.partition("@")
    check_metric_name(name)
    # isdecimal alone would let other alphabets' digits through.
    if not separator or not (length.isascii() and length.isdecimal()) or int(length) < 1:
        raise ConfigError(
            f"metric must be NAME@K with K a positive integer (got {text!r}); "
            f"write for example '{name}@20'"
        )
    return name, int(length)


def check_metric_name(name: str) -> None:
    """Raise ConfigError, naming the nearest known metric, unless ``name`` is one of ``METRICS``."""
    if name not in METRICS:
        raise ConfigError(
            f"metric must be one of {', '.join(METRICS)} (got {name!r}){nearest(name, METRICS)}"
        )


def compute_metrics(
    hits: Tensor, num_relevant: Tensor, *, metrics: Sequence[str], ks: Sequence[int]
) -> dict[str, Tensor]:
    """Compute several metrics at several list lengths.

    Args:
        hits: Whether each place of the list holds a relevant item, bool ``(n, places)`` with at
            least ``max(ks)`` places.
        num_relevant: Number of relevant items of each user, int64 ``(n,)``, all positive.
        metrics: Names in ``METRICS``.
        ks: List lengths.

    Returns:
        ``"name@k"`` to float64 values ``(n,)``, metrics in the order given, each with all list
        lengths.

    Raises:
        ConfigError: A name is unknown, or as for each metric.

    Example:
        >>> hits = torch.tensor([[True, False]])
        >>> values = compute_metrics(hits, torch.tensor([1]), metrics=["precision"], ks=[1, 2])
        >>> {name: value.tolist() for name, value in values.items()}
        {'precision@1': [1.0], 'precision@2': [0.5]}
    """
    for name in metrics:
        check_metric_name(name)
    hits = hits.double()  # once, not once a metric
    return {f"{name}@{k}": METRICS[name](hits, num_relevant, k=k) for name in metrics for k in ks}


def _first_places(hits: Tensor, num_relevant: Tensor, k: int) -> Tensor:
    """Return the first k places as float64 zeros and ones, after checking the shapes."""
    if hits.dim() != 2 or num_relevant.shape != hits.shape[:1]:
        raise ConfigError(
            "hits must be users by places with one num_relevant for each user (got shapes "
            f"{tuple(hits.shape)} and {tuple(num_relevant.shape)}); pass both for the same users"
        )
    if not 1 <= k <= hits.size(1):
        raise ConfigError(
            f"k must be between 1 and the list length (got {k} with {hits.size(1)} places); "
            "lower k or rank more items"
        )
    if len(num_relevant) and int(num_relevant.min()) < 1:
        row = int(num_relevant.argmin())
        raise ConfigError(
            f"row {row}: num_relevant must be at least 1 (got {int(num_relevant[row])}); "
            "leave out users without held-out items"
        )
    return hits[:, :k].double()


def _ranks(k: int, device: torch.device) -> Tensor:
    return torch.arange(1, k + 1, dtype=torch.float64, device=device)
