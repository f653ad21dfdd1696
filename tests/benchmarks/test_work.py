"""The amounts of an epoch, counted by hand."""

from benchmarks.bound import gemm_gflops, memory_gbytes
from benchmarks.training.work import Amount, bounds, lightgcn_epoch


def test_the_amounts_of_one_step() -> None:
    # 5 nodes of 2 numbers: a table of 40 bytes. 4 pairs are 8 entries: 8 * (4 + 4) + 5 * 4 = 84 bytes.
    amounts = lightgcn_epoch(num_nodes=5, num_pairs=4, dim=2, num_layers=3, batch=8)
    product, mean, rows = 2 * 40 + 84, 5 * 40, 6 * 8 * 2 * 4
    assert amounts["forward"].bytes == 3 * product + mean + rows
    # Of each product, 8 rows of 8 bytes instead of the table once.
    assert amounts["forward"].gathered == amounts["forward"].bytes + 3 * (64 - 40)
    assert amounts["forward"].flops == 3 * 2 * 8 * 2 + 4 * 10 + 10 * 8 * 2
    assert amounts["backward"].bytes == amounts["forward"].bytes + 40
    assert amounts["optimiser"] == Amount(7 * 40, 7 * 40, 12 * 10)
    assert amounts["sampler"] == Amount(4 * 8 * 8, 4 * 8 * 8 + 4 * 8 * 2, 0)


def test_steps_count_and_the_sampler_works_once() -> None:
    one = lightgcn_epoch(num_nodes=5, num_pairs=4, dim=2, num_layers=3, batch=4)
    two = lightgcn_epoch(num_nodes=5, num_pairs=4, dim=2, num_layers=3, batch=3)
    assert two["optimiser"].bytes == 2 * one["optimiser"].bytes
    assert two["sampler"] == one["sampler"]


def test_the_bound_is_the_longer_of_moving_and_computing() -> None:
    amount = Amount(bytes=4e9, gathered=8e9, flops=3e9)
    assert amount.bound_s(2, 100) == 2
    assert amount.bound_s(100, 1) == 3
    found = bounds({"forward": amount}, {"forward": 4.0}, gbytes=2, gflops=100)["forward"]
    assert (found["share"], found["gathered_share"]) == (0.5, 1.0)
    assert (found["gbytes"], found["gflop"]) == (4, 3)


def test_the_machine_reaches_something() -> None:
    assert memory_gbytes("cpu") > 0.01
    assert gemm_gflops("float32", "cpu") > 0.01
