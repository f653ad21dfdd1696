"""LightGCN's propagation against its equations and the properties that follow from them."""

import numpy as np
import pytest
import torch

from mmgraph.nn import UserItemPropagation, joint_adjacency
from mmgraph.sparse import SparseAdjacency
from mmgraph.testing import oracles

NUM_USERS, NUM_ITEMS = 5, 7
# User 4 and item 6 are alone.
PAIRS = [(0, 0), (0, 1), (0, 5), (1, 1), (2, 1), (2, 2), (2, 3), (3, 3), (3, 4), (1, 4)]


def propagation(pairs, num_layers: int, **options) -> UserItemPropagation:
    user, item = torch.tensor(pairs).T
    weight = (user.bincount()[user] * item.bincount()[item]).double().rsqrt()
    joint = torch.stack([user, item + NUM_USERS])
    adj = SparseAdjacency(
        torch.cat([joint, joint.flip(0)], dim=1),
        weight.repeat(2),
        size=(NUM_USERS + NUM_ITEMS,) * 2,
    )
    return UserItemPropagation(adj, num_layers=num_layers, **options)


def tables(dim: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    joint = torch.randn(NUM_USERS + NUM_ITEMS, dim, dtype=torch.float64)
    return joint[:NUM_USERS], joint[NUM_USERS:]


def close(actual, expected) -> None:
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, torch.as_tensor(other), rtol=0, atol=1e-12)


@pytest.mark.parametrize("num_layers", [0, 1, 2, 4])
def test_equals_the_equations(num_layers: int) -> None:
    user, item = tables()
    expected = oracles.lightgcn(user, item, PAIRS, num_layers=num_layers)
    close(propagation(PAIRS, num_layers)(user, item), expected)


def test_gradient() -> None:
    inputs = tuple(table.requires_grad_() for table in tables(2))
    assert torch.autograd.gradcheck(propagation(PAIRS, 2), inputs)


def test_without_layers_nothing_happens_bitwise() -> None:
    user, item = tables()
    smooth = propagation(PAIRS, 0)(user, item)
    assert torch.equal(smooth[0], user)
    assert torch.equal(smooth[1], item)


def test_it_is_linear() -> None:
    smooth, first, second = propagation(PAIRS, 3), tables(), tables()
    total = smooth(*(2 * a - b for a, b in zip(first, second, strict=True)))
    parts = zip(smooth(*first), smooth(*second), strict=True)
    close(total, [2 * a - b for a, b in parts])


@pytest.mark.parametrize("num_layers", [1, 2, 5])
def test_root_degrees_are_a_fixed_point(num_layers: int) -> None:
    user, item = torch.tensor(PAIRS).T
    degrees = user.bincount(minlength=NUM_USERS), item.bincount(minlength=NUM_ITEMS)
    roots = [degree.double().sqrt()[:, None] for degree in degrees]
    close(propagation(PAIRS, num_layers)(*roots), roots)


@pytest.mark.parametrize("num_layers", [1, 3])
def test_a_node_without_edges_keeps_a_share_of_itself(num_layers: int) -> None:
    user, item = tables()
    smooth_user, smooth_item = propagation(PAIRS, num_layers)(user, item)
    close(
        [smooth_user[4], smooth_item[6]], [user[4] / (num_layers + 1), item[6] / (num_layers + 1)]
    )


def test_new_numbers_for_users_and_items_change_nothing_else() -> None:
    rng = np.random.default_rng(5)
    new_user, new_item = rng.permutation(NUM_USERS), rng.permutation(NUM_ITEMS)
    renamed = [(int(new_user[u]), int(new_item[i])) for u, i in PAIRS]
    user, item = tables()
    moved_user, moved_item = torch.empty_like(user), torch.empty_like(item)
    moved_user[new_user], moved_item[new_item] = user, item
    plain_user, plain_item = propagation(PAIRS, 2)(user, item)
    other_user, other_item = propagation(renamed, 2)(moved_user, moved_item)
    close([other_user[new_user], other_item[new_item]], [plain_user, plain_item])


@pytest.mark.parametrize(("combine", "width"), [("sum", 3), ("last", 3), ("concat", 9)])
def test_other_combinations(combine: str, width: int) -> None:
    user, item = tables()
    adjacency = torch.from_numpy(
        oracles.sym_adjacency(PAIRS, num_users=NUM_USERS, num_items=NUM_ITEMS)
    )
    zero = torch.cat([user, item])
    one, two = adjacency @ zero, adjacency @ adjacency @ zero
    expected = {"sum": zero + one + two, "last": two, "concat": torch.cat([zero, one, two], dim=1)}
    smooth = propagation(PAIRS, 2, combine=combine)(user, item)
    assert smooth[0].shape == (NUM_USERS, width)
    close(smooth, expected[combine].split([NUM_USERS, NUM_ITEMS]))


def test_no_edges_at_all() -> None:
    adj = SparseAdjacency(torch.empty(2, 0, dtype=torch.long), size=(3, 3))
    smooth = UserItemPropagation(adj, num_layers=1)(torch.ones(1, 2), torch.ones(2, 2))
    assert [x.tolist() for x in smooth] == [[[0.5, 0.5]], [[0.5, 0.5]] * 2]


def test_the_graph_is_not_saved() -> None:
    assert propagation(PAIRS, 2).state_dict() == {}


def test_another_matrix_may_be_given_for_one_call() -> None:
    full, pruned = propagation(PAIRS, 2), propagation(PAIRS[:6], 2)
    user, item = torch.randn(NUM_USERS, 3).double(), torch.randn(NUM_ITEMS, 3).double()
    found = full(user, item, pruned.adjacency)
    for one, other in zip(found, pruned(user, item), strict=True):
        assert torch.equal(one, other)


def test_the_joint_matrix_holds_both_directions_and_the_loops() -> None:
    to_item = torch.tensor([[0, 1], [1, 0]]), torch.tensor([2.0, 3.0])
    to_user = torch.tensor([[1], [0]]), torch.tensor([5.0])
    loops = torch.tensor([7.0, 0.5, 11.0, 13.0])
    dense = joint_adjacency(
        to_item, to_user, num_users=2, num_items=2, self_weight=loops
    ).to_dense()
    expected = torch.zeros(4, 4)
    expected[3, 0], expected[2, 1], expected[0, 3] = 2.0, 3.0, 5.0
    expected += loops.diag()
    assert torch.equal(dense, expected)
