"""The plain ranking and the library's evaluator give the same numbers for every user."""

import numpy as np
import pytest
import torch

from benchmarks.rivals.python_ranking import PythonRanking, item_sets, list_metrics
from mmgraph.evaluation import EvaluationConfig, Evaluator

NUM_USERS, NUM_ITEMS = 40, 60


@pytest.mark.parametrize("levels", [3, 1000])
def test_all_metrics_of_all_users_are_equal(levels: int) -> None:
    # Whole numbers add up without rounding; few levels make many ties.
    rng = np.random.default_rng(1)
    users, items = (
        rng.integers(-levels, levels + 1, (size, 4)).astype(np.float32)
        for size in (NUM_USERS, NUM_ITEMS)
    )
    part = rng.choice(3, size=(NUM_USERS, NUM_ITEMS), p=(0.6, 0.3, 0.1))
    part[0] = 1  # this user has seen everything but two items: the list is shorter than k
    part[0, [4, 7]] = [2, 0]
    seen, held_out = np.nonzero(part == 1), np.nonzero(part == 2)
    config = EvaluationConfig(ks=(1, 5, 20), select_by="recall@20", block_size=16)
    evaluator = Evaluator(held_out, seen, num_users=NUM_USERS, num_items=NUM_ITEMS, config=config)
    user_vectors, item_vectors = torch.from_numpy(users), torch.from_numpy(items)
    ours = evaluator.evaluate(lambda block: user_vectors[block] @ item_vectors.T)
    rival = PythonRanking(
        users,
        items,
        seen=item_sets(*(column.tolist() for column in seen)),
        held_out=item_sets(*(column.tolist() for column in held_out)),
        ks=config.ks,
        block_size=16,
    )
    plain = rival.evaluate()
    assert rival.users == ours.users.tolist()
    assert set(plain) == set(config.names)
    for name, values in ours.per_user.items():
        np.testing.assert_allclose(plain[name], values.numpy(), atol=1e-9, rtol=0, err_msg=name)
    lists = [[item for item in row if item >= 0] for row in ours.top_items.tolist()]
    assert rival.lists() == lists
    assert list(rival.phases) == ["lists", "metrics"]


def test_metrics_of_a_list_by_hand() -> None:
    found = list_metrics([False, True, False, True], 3, 4)
    assert found["recall"] == pytest.approx(2 / 3)
    assert found["precision"] == 0.5
    assert found["mrr"] == 0.5
    assert found["hit"] == 1.0
    assert found["map"] == pytest.approx((1 / 2 + 2 / 4) / 3)
    gain = 1 / np.log2(3) + 1 / np.log2(5)
    assert found["ndcg"] == pytest.approx(gain / (1 + 1 / np.log2(3) + 1 / 2))
