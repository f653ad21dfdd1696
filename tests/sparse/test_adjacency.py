"""One matrix, its transpose and its values, whatever the order of the edges."""

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
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


def test_edges_by_target_alone_are_still_sorted() -> None:
    edges = torch.tensor([[2, 0, 1], [0, 0, 1]])
    adj = SparseAdjacency(edges, torch.tensor([5.0, 6.0, 7.0]), size=(2, 3))
    assert adj.col.tolist() == [0, 2, 1]
    assert adj.value.tolist() == [6.0, 5.0, 7.0]


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


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("mean", [False, True])
def test_weights_as_a_kernel_wants_them(dense: torch.Tensor, mean: bool, transposed: bool) -> None:
    adj = adjacency_of(dense)
    counts = (dense != 0).sum(dim=1, keepdim=True).clamp(min=1)
    wanted = dense / counts if mean else dense
    source, target = adj.edge_index()
    in_order = wanted[target, source]
    if transposed:
        in_order = wanted.T[wanted.T.nonzero(as_tuple=True)]
    for dtype in (torch.float64, torch.float32):
        got = adj.weights(dtype, mean=mean, transposed=transposed)
        torch.testing.assert_close(got, in_order.to(dtype))
        assert adj.weights(dtype, mean=mean, transposed=transposed) is got


def test_weights_follow_changes_moves_and_copies() -> None:
    adj = adjacency_of(sample_matrices()["square"])
    first = adj.weights(torch.float64, transposed=True)
    adj.value.mul_(2)
    assert torch.equal(adj.weights(torch.float64, transposed=True), 2 * first)
    twin = copy.deepcopy(adj)
    twin.value.mul_(2)
    assert torch.equal(twin.weights(torch.float64, transposed=True), 4 * first)
    assert torch.equal(adj.weights(torch.float64, transposed=True), 2 * first)
    # A copy counts its changes anew, and may arrive at the number at which the values were derived.
    for changes in range(3):
        counted = adjacency_of(sample_matrices()["square"])
        for _ in range(changes):
            counted.value.mul_(1)
        derived = counted.weights(torch.float64, transposed=True)
        counted.value.mul_(2)
        copied = copy.deepcopy(counted).weights(torch.float64, transposed=True)
        assert torch.equal(copied, 2 * derived)
    adj.value = torch.ones_like(adj.value)
    assert bool((adj.weights(torch.float64, transposed=True) == 1).all())
    adj.float()
    assert adj.weights(torch.float32) is adj.value


def test_a_matrix_made_in_inference_mode_multiplies() -> None:
    with torch.inference_mode():
        adj = adjacency_of(sample_matrices()["square"].clone())
        x = torch.ones(6, 2, dtype=torch.float64)
        assert torch.equal(matmul(adj, x, reduce="mean"), matmul(adj, x, reduce="mean"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_saved_matrix_comes_back_whole(
    dense: torch.Tensor, dtype: torch.dtype, tmp_path: Path
) -> None:
    adj = adjacency_of(dense).to(dtype)
    path = tmp_path / "matrix.safetensors"
    adj.save(path)
    again = SparseAdjacency.load(path)
    assert again.size == adj.size
    assert again.is_symmetric == adjacency_of(adj.to_dense()).is_symmetric
    for (name, one), (_, other) in zip(adj.named_buffers(), again.named_buffers(), strict=True):
        assert torch.equal(one, other), name
    assert [file.name for file in tmp_path.iterdir()] == ["matrix.safetensors"]


def write(path: Path, **changes) -> None:
    """Write the parts of a sound matrix, some of them changed."""
    adj = SparseAdjacency(torch.tensor([[0, 2], [1, 0]]), size=(2, 3))
    size = changes.pop("size", "[2, 3]")
    parts = {"rowptr": adj.rowptr, "col": adj.col, "value": adj.value, **changes}
    metadata = None if size is None else {"size": size}
    save_file({name: part for name, part in parts.items() if part is not None}, path, metadata)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"size": None}, "must be a matrix written by"),
        ({"size": "{"}, "must be a matrix written by"),
        ({"size": "[2]"}, "size must be two whole numbers"),
        ({"size": "[2, -3]"}, "size must be two whole numbers"),
        ({"size": "[2, 2]"}, "col must be from 0 to 1"),
        ({"size": "[3, 3]"}, "rowptr, col and value must have 4, num_edges"),
        ({"col": None}, "must be a matrix written by"),
        ({"col": torch.tensor([0, -1])}, "col must be from 0 to 2"),
        ({"col": torch.tensor([0.0, 1.0])}, "integers, integers and floats"),
        ({"value": torch.tensor([1, 2])}, "integers, integers and floats"),
        ({"value": torch.ones(3)}, "num_edges and num_edges entries"),
        ({"value": torch.ones(2, 1)}, "num_edges and num_edges entries"),
        ({"rowptr": torch.tensor([0, 3, 2])}, "rowptr must rise from 0"),
        ({"rowptr": torch.tensor([1, 1, 2])}, "rowptr must rise from 0"),
        ({"rowptr": torch.tensor([0, 1, 1])}, "rowptr must rise from 0"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(
    changes: dict, complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "matrix.safetensors"
    write(path)
    assert SparseAdjacency.load(path).to_dense().tolist() == [[0, 0, 1], [1, 0, 0]]
    write(path, **changes)
    with pytest.raises(GraphError, match=complaint) as caught:
        SparseAdjacency.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    adj = adjacency_of(sample_matrices()["square"])
    with pytest.raises(GraphError, match="cannot be written"):
        adj.save(tmp_path / "nowhere" / "matrix.safetensors")


def test_a_cut_file_and_no_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "matrix.safetensors"
    with pytest.raises(GraphError, match="must be a matrix written by"):
        SparseAdjacency.load(path)
    write(path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(GraphError, match="must be a matrix written by"):
        SparseAdjacency.load(path)


@pytest.mark.parametrize("edge", [(0, 9), (9, 0), (-1, 0)])
def test_an_edge_outside_the_matrix_is_refused(edge: tuple[int, int]) -> None:
    with pytest.raises(GraphError, match=r"edge_index"):
        SparseAdjacency(torch.tensor(edge)[:, None], size=(2, 2))
