"""One matrix, its transpose and its values, whatever the order of the edges."""

import copy

import pytest
import torch
from torch import nn

from mmgraph.errors import GraphError
from mmgraph.sparse import SparseAdjacency, matmul
from mmgraph.testing.kernels import adjacency_of, sample_matrices


@pytest.fixture(params=sample_matrices())
def dense(request: pytest.FixtureRequest) -> torch.Tensor:
    return sample_matrices()[request.param]


def transpose_of(adj: SparseAdjacency) -> torch.Tensor:
    """Rebuild the dense transpose from the three buffers that describe it."""
    result = adj.value.new_zeros(adj.size[::-1])
    for row in range(adj.size[1]):
        for place in range(int(adj.t_rowptr[row]), int(adj.t_rowptr[row + 1])):
            result[row, adj.t_col[place]] = adj.value[adj.t_perm[place]]
    return result


def test_matrix_and_transpose_hold_the_edges(dense: torch.Tensor) -> None:
    adj = adjacency_of(dense)
    assert torch.equal(adj.to_dense(), dense)
    assert torch.equal(transpose_of(adj), dense.T)
    assert adj.num_edges == int((dense != 0).sum())
    assert adj.size == tuple(dense.shape)


def test_the_order_of_the_edges_does_not_matter(dense: torch.Tensor) -> None:
    one, other = adjacency_of(dense, seed=1), adjacency_of(dense, seed=2)
    for (name, first), (_, second) in zip(one.named_buffers(), other.named_buffers(), strict=True):
        assert torch.equal(first, second), name


def test_edges_are_stored_by_target_then_source(dense: torch.Tensor) -> None:
    edge_index = adjacency_of(dense).edge_index()
    expected = dense.nonzero().T.flip(0)  # row-major: by target, then source
    assert edge_index.dtype == torch.int64
    assert torch.equal(edge_index, expected)


def test_edges_taken_out_and_put_in_again_are_the_same(dense: torch.Tensor) -> None:
    adj = adjacency_of(dense)
    again = SparseAdjacency(adj.edge_index(), adj.value, size=adj.size)
    assert torch.equal(again.to_dense(), dense)


def test_weights_are_ones_if_left_out() -> None:
    adj = SparseAdjacency(torch.tensor([[2, 0], [0, 1]]), size=(2, 3))
    assert adj.to_dense().tolist() == [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    assert adj.value.dtype == torch.float32


def test_a_weight_of_zero_is_an_edge() -> None:
    adj = SparseAdjacency(torch.tensor([[1], [0]]), torch.tensor([0.0]), size=(2, 2))
    assert adj.num_edges == 1
    assert adj.edge_index().tolist() == [[1], [0]]


def test_the_tensors_given_are_not_changed() -> None:
    edge_index, weight = torch.tensor([[2, 0, 1], [1, 1, 0]]), torch.tensor([1.0, 2.0, 3.0])
    before = edge_index.clone(), weight.clone()
    adj = SparseAdjacency(edge_index, weight, size=(2, 3))
    adj.value.zero_()
    assert torch.equal(edge_index, before[0])
    assert torch.equal(weight, before[1])


@pytest.mark.parametrize("name", ["symmetric", "no edges", "one entry"])
def test_a_symmetric_matrix_is_stored_once(name: str) -> None:
    adj = adjacency_of(sample_matrices()[name])
    assert adj.is_symmetric
    assert adj.t_rowptr is adj.rowptr
    assert adj.t_col is adj.col


@pytest.mark.parametrize(
    "name", ["wide", "square", "symmetric pattern only", "no edges, not square", "isolated nodes"]
)
def test_other_matrices_are_not_taken_for_symmetric(name: str) -> None:
    adj = adjacency_of(sample_matrices()[name])
    assert not adj.is_symmetric
    assert adj.t_rowptr is not adj.rowptr
    assert adj.t_col is not adj.col


def test_indices_are_int32() -> None:
    adj = adjacency_of(sample_matrices()["square"])
    indices = (adj.rowptr, adj.col, adj.t_rowptr, adj.t_col, adj.t_perm)
    assert {tensor.dtype for tensor in indices} == {torch.int32}


def test_indices_are_int64_where_int32_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(sys.modules["mmgraph.sparse.adjacency"], "_INT32_MAX", 5)
    dense = sample_matrices()["square"]
    adj = adjacency_of(dense)
    assert {adj.rowptr.dtype, adj.col.dtype, adj.t_perm.dtype} == {torch.int64}
    assert torch.equal(adj.to_dense(), dense)
    x = torch.ones(6, 1, dtype=torch.float64)
    torch.testing.assert_close(matmul(adj, x), dense @ x)


def test_precision_changes_with_the_owner() -> None:
    owner = nn.Sequential(SparseAdjacency(torch.tensor([[0, 1], [1, 0]]), size=(2, 2)))
    adj = owner.double()[0]
    assert adj.value.dtype == torch.float64
    assert adj.rowptr.dtype == torch.int32
    assert adj.t_rowptr is adj.rowptr
    assert owner.float()[0].value.dtype == torch.float32


def test_everything_moves_with_the_owner() -> None:
    owner = nn.Sequential(adjacency_of(sample_matrices()["square"])).to("meta")
    assert {buffer.device.type for buffer in owner.buffers()} == {"meta"}
    assert len(list(owner.buffers())) == 6


def test_a_symmetric_matrix_is_stored_once_after_a_move() -> None:
    adj = adjacency_of(sample_matrices()["symmetric"]).to("meta")
    assert adj.t_rowptr is adj.rowptr


def test_a_copy_is_whole_and_shares_nothing() -> None:
    adj = adjacency_of(sample_matrices()["symmetric"])
    twin = copy.deepcopy(adj)
    adj.value.zero_()
    assert torch.equal(twin.to_dense(), sample_matrices()["symmetric"])
    assert twin.t_rowptr is twin.rowptr


def test_nothing_is_saved_and_nothing_is_trained() -> None:
    owner = nn.Sequential(adjacency_of(sample_matrices()["square"]), nn.Linear(1, 1))
    assert set(owner.state_dict()) == {"1.weight", "1.bias"}
    assert list(owner[0].parameters()) == []


def test_print_shows_size_edges_and_symmetry() -> None:
    adj = SparseAdjacency(torch.tensor([[0, 1], [1, 0]]), size=(2, 2))
    assert repr(adj) == "SparseAdjacency(size=(2, 2), num_edges=2, symmetric=True)"


@pytest.mark.parametrize("edge", [(0, 9), (9, 0), (-1, 0)])
def test_an_edge_outside_the_matrix_is_refused(edge: tuple[int, int]) -> None:
    with pytest.raises(GraphError, match=r"edge_index"):
        SparseAdjacency(torch.tensor(edge)[:, None], size=(2, 2))
