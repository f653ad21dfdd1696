"""Batches: the rows they are scored with, and their items and users each once."""

import pytest
import torch

from mmgraph.models.batch import Batch, distinct_items, renumbered, rows_of
from mmgraph.models.mgcn import MGCN, MGCNConfig


@pytest.mark.parametrize("num_negatives", [1, 3])
def test_a_renumbered_batch_names_the_same_users_and_items(num_negatives, board):
    model = MGCN(board("text"), MGCNConfig(embedding_dim=4))
    shape = (5,) if num_negatives == 1 else (5, num_negatives)
    draws = torch.Generator().manual_seed(1)
    batch = Batch(
        torch.tensor([3, 1, 3, 3, 0]),
        torch.tensor([4, 4, 9, 2, 2]),
        torch.randint(12, shape, generator=draws),
    )
    users, items, places = renumbered(batch)
    assert users.tolist() == [0, 1, 3]
    alone, of_items = distinct_items(batch)
    assert torch.equal(alone, items)
    assert torch.equal(of_items.user, batch.user)
    assert torch.equal(of_items.negative, places.negative)
    assert items.tolist() == sorted({4, 9, 2, *batch.negative.flatten().tolist()})
    assert torch.equal(users[places.user], batch.user)
    assert torch.equal(items[places.positive], batch.positive)
    assert torch.equal(items[places.negative], batch.negative)
    expected = rows_of(model.encode(), batch)
    for found, wanted in zip(model.batch_rows(batch), expected, strict=True):
        torch.testing.assert_close(found, wanted)
