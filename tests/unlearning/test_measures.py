"""What is asked about the forget set, against answers by hand."""

import numpy as np
import pytest
import torch

from mmgraph.evaluation import EvaluationConfig, UserItems
from mmgraph.unlearning.forget_pairs import Pairs
from mmgraph.unlearning.measures import (
    ForgetMeasures,
    list_overlap,
    membership_auc,
    score_divergence,
)


def test_the_auc_counts_pairs() -> None:
    rng = np.random.default_rng(0)
    members, others = rng.integers(0, 6, 30), rng.integers(0, 5, 20)
    expected = np.mean((members[:, None] > others) + 0.5 * (members[:, None] == others))
    found = membership_auc(torch.tensor(members), torch.tensor(others))
    assert found == pytest.approx(expected, abs=1e-12)
    assert membership_auc(torch.tensor([2.0, 3.0]), torch.tensor([0.0, 1.0])) == 1
    assert membership_auc(torch.tensor([0.0]), torch.tensor([1.0])) == 0


def test_overlap_leaves_empty_places_out() -> None:
    lists = torch.tensor([[1, 2, -1], [3, 4, 5]])
    assert list_overlap(lists, lists) == 1
    assert list_overlap(lists, torch.tensor([[7, 8, -1], [5, 9, 3]])) == pytest.approx(
        (0 + 2 / 3) / 2
    )


def test_the_divergence_is_that_of_the_softmax() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(5, 4)), rng.normal(size=(5, 4))
    p, q = (np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) for x in (first, second))
    tables = [torch.tensor(x) for x in (first, second)]
    found = score_divergence(
        lambda u: tables[0][u], lambda u: tables[1][u], torch.arange(5), block_size=2
    )
    assert found == pytest.approx(float((p * np.log(p / q)).sum() / 5), abs=1e-12)


def test_recall_masks_what_is_retained_and_exposure_counts_places() -> None:
    table = torch.tensor([[5.0, 4.0, 3.0, 2.0], [1.0, 2.0, 3.0, 4.0]])
    retained = UserItems.from_pairs([0, 1], [0, 0], num_users=2, num_items=4)
    user, item = torch.tensor([0, 1]), torch.tensor([1, 1])
    measures = ForgetMeasures(
        forgotten=Pairs(user, item, torch.tensor([3, 3])),
        matched=Pairs(user, torch.tensor([2, 2]), torch.tensor([3, 3])),
        retained=retained,
        items=torch.tensor([1]),
        readers=torch.arange(2),
        config=EvaluationConfig(ks=(2,), metrics=("recall",), select_by="recall@2"),
    )
    # Lists: user 0 has 1, 2; user 1 has 3, 2. Margins: forgotten 2, -2; matched 1, -1.
    assert measures.of(lambda users: table[users]) == {
        "forget_recall@2": 0.5,
        "membership_auc": 0.5,
        "exposure@2": 0.25,
    }
