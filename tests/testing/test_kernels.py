"""The contract of a backend notices backends that break it."""

from types import SimpleNamespace

import pytest
import torch

from mmgraph.sparse.backends import csr, gather
from mmgraph.testing.kernels import adjacency_of, check_backend, check_threads, sample_matrices


def kernel(multiply, maximum=None) -> SimpleNamespace:
    parts = (
        {"multiply": multiply} if maximum is None else {"multiply": multiply, "maximum": maximum}
    )
    return SimpleNamespace(**parts)


def ignores_the_weights(rowptr, col, value, x, num_rows):
    return gather.multiply(rowptr, col, torch.ones_like(value), x, num_rows)


def multiplies_the_last_edge_twice(rowptr, col, value, x, num_rows):
    return gather.multiply(rowptr, col, torch.cat([value[:-1], 2 * value[-1:]]), x, num_rows)


def computes_in_double(rowptr, col, value, x, num_rows):
    return gather.multiply(rowptr, col, value.double(), x.double(), num_rows)


def changes_its_rows(rowptr, col, value, x, num_rows):
    product = gather.multiply(rowptr, col, value, x, num_rows)
    x.add_(1)
    return product


def reads_stale_memory(rowptr, col, value, x, num_rows):
    stale = x.new_empty(num_rows, x.size(1)) if x.size(1) == 16 else x.new_zeros(1)
    return gather.multiply(rowptr, col, value, x, num_rows) + 0 * stale


def depends_on_threads(rowptr, col, value, x, num_rows):
    product = gather.multiply(rowptr, col, value, x, num_rows)
    return product if x.dtype == torch.float64 else product * torch.get_num_threads()


def adds_one_to_maxima(rowptr, col, value, x, num_rows):
    return gather.maximum(rowptr, col, value, x, num_rows) + 1


@pytest.mark.parametrize(
    ("backend", "complaint"),
    [
        (kernel(ignores_the_weights), "not close"),
        (kernel(multiplies_the_last_edge_twice), "not close"),
        (kernel(computes_in_double), r"rows torch.bfloat16 gave torch.float64"),
        (kernel(changes_its_rows), "not close|changed"),
        (kernel(depends_on_threads), "not close|two threads give other bytes"),
        (kernel(gather.multiply, adds_one_to_maxima), "maxima: Tensor-likes"),
        (kernel(reads_stale_memory), "nan|not close|two threads give other bytes"),
    ],
)
def test_a_broken_backend_is_caught(backend, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_backend(backend)


def test_threads_are_checked() -> None:
    with pytest.raises(AssertionError, match="two threads give other bytes"):
        check_threads(kernel(depends_on_threads))


def test_threads_are_left_as_they_were() -> None:
    before = torch.get_num_threads()
    check_backend(csr)
    assert torch.get_num_threads() == before


def test_the_samples_are_what_they_are_called() -> None:
    samples = sample_matrices()
    assert torch.equal(samples["symmetric"], samples["symmetric"].T)
    pattern = samples["symmetric pattern only"]
    assert torch.equal(pattern != 0, pattern.T != 0)
    assert not torch.equal(pattern, pattern.T)
    assert not samples["isolated nodes"][[0, 5]].any()
    assert not samples["isolated nodes"][:, [2, 5]].any()
    assert {samples["wide"].numel(), samples["tall"].numel()} == {28}


def test_samples_become_matrices_of_shuffled_edges() -> None:
    dense = sample_matrices()["full"]
    assert torch.equal(adjacency_of(dense).to_dense(), dense)
