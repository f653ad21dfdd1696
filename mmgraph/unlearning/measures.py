"""How much a model remembers of what is to be forgotten, and how near its lists are to those of another."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mmgraph.evaluation import EvaluationConfig, Evaluator, ScoreFunction, UserItems, rank_items
from mmgraph.unlearning.forget_pairs import Pairs

Progress = Callable[[int, int], None]


def membership_auc(members: Tensor, others: Tensor) -> float:
    """Return the chance that a member's margin is above another pair's, ties counted half: the best attack by margin.

    Shapes:
        ``(n,)`` and ``(m,)``.

    Complexity: O((n + m) log m).

    Example:
        >>> membership_auc(torch.tensor([3.0, 1.0]), torch.tensor([0.0, 1.0]))
        0.875
    """
    ranked = others.sort().values
    below = torch.searchsorted(ranked, members)
    not_above = torch.searchsorted(ranked, members, right=True)
    return float((below + not_above).double().mean() / (2 * len(ranked)))


def list_overlap(first: Tensor, second: Tensor) -> float:
    """Return the mean share of a list's items that are in the other list of the same user; -1 is an empty place.

    Example:
        >>> list_overlap(torch.tensor([[1, 2], [3, 4]]), torch.tensor([[2, 1], [3, -1]]))
        0.75
    """
    same = (first[:, :, None] == second[:, None, :]) & (first[:, :, None] >= 0)
    length = (first >= 0).sum(dim=1).clamp(min=1)
    return float((same.any(dim=2).sum(dim=1) / length).double().mean())


def score_divergence(
    reference: ScoreFunction, other: ScoreFunction, users: Tensor, *, block_size: int = 1024
) -> float:
    r"""Return the mean over users of KL(p || q), p and q the softmax over all items of both models' scores.

    Example:
        >>> table = torch.tensor([[0.0, 1.0], [2.0, 0.5]])
        >>> score_divergence(lambda u: table[u], lambda u: table[u] + 3, torch.arange(2))
        0.0
    """
    total = 0.0
    for block in users.split(block_size):
        p, q = (score(block).double().log_softmax(dim=1) for score in (reference, other))
        total += float((p.exp() * (p - q)).sum())
    return max(0.0, total / len(users))


@dataclass(frozen=True)
class ForgetMeasures:
    """What one model is asked about the forget set; everything is in the indices of the whole data set.

    Attributes:
        forgotten: Pairs to be forgotten.
        matched: A pair never seen for each, see :class:`mmgraph.unlearning.draws.Draws`: of the same user with another
            item, or of the same forgotten item with another user.
        retained: Retained training interactions, left out of all lists.
        items: Items to be forgotten; none but for requests that name some.
        readers: Users whose lists are looked through for them.
        config: List length and block size.
    """

    forgotten: Pairs
    matched: Pairs
    retained: UserItems
    items: Tensor
    readers: Tensor
    config: EvaluationConfig

    @property
    def k(self) -> int:
        """Length of a list."""
        return max(self.config.ks)

    def of(self, score: ScoreFunction) -> dict[str, float]:
        """Return forget recall, membership AUC and, where items are forgotten, their share in lists."""
        size = self.config.block_size
        found = {
            f"forget_recall@{self.k}": self.recall(score, self.forgotten.user, self.forgotten.item),
            "membership_auc": membership_auc(
                *(pairs.margins(score, block_size=size) for pairs in (self.forgotten, self.matched))
            ),
        }
        if len(self.items):
            lists = self.lists(score, self.readers)
            share = torch.isin(lists, self.items.to(lists.device)).double().mean()
            found[f"exposure@{self.k}"] = float(share)
        return found

    def recall(self, score: ScoreFunction, user: Tensor, item: Tensor) -> float:
        """Return the recall of pairs among all items, without the retained ones of each user."""
        known = self.retained
        evaluator = Evaluator(
            (user, item),
            (known.keys // known.num_items, known.keys % known.num_items),
            num_users=known.num_users,
            num_items=known.num_items,
            config=self.config,
            device=user.device,
        )
        return evaluator.evaluate(score).mean[f"recall@{self.k}"]

    def lists(self, score: ScoreFunction, users: Tensor) -> Tensor:
        """Return the lists of some users."""
        return rank_items(
            score,
            users,
            k=self.k,
            num_items=self.retained.num_items,
            seen=self.retained,
            block_size=self.config.block_size,
        )
