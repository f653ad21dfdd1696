"""The pool of candidates: what goes in comes out, whatever is joined or dropped between."""

import torch

from mmgraph.graph.knn.pool import _MOST_PARTS, CandidatePool


def candidates(owner, item, key):
    return (
        torch.tensor(owner, dtype=torch.int16),
        torch.tensor(item, dtype=torch.int32),
        torch.tensor(key, dtype=torch.int16),
    )


def empty(room=4):
    return CandidatePool(room, torch.int16, torch.device("cpu"))


def test_an_empty_pool_gives_nothing_of_the_right_types():
    assert [part.dtype for part in empty().take()] == [torch.int16, torch.int32, torch.int16]


def test_many_small_parts_come_out_in_order_and_are_few_tensors_meanwhile():
    pool, count = empty(), 5 * _MOST_PARTS
    for number in range(count):
        pool.add(*candidates([number % 3], [number], [2 * number]))
        assert len(pool._parts) <= _MOST_PARTS + 1
    assert pool.held == count
    assert pool.full
    owner, item, key = pool.take()
    assert item.tolist() == list(range(count))
    assert owner.tolist() == [number % 3 for number in range(count)]
    assert key.tolist() == [2 * number for number in range(count)]
    assert pool.held == 0
    assert not pool.full


def test_what_lies_below_the_bound_of_its_row_is_dropped():
    pool = empty()
    pool.add(*candidates([0, 1, 1], [10, 11, 12], [5, 3, 6]))
    pool.add(*candidates([0], [13], [4]))
    left = pool.drop_below(torch.tensor([5, 4, 0], dtype=torch.int16))
    assert left.tolist() == [1, 1, 0]
    assert pool.take()[1].tolist() == [10, 12]
