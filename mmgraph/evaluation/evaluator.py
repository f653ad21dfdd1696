"""Full-ranking evaluation: lists for every user with held-out items, and their metrics."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from mmgraph.allocator import keep_freed_memory
from mmgraph.errors import ConfigError, DataError
from mmgraph.evaluation.metrics import check_metric_name, compute_metrics, parse_metric
from mmgraph.evaluation.ranking import IndexArray, ScoreFunction, UserItems, rank_items
from mmgraph.files import new_file

logger = logging.getLogger(__name__)

Pairs = tuple[IndexArray, IndexArray]
"""Interactions as two parallel arrays: user indices and item indices."""


class EvaluationConfig(BaseModel):
    """What is measured, and how.

    Attributes:
        ks: List lengths, each at least 1, no repeats.
        metrics: Names in ``mmgraph.evaluation.METRICS``.
        mask_valid_at_test: Leave validation items out of the lists at test time too. Off by
            default: published tables keep them as candidates.
        candidates: ``cold`` leaves all items with training interactions out of the lists, for
            cold-start splits; ``all`` lets the cold items compete with them.
        block_size: Users scored at once; memory grows with it.
        select_by: Validation metric that stops training and picks the best epoch; one of those
            computed.

    Example:
        >>> EvaluationConfig(ks=(10, 20), metrics=("recall",)).names
        ('recall@10', 'recall@20')
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ks: tuple[int, ...] = (5, 10, 20, 50)
    metrics: tuple[str, ...] = ("recall", "ndcg", "precision", "map", "mrr", "hit")
    mask_valid_at_test: bool = False
    candidates: Literal["all", "cold"] = "all"
    block_size: int = Field(default=1024, ge=1)
    select_by: str = "recall@20"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all values computed, in the order of every result."""
        return tuple(f"{name}@{k}" for name in self.metrics for k in self.ks)

    @model_validator(mode="after")
    def _check(self) -> "EvaluationConfig":
        if not self.ks or min(self.ks) < 1 or len(set(self.ks)) < len(self.ks):
            raise ConfigError(
                f"ks must be distinct positive list lengths (got {list(self.ks)}); "
                "write for example [10, 20]"
            )
        if not self.metrics or len(set(self.metrics)) < len(self.metrics):
            raise ConfigError(
                f"metrics must be distinct names (got {list(self.metrics)}); "
                "write for example ['recall', 'ndcg']"
            )
        for name in self.metrics:
            check_metric_name(name)
        parse_metric(self.select_by)
        if self.select_by not in self.names:
            raise ConfigError(
                f"select_by must be one of the metrics computed (got {self.select_by!r} "
                f"with {', '.join(self.names)}); add its name to metrics and its length to ks"
            )
        return self


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """Metrics of one evaluation; all tensors are on the CPU.

    Attributes:
        mean: Mean over users of each metric, in the order of ``EvaluationConfig.names``.
        users: Users evaluated, int64 ``(n,)``, ascending.
        per_user: The metrics of each user, float64 ``(n,)``, in the same order as ``mean``.
        top_items: Their lists, int64 ``(n, max(ks))``, best first, -1 past the last candidate.
    """

    mean: dict[str, float]
    users: Tensor
    per_user: dict[str, Tensor]
    top_items: Tensor


class Evaluator:
    """Measures score functions against one set of held-out interactions.

    Built once and used after every epoch: the index of what is held out and what is left out is
    prepared here. Users without a held-out item are not evaluated. ``for_validation`` and
    ``for_test`` say which interactions are left out.

    Args:
        held_out: Interactions to be found.
        seen: Interactions whose items are left out of the user's list; None leaves nothing out.
        warm: Items with training interactions, which ``candidates="cold"`` leaves out of all lists.
        num_users: Number of users.
        num_items: Number of items.
        config: What to measure; defaults to ``EvaluationConfig()``.
        device: Where users are handed to the score function and lists are made.

    Attributes:
        users: Users evaluated, int64 ``(n,)``, ascending.
        num_masked: Held-out interactions that are also in ``seen``, or whose item is left out of
            all lists; these items cannot be listed and count as missed.

    Raises:
        ConfigError: A list length exceeds the number of items, or cold candidates are asked for and
            there are none.
        DataError: Nothing is held out, or an index is out of range.

    Example:
        >>> evaluator = Evaluator(
        ...     ([0, 1], [2, 0]), ([0, 1], [1, 1]), num_users=2, num_items=3,
        ...     config=EvaluationConfig(ks=(1, 2), metrics=("recall",), select_by="recall@1"),
        ... )
        >>> table = torch.tensor([[0.1, 0.9, 0.5], [0.2, 0.9, 0.7]])
        >>> evaluator.evaluate(lambda users: table[users]).mean
        {'recall@1': 0.5, 'recall@2': 1.0}
    """

    def __init__(
        self,
        held_out: Pairs,
        seen: Pairs | None,
        *,
        num_users: int,
        num_items: int,
        warm: IndexArray | None = None,
        config: EvaluationConfig | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """Prepare the index of held-out and seen items."""
        self.config = config if config is not None else EvaluationConfig()
        self.num_items = num_items
        if max(self.config.ks) > num_items:
            raise ConfigError(
                f"evaluation.ks must not exceed num_items (got {max(self.config.ks)} with "
                f"{num_items} items); lower evaluation.ks"
            )
        self._held_out = UserItems.from_pairs(
            *held_out,
            num_users=num_users,
            num_items=num_items,
            name="held-out interactions",
            device=device,
        )
        if not len(self._held_out.keys):
            raise DataError(
                "held-out interactions must not be empty (got 0); "
                "choose a split with validation and test rows"
            )
        self._left_out = self._check_candidates(warm)
        counts = self._held_out.counts
        self.users = counts.nonzero().squeeze(1)
        self._num_relevant = counts[self.users]
        self._seen: UserItems | None = None
        row, item = self._held_out.rows(self.users)
        masked = torch.zeros_like(item, dtype=torch.bool)
        if self._left_out is not None:
            masked |= torch.isin(item.cpu(), self._left_out).to(item.device)
        if seen is not None:
            self._seen = UserItems.from_pairs(
                *seen,
                num_users=num_users,
                num_items=num_items,
                name="seen interactions",
                device=device,
            )
            masked |= self._seen.contains(self.users[row], item)
        self.num_masked = int(masked.sum())
        if self.num_masked:
            logger.warning(
                "%d of %d held-out interactions are also among the seen ones or no candidates; "
                "they cannot be listed and count as missed",
                self.num_masked,
                len(self._held_out.keys),
            )

    @classmethod
    def for_validation(
        cls,
        train: Pairs,
        valid: Pairs,
        *,
        num_users: int,
        num_items: int,
        config: EvaluationConfig | None = None,
        device: torch.device | str = "cpu",
    ) -> "Evaluator":
        """Look for the validation items, leaving out the training items.

        Args:
            train: Training interactions.
            valid: Validation interactions.
            num_users: Number of users.
            num_items: Number of items.
            config: What to measure.
            device: Where lists are made.

        Returns:
            The evaluator to use while training.
        """
        return cls(
            valid,
            train,
            num_users=num_users,
            num_items=num_items,
            warm=train[1],
            config=config,
            device=device,
        )

    @classmethod
    def for_test(
        cls,
        train: Pairs,
        valid: Pairs,
        test: Pairs,
        *,
        num_users: int,
        num_items: int,
        config: EvaluationConfig | None = None,
        device: torch.device | str = "cpu",
    ) -> "Evaluator":
        """Look for the test items, leaving out the training items.

        With ``mask_valid_at_test`` in the config the validation items are left out as well.

        Args:
            train: Training interactions.
            valid: Validation interactions; candidates like any other item unless the config masks
                them.
            test: Test interactions.
            num_users: Number of users.
            num_items: Number of items.
            config: What to measure.
            device: Where lists are made.

        Returns:
            The evaluator to use once, at the end.
        """
        config = config if config is not None else EvaluationConfig()
        seen = train
        if config.mask_valid_at_test:
            seen = (_join(train[0], valid[0]), _join(train[1], valid[1]))
        return cls(
            test,
            seen,
            num_users=num_users,
            num_items=num_items,
            warm=train[1],
            config=config,
            device=device,
        )

    def evaluate(
        self, score: ScoreFunction, progress: Callable[[int, int], None] | None = None
    ) -> EvaluationResult:
        """Rank all items for every user and compute the metrics.

        Args:
            score: Function from user indices ``(b,)`` to scores ``(b, num_items)``, higher is
                better.
            progress: Called after each block with the number of users done and their total.

        Returns:
            Means, values of each user, and the lists.

        Raises:
            FitError: A score is NaN; the message names the user.
            ConfigError: The scores have the wrong shape.

        Complexity:
            One pass over all users; memory is a few blocks of ``block_size * num_items`` scores.
        """
        with keep_freed_memory():
            top_items = rank_items(
                score,
                self.users,
                k=max(self.config.ks),
                num_items=self.num_items,
                seen=self._seen,
                left_out=self._left_out,
                block_size=self.config.block_size,
                progress=progress,
            )
        hits = self._held_out.contains(self.users.unsqueeze(1), top_items).cpu()
        per_user = compute_metrics(
            hits, self._num_relevant.cpu(), metrics=self.config.metrics, ks=self.config.ks
        )
        return EvaluationResult(
            mean={name: float(values.mean()) for name, values in per_user.items()},
            users=self.users.cpu(),
            per_user=per_user,
            top_items=top_items.cpu(),
        )

    def _check_candidates(self, warm: IndexArray | None) -> Tensor | None:
        """Return the items that are left out of all lists, or None if there are none."""
        if self.config.candidates == "all":
            return None
        left_out: Tensor = torch.unique(_vector([] if warm is None else warm).cpu())
        if not 0 < len(left_out) < self.num_items:
            raise ConfigError(
                "evaluation.candidates 'cold' needs items with and items without training "
                f"interactions ({len(left_out)} of {self.num_items} have some); set "
                "data.split.method to 'cold_start', or candidates to 'all'"
            )
        return left_out


def write_per_user(
    result: EvaluationResult, path: str | Path, *, external_user_ids: Sequence[str]
) -> None:
    """Write the metrics of each user as a table, so that other programs can test for significance.

    Args:
        result: What ``Evaluator.evaluate`` returned.
        path: A ``.parquet`` or ``.csv`` file; replaced only when the new one is complete.
        external_user_ids: The outer id of each user index.

    Raises:
        ConfigError: The file name ends otherwise.
        DataError: Too few ids for the users evaluated.
    """
    import polars as pl

    path = Path(path)
    if path.suffix not in {".parquet", ".csv"}:
        raise ConfigError(
            f"{path}: a per-user table must end in .parquet or .csv (got {path.suffix!r}); "
            "rename the file"
        )
    if len(result.users) and int(result.users[-1]) >= len(external_user_ids):
        raise DataError(
            f"external_user_ids must have an id for every user (got {len(external_user_ids)} ids "
            f"for user {int(result.users[-1])}); pass the vocabulary of the data set"
        )
    names = [str(external_user_ids[user]) for user in result.users.tolist()]
    columns = {name: values.numpy() for name, values in result.per_user.items()}
    table = pl.DataFrame({"user": pl.Series(names, dtype=pl.String), **columns})
    with new_file(path) as partial:
        if path.suffix == ".parquet":
            table.write_parquet(partial)
        else:
            table.write_csv(partial)


def _join(first: IndexArray, second: IndexArray) -> Tensor:
    return torch.cat([_vector(first), _vector(second)])


def _vector(indices: IndexArray) -> Tensor:
    if isinstance(indices, Tensor):
        return indices
    array = np.array(indices)
    # An empty list has no integer type of its own.
    return torch.from_numpy(array if array.size else array.astype(np.int64))
