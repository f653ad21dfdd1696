"""The contract of a backend notices backends that break it."""

import pytest
import torch

from mmgraph.sparse.backends import csr
from mmgraph.testing.kernels import adjacency_of, check_backend, sample_matrices


def ignores_given_weights(adj, x, value):
    return csr.matmul(adj, x, adj.value + 0 * value)


def multiplies_the_transpose(adj, x, value):
    dense = value.new_zeros(adj.size).index_put(tuple(adj.edge_index().flip(0)), value)
    return (dense.T if dense.size(0) == dense.size(1) else dense).to(x) @ x


def gives_weights_no_gradient(adj, x, value):
    return csr.matmul(adj, x, value.detach() + 0 * value)


def gives_rows_half_their_gradient(adj, x, value):
    return csr.matmul(adj, (x + x.detach()) / 2, value)


def computes_in_double(adj, x, value):
    return csr.matmul(adj, x.double(), value)


def changes_its_rows(adj, x, value):
    product = csr.matmul(adj, x, value)
    x.data.add_(1)
    return product


@pytest.mark.parametrize(
    ("backend", "complaint"),
    [
        (ignores_given_weights, "not close"),
        (multiplies_the_transpose, "not close"),
        (gives_weights_no_gradient, "gradient of the weights"),
        (gives_rows_half_their_gradient, "gradient of the rows"),
        (computes_in_double, r"rows torch.float32 gave torch.float64"),
        (changes_its_rows, "not close|changed"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_backend_is_caught(backend, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_backend(backend)


def test_threads_are_left_as_they_were() -> None:
    before = torch.get_num_threads()
    check_backend(csr.matmul)
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
