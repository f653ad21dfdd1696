import math

import torch

from mmgraph.models.batch import Batch
from mmgraph.models.bpr_mf import BPRMF, BPRMFConfig
from mmgraph.testing import RecommenderContract, checkerboard_graph
from mmgraph.testing.contract import board_batch, losses


class TestBPRMF(RecommenderContract):
    model, options = BPRMF, {"embedding_dim": 8}


def make(**options):
    torch.manual_seed(0)
    return BPRMF(checkerboard_graph(), BPRMFConfig(embedding_dim=4, **options)).double()


def test_loss_at_zero_is_ln_2():
    model = make()
    torch.nn.init.zeros_(model.user_embedding)
    assert model.losses(board_batch())["bpr"].item() == math.log(2)


def test_a_step_touches_only_the_rows_of_the_batch():
    model = make(reg_weight=0.0)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batch = Batch(torch.tensor([1]), torch.tensor([3]), torch.tensor([4]))
    losses(model, batch).backward()
    optimizer.step()
    changed_users = (model.user_embedding != before["user_embedding"]).any(dim=1).nonzero()
    changed_items = (model.item_embedding != before["item_embedding"]).any(dim=1).nonzero()
    assert changed_users.flatten().tolist() == [1]
    assert changed_items.flatten().tolist() == [3, 4]


def test_adding_a_vector_to_all_items_leaves_bpr_unchanged():
    model, batch = make(), board_batch()
    before = model.losses(batch)["bpr"].item()
    with torch.no_grad():
        model.item_embedding += torch.tensor([0.3, -1.0, 2.0, 0.1])
    assert abs(model.losses(batch)["bpr"].item() - before) < 1e-12


def test_two_steps_worked_out_by_hand():
    """One user row p = (1, 0), items q1 = (1, 0), q2 = (0, 1), plain SGD with rate 1, no penalty.

    Step 1: difference p.(q1 - q2) = 1, g = sigmoid(-1). p += g (q1 - q2), q1 += g p, q2 -= g p.
    Step 2 is worked out the same way from the new rows, in plain Python below.
    """
    graph = checkerboard_graph()
    model = BPRMF(graph, BPRMFConfig(embedding_dim=2, reg_weight=0.0)).double()
    with torch.no_grad():
        model.user_embedding.zero_()
        model.item_embedding.zero_()
        model.user_embedding[0] = torch.tensor([1.0, 0.0])
        model.item_embedding[2] = torch.tensor([1.0, 0.0])
        model.item_embedding[1] = torch.tensor([0.0, 1.0])
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    p, q1, q2 = [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]
    for _ in range(2):
        optimizer.zero_grad()
        losses(model, Batch(torch.tensor([0]), torch.tensor([2]), torch.tensor([1]))).backward()
        optimizer.step()
        difference = sum(a * (b - c) for a, b, c in zip(p, q1, q2, strict=True))
        g = 1 / (1 + math.exp(difference))
        p, q1, q2 = (
            [a + g * (b - c) for a, b, c in zip(p, q1, q2, strict=True)],
            [b + g * a for a, b in zip(p, q1, strict=True)],
            [c - g * a for a, c in zip(p, q2, strict=True)],
        )
    rows = (model.user_embedding[0], model.item_embedding[2], model.item_embedding[1])
    for row, expected in zip(rows, (p, q1, q2), strict=True):
        torch.testing.assert_close(row.detach(), torch.tensor(expected).double())
    assert abs(1 / (1 + math.e) - 0.2689414) < 1e-7  # g of the first step, as printed in tables
