"""Edge dropping: how many, which ones, how often, and how they are weighed."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmgraph.errors import ConfigError
from mmgraph.nn.edge_dropping import drop_edges, num_kept


@pytest.fixture
def edges():
    generator = torch.Generator().manual_seed(0)
    # Popular items come first.
    chance = torch.linspace(0.9, 0.05, 25)
    return (torch.rand(40, 25, generator=generator) < chance).nonzero().T.contiguous()


@given(st.integers(0, 10**7), st.integers(0, 999))
def test_the_number_is_that_of_whole_numbers(num_edges, thousandths):
    assert num_kept(num_edges, thousandths / 1000) == num_edges * (1000 - thousandths) // 1000


def test_numbers_that_floating_point_gets_wrong():
    assert (num_kept(150, 0.8), num_kept(10, 0.9), num_kept(1000, 0.7)) == (30, 1, 300)


@pytest.mark.parametrize("policy", ["degree", "uniform"])
@pytest.mark.parametrize("drop", [0.1, 0.5, 0.8, 0.999])
def test_kept_edges_are_distinct_edges_in_their_order(edges, policy, drop):
    kept = drop_edges(edges, num_users=40, num_items=25, drop=drop, policy=policy, seed=3)
    assert kept.position.tolist() == sorted(set(kept.position.tolist()))
    assert len(kept.position) == num_kept(edges.size(1), drop)
    assert torch.equal(kept.edge_index, edges[:, kept.position])


@pytest.mark.parametrize("policy", ["degree", "uniform"])
def test_weights_are_those_of_the_kept_matrix(edges, policy):
    kept = drop_edges(edges, num_users=40, num_items=25, drop=0.6, policy=policy)
    matrix = torch.zeros(40, 25, dtype=torch.float64)
    matrix[kept.edge_index[0], kept.edge_index[1]] = 1
    root = (matrix.sum(1, keepdim=True) * matrix.sum(0, keepdim=True)).sqrt()
    expected = (matrix / root)[kept.edge_index[0], kept.edge_index[1]]
    torch.testing.assert_close(kept.edge_weight, expected.float())


def test_nothing_dropped_is_the_graph_itself(edges):
    for policy, epoch in itertools.product(("degree", "uniform"), (0, 5)):
        kept = drop_edges(edges, num_users=40, num_items=25, drop=0.0, policy=policy, epoch=epoch)
        assert torch.equal(kept.edge_index, edges)
        assert kept.position.tolist() == list(range(edges.size(1)))


def test_seed_and_epoch_decide_and_threads_do_not(edges):
    sizes = {"num_users": 40, "num_items": 25, "drop": 0.5}
    first = drop_edges(edges, **sizes, seed=1, epoch=2)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        torch.manual_seed(99)
        again = drop_edges(edges, **sizes, seed=1, epoch=2)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    for seed, epoch in ((1, 3), (2, 2), (2, 1)):
        other = drop_edges(edges, **sizes, seed=seed, epoch=epoch)
        assert not torch.equal(other.position, first.position)


def inclusion(chance, count):
    """Return how likely each element is in a sample drawn one after the other."""
    result = [0.0] * len(chance)
    for drawn in itertools.permutations(range(len(chance)), count):
        left, likely = sum(chance), 1.0
        for element in drawn:
            likely *= chance[element] / left
            left -= chance[element]
        for element in drawn:
            result[element] += likely
    return result


@pytest.mark.parametrize("policy", ["degree", "uniform"])
def test_each_edge_is_kept_as_often_as_in_draws_without_replacement(policy):
    edges = torch.tensor([[0, 0, 0, 0, 1, 2], [0, 1, 2, 3, 0, 0]])
    users, items = [4, 4, 4, 4, 1, 1], [3, 1, 1, 1, 3, 3]
    chance = [
        1 / math.sqrt(u * i) if policy == "degree" else 1.0
        for u, i in zip(users, items, strict=True)
    ]
    rounds = 4000
    seen = torch.zeros(6)
    for epoch in range(rounds):
        kept = drop_edges(
            edges, num_users=3, num_items=4, drop=0.5, policy=policy, seed=11, epoch=epoch
        )
        seen[kept.position] += 1
    expected = inclusion(chance, 3)
    # Five standard deviations of a share.
    for share, likely in zip((seen / rounds).tolist(), expected, strict=True):
        assert abs(share - likely) < 5 * math.sqrt(likely * (1 - likely) / rounds)


def test_all_dropped_but_a_part_of_one_is_empty():
    kept = drop_edges(torch.tensor([[0], [0]]), num_users=1, num_items=1, drop=0.5)
    assert kept.edge_index.shape == (2, 0)
    assert kept.edge_weight.shape == kept.position.shape == (0,)


def test_equal_keys_are_taken_from_the_front(monkeypatch):
    class Constant:
        def __init__(self, seed):
            pass

        def standard_exponential(self, size):
            return torch.ones(size, dtype=torch.float64).numpy()

    monkeypatch.setattr("numpy.random.default_rng", Constant)
    edges = torch.tensor([[0, 1, 2, 3], [0, 1, 2, 3]])
    kept = drop_edges(edges, num_users=4, num_items=4, drop=0.5)
    assert kept.position.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"drop": "0.5"}, "drop must be a number from 0 on and below 1 (got '0.5')"),
        ({"seed": -1}, "seed must be a whole number from 0 on (got -1)"),
        ({"epoch": -2}, "epoch must be a whole number from 0 on (got -2)"),
        ({"drop": 1.0}, "drop must be a number from 0 on and below 1 (got 1.0)"),
        ({"drop": -0.1}, "drop must be a number from 0 on and below 1 (got -0.1)"),
        ({"drop": math.nan}, "drop must be a number from 0 on and below 1 (got nan)"),
        ({"policy": "degrees"}, "did you mean 'degree'?"),
    ],
)
def test_bad_input_is_named(edges, arguments, message):
    with pytest.raises(ConfigError) as caught:
        drop_edges(edges, **{"num_users": 40, "num_items": 25, "drop": 0.5, **arguments})
    assert message in str(caught.value)
