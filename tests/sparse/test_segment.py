"""Segment sums, maxima and softmax against loops in float64."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mmgraph.errors import GraphError
from mmgraph.sparse import segment_max, segment_softmax, segment_sum

COUNTS = [2, 0, 3, 1, 0]
ROWPTR = torch.tensor([0, 2, 2, 5, 6, 6])


def by_hand(reduce: Callable[[Tensor], Tensor], value: Tensor) -> Tensor:
    """Apply a function to every segment that is not empty; zeros for the others."""
    return torch.stack(
        [
            reduce(part) if part.size(0) else value.new_zeros(value.shape[1:])
            for part in value.split(COUNTS)
        ]
    )


def draw(heads: int | None) -> Tensor:
    shape = (6,) if heads is None else (6, heads)
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("heads", [None, 1, 3])
@pytest.mark.parametrize("index", [torch.int32, torch.int64])
def test_sums_and_maxima(heads: int | None, index: torch.dtype) -> None:
    value, rowptr = draw(heads), ROWPTR.to(index)
    total, largest = segment_sum(value, rowptr), segment_max(value, rowptr)
    torch.testing.assert_close(total, by_hand(lambda part: part.sum(0), value))
    torch.testing.assert_close(largest, by_hand(lambda part: part.amax(0), value))
    upstream = torch.randn_like(total)
    for result, reduce in (
        (total, lambda part: part.sum(0)),
        (largest, lambda part: part.amax(0)),
    ):
        (expected,) = torch.autograd.grad(by_hand(reduce, value), value, upstream)
        (got,) = torch.autograd.grad(result, value, upstream)
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("heads", [None, 2])
def test_softmax(heads: int | None) -> None:
    value = draw(heads)
    share = segment_softmax(value, ROWPTR)
    expected = torch.cat([part.softmax(0) for part in value.split(COUNTS)])
    torch.testing.assert_close(share, expected)
    upstream = torch.randn_like(share)
    (wanted,) = torch.autograd.grad(expected, value, upstream)
    (got,) = torch.autograd.grad(share, value, upstream)
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("function", [segment_sum, segment_max, segment_softmax])
def test_gradients_equal_finite_differences(function: Callable[..., Tensor]) -> None:
    assert torch.autograd.gradcheck(lambda value: function(value, ROWPTR), (draw(2),))


def test_large_values_do_not_overflow_the_softmax() -> None:
    value = torch.tensor([1e4, 1e4 - 1, -1e4, 3e38, 0.0, -3e38], requires_grad=True)
    share = segment_softmax(value, ROWPTR)
    assert share[:2].tolist() == pytest.approx([0.7310586, 0.2689414])
    assert share[2:].tolist() == [0.0, 1.0, 0.0, 1.0]
    share.square().sum().backward()
    assert bool(value.grad.isfinite().all())


def test_the_first_of_equal_maxima_gets_the_gradient() -> None:
    value = torch.tensor([5.0, 5.0, 1.0, 2.0, 2.0, -1.0], requires_grad=True)
    segment_max(value, ROWPTR).sum().backward()
    assert value.grad.tolist() == [1.0, 0.0, 0.0, 1.0, 0.0, 1.0]


@pytest.mark.parametrize("function", [segment_sum, segment_max, segment_softmax])
@pytest.mark.parametrize("shape", [(0,), (0, 3), (4, 0)])
def test_nothing_at_all(function: Callable[..., Tensor], shape: tuple[int, ...]) -> None:
    value = torch.zeros(shape, requires_grad=True)
    rowptr = torch.tensor([0, 0, shape[0]])
    result = function(value, rowptr)
    assert result.shape == (shape if function is segment_softmax else (2, *shape[1:]))
    assert not result.any()
    result.sum().backward()
    assert value.grad.shape == shape


@pytest.mark.parametrize("function", [segment_sum, segment_max, segment_softmax])
def test_one_thread_and_two_give_the_same_bytes(function: Callable[..., Tensor]) -> None:
    counts = torch.randint(0, 60, (2000,))
    rowptr = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)])
    value = torch.randn(int(rowptr[-1]), 3, requires_grad=True)
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        result = function(value, rowptr)
        results.append((result, *torch.autograd.grad(result.square().sum(), value)))
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)


@pytest.mark.cuda
@pytest.mark.parametrize("function", [segment_sum, segment_max, segment_softmax])
def test_a_gpu_gives_the_same(function: Callable[..., Tensor]) -> None:
    value = draw(2)
    on_gpu = value.detach().cuda().requires_grad_()
    result, other = function(value, ROWPTR), function(on_gpu, ROWPTR.cuda())
    torch.testing.assert_close(other.cpu(), result)
    result.square().sum().backward()
    other.square().sum().backward()
    torch.testing.assert_close(on_gpu.grad.cpu(), value.grad)


@pytest.mark.parametrize("rowptr", [[0, 5], [1, 6], [0, 4, 2, 6], [], [[0, 6]]])
def test_a_pointer_that_does_not_fit_is_refused(rowptr: list[int]) -> None:
    with pytest.raises(GraphError, match="rowptr must rise from 0 to the number of values, 6"):
        segment_sum(torch.ones(6), torch.tensor(rowptr, dtype=torch.long))


@pytest.mark.parametrize("value", [torch.ones(1, 1, 1), torch.ones(6, dtype=torch.long)])
def test_values_of_another_kind_are_refused(value: Tensor) -> None:
    with pytest.raises(GraphError, match="value must be floats"):
        segment_sum(value, ROWPTR)
