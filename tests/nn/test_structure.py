"""Item graphs with learned weights: union of edges, cosines on edges, normalisation with gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmgraph.errors import ConfigError
from mmgraph.nn import (
    edge_cosine,
    fuse_item_graphs,
    item_shares,
    merge_edges,
    mix_item_graphs,
    normalize_by_row,
    shares_of,
    shrunk_cosine,
)
from mmgraph.sparse import matmul
from mmgraph.testing import oracles
from mmgraph.testing.kernels import adjacency_of

NO_EDGES = torch.empty(2, 0, dtype=torch.long)
pair = st.tuples(st.integers(0, 4), st.integers(0, 4))
edge_sets = st.lists(pair, unique=True, max_size=25)


def as_edges(pairs: list[tuple[int, int]]) -> torch.Tensor:
    return torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T


def as_pairs(edge_index: torch.Tensor) -> list[tuple[int, int]]:
    return [(int(source), int(target)) for source, target in edge_index.T]


def positive_graph() -> torch.Tensor:
    """Draw a dense graph of positive weights in which every node has a row sum."""
    dense = torch.rand(5, 5, dtype=torch.float64) * (torch.rand(5, 5) < 0.6)
    return dense + torch.diag(torch.full((5,), 0.1, dtype=torch.float64))


@given(edge_sets, edge_sets)
def test_the_union_is_that_of_sets(first, second) -> None:
    union, of_first, of_second = merge_edges(as_edges(first), as_edges(second), num_nodes=5)
    pairs = as_pairs(union)
    assert pairs == sorted(set(first) | set(second), key=lambda edge: (edge[1], edge[0]))
    assert [pairs[place] for place in of_first] == first
    assert [pairs[place] for place in of_second] == second
    assert {union.dtype, of_first.dtype, of_second.dtype} == {torch.int64}


def test_numbers_of_nodes_beyond_int32_squared_do_not_collide() -> None:
    big = 3_000_000_000
    edges = torch.tensor([[big - 1, 0], [0, big - 1]])
    union, _, _ = merge_edges(edges, NO_EDGES, num_nodes=big)
    assert as_pairs(union) == [(big - 1, 0), (0, big - 1)]


def test_cosines_of_edges() -> None:
    x = torch.randn(4, 3, dtype=torch.float64)
    x[3] = 0
    edges = torch.tensor([[0, 1, 2, 0, 3], [1, 0, 2, 2, 0]])
    unit = oracles.unit_rows(x)
    expected = [unit[s] @ unit[t] for s, t in as_pairs(edges)]
    np.testing.assert_allclose(edge_cosine(x, edges), expected, rtol=0, atol=1e-14)
    assert edge_cosine(x, edges)[4] == 0


def test_gradient_of_cosines() -> None:
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    edges = torch.tensor([[0, 1, 2, 0, 3], [1, 0, 2, 2, 0]])
    assert torch.autograd.gradcheck(lambda x: edge_cosine(x, edges), x)


def test_the_fused_graph_keeps_both_weights() -> None:
    first, second = positive_graph(), positive_graph()
    first[0, 1], second[0, 1], second[1, 0] = 0.0, 2.0, 0.0
    one, two = adjacency_of(first), adjacency_of(second)
    fused = fuse_item_graphs(
        (one.edge_index(), one.value), (two.edge_index(), two.value), num_items=5
    )
    source, target = fused.edge_index
    for weights, dense in ((fused.content, first), (fused.cointeraction, second)):
        rebuilt = torch.zeros(5, 5, dtype=torch.float64)
        rebuilt[target, source] = weights
        assert torch.equal(rebuilt, dense)
    assert fused.edge_index.size(1) == int(((first != 0) | (second != 0)).sum())


def test_weights_of_the_fused_graph_are_in_the_order_of_its_matrix() -> None:
    first, second = positive_graph(), positive_graph()
    one, two = adjacency_of(first), adjacency_of(second)
    fused = fuse_item_graphs(
        (one.edge_index(), one.value), (two.edge_index(), two.value), num_items=5
    )
    assert torch.equal(fused.adjacency.edge_index(), fused.edge_index)
    x = torch.randn(5, 2, dtype=torch.float64)
    product = matmul(fused.adjacency, x, edge_weight=fused.content + 3 * fused.cointeraction)
    torch.testing.assert_close(product, (first + 3 * second) @ x)


def test_edges_may_be_given_in_any_order() -> None:
    edges, weight = torch.tensor([[2, 0, 1], [1, 1, 0]]), torch.tensor([1.0, 2.0, 3.0])
    fused = fuse_item_graphs((edges, weight), (NO_EDGES, torch.empty(0)), num_items=3)
    assert as_pairs(fused.edge_index) == [(1, 0), (0, 1), (2, 1)]
    assert fused.content.tolist() == [3.0, 2.0, 1.0]
    assert fused.cointeraction.tolist() == [0.0, 0.0, 0.0]


def test_gradient_reaches_the_weights_of_both() -> None:
    edges = torch.tensor([[2, 0, 1], [1, 1, 0]]), torch.tensor([[0, 0], [2, 1]])
    weights = [torch.rand(n, dtype=torch.float64, requires_grad=True) for n in (3, 2)]

    def product(one, two):
        fused = fuse_item_graphs((edges[0], one), (edges[1], two), num_items=3)
        x = torch.arange(6, dtype=torch.float64).reshape(3, 2)
        return matmul(fused.adjacency, x, edge_weight=fused.content * 2 + fused.cointeraction)

    assert torch.autograd.gradcheck(product, weights)


def test_two_empty_graphs() -> None:
    nothing = (NO_EDGES, torch.empty(0))
    fused = fuse_item_graphs(nothing, nothing, num_items=3)
    assert fused.edge_index.shape == (2, 0)
    assert (
        matmul(fused.adjacency, torch.ones(3, 2), edge_weight=fused.content).tolist()
        == [[0.0, 0.0]] * 3
    )


@pytest.mark.parametrize("norm", ["none", "row", "sym"])
def test_normalisation_equals_the_dense_one(norm: str) -> None:
    dense = positive_graph()
    adj = adjacency_of(dense)
    weight = normalize_by_row(adj.edge_index(), adj.value, num_nodes=5, norm=norm)
    source, target = adj.edge_index()
    rebuilt = torch.zeros(5, 5, dtype=torch.float64)
    rebuilt[target, source] = weight
    expected = torch.from_numpy(oracles.normalized_graph(dense, norm=norm))
    torch.testing.assert_close(rebuilt, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("norm", ["none", "row", "sym"])
def test_gradient_flows_through_the_sums(norm: str) -> None:
    adj = adjacency_of(positive_graph())
    edges = adj.edge_index()
    weight = adj.value.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda w: normalize_by_row(edges, w, num_nodes=5, norm=norm), weight
    )


def test_rows_sum_to_one() -> None:
    adj = adjacency_of(positive_graph())
    weight = normalize_by_row(adj.edge_index(), adj.value, num_nodes=5, norm="row")
    rows = matmul(adj, torch.ones(5, 1, dtype=torch.float64), edge_weight=weight)
    torch.testing.assert_close(rows, torch.ones(5, 1, dtype=torch.float64))


def test_a_row_of_zeros_stays_zero() -> None:
    edges = torch.tensor([[0, 1], [1, 0]])
    weight = normalize_by_row(edges, torch.zeros(2), num_nodes=3, norm="row")
    assert weight.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("norm", "dense"),
    [
        ("row", [[0.0, 1.0, -1.5], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),  # sum below zero
        ("row", [[0.0, 1.0, -1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),  # sum is zero
        ("sym", [[0.0, 1.0, 3.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),  # sources receive nothing
        ("sym", [[0.0, 1.0, -1.5], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]),
    ],
)
def test_where_no_sum_is_positive_there_is_no_scale(norm: str, dense: list[list[float]]) -> None:
    matrix = torch.tensor(dense, dtype=torch.float64)
    adj = adjacency_of(matrix)
    weight = normalize_by_row(adj.edge_index(), adj.value, num_nodes=3, norm=norm)
    source, target = adj.edge_index()
    rebuilt = torch.zeros(3, 3, dtype=torch.float64)
    rebuilt[target, source] = weight
    torch.testing.assert_close(
        rebuilt, torch.from_numpy(oracles.normalized_graph(dense, norm=norm))
    )


# Indexing would add the gradient up in parallel; `index_select` adds it in order.
def test_one_thread_and_two_give_the_same_gradient_of_cosines() -> None:
    edges = torch.randint(0, 1500, (2, 40_000))
    x = torch.randn(1500, 16, requires_grad=True)
    gradients = []
    for count in (1, 2):
        torch.set_num_threads(count)
        gradients.append(torch.autograd.grad(edge_cosine(x, edges).square().sum(), x)[0])
    assert torch.equal(*gradients)


@given(
    st.lists(edge_sets, min_size=1, max_size=3), st.lists(st.floats(0, 1), min_size=3, max_size=3)
)
def test_mixed_neighbour_lists_equal_the_dense_mean(
    lists: list[list[tuple[int, int]]], shares: list[float]
) -> None:
    shares = shares[: len(lists)]
    mixed = mix_item_graphs([as_edges(pairs) for pairs in lists], shares, num_items=5)
    neighbours = [[[s for s, t in pairs if t == item] for item in range(5)] for pairs in lists]
    expected = oracles.freedom_item_graph(neighbours, shares)
    np.testing.assert_allclose(mixed.to_dense(), expected, rtol=1e-6, atol=1e-30)


def test_shares_are_divided_among_the_lists_an_item_has() -> None:
    image, text = as_edges([(1, 0)]), as_edges([(1, 0), (2, 0), (0, 1)])
    dense = mix_item_graphs([image, text], [0.2, 0.8], num_items=3).to_dense()
    torch.testing.assert_close(dense, torch.tensor([[0, 0.6, 0.4], [1, 0, 0], [0, 0, 0]]))


def test_shares():
    names = ("audio", "image", "text")
    assert shares_of({}, names) == pytest.approx(dict.fromkeys(names, 1 / 3))
    assert shares_of({"image": 0.2}, names) == pytest.approx(
        {"audio": 0.4, "image": 0.2, "text": 0.4}
    )
    assert shares_of({"text": 0.3}, ("text",)) == {"text": 0.3}
    decimals = {"audio": 0.33, "image": 0.56, "text": 0.11}  # their sum is a little more than 1
    assert shares_of(decimals, names) == decimals
    assert shares_of({"audio": 0.44, "image": 0.56000000001}, names)["text"] == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"imgae": 0.1}, r"got 'imgae'.*image"),
        ({"image": -0.1}, "must not be negative"),
        ({"image": 0.7, "text": 0.7}, "at most 1 \\(got 1.4\\)"),
        ({"image": 0.0, "text": 0.0}, "more than 0"),
    ],
)
def test_wrong_shares_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        shares_of(given, ("image", "text"))


def test_shares_of_items_are_divided_among_what_they_have() -> None:
    present = [torch.tensor(row) for row in ([1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0])]
    share = item_shares([0.5, 0.2, 0.3], [row.bool() for row in present])
    expected = [[0.5, 1, 0, 0], [0.2, 0, 1, 0], [0.3, 0, 0, 0]]
    torch.testing.assert_close(share, torch.tensor(expected, dtype=torch.float64))


def test_a_share_of_zero_is_no_share() -> None:
    present = [torch.tensor([True, False]), torch.tensor([True, True])]
    assert item_shares([1.0, 0.0], present).tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_shrunk_cosine_by_hand_and_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lengths 5, 13 and 0: 3 * 5 + 4 * 12 = 63 over 65 + 5."""
    x = torch.tensor([[3.0, 4.0], [5.0, 12.0], [0.0, 0.0]])
    edges = torch.tensor([[0, 0, 2, 1], [1, 0, 1, 2]])
    expected = torch.tensor([63 / 70, 25 / 30, 0, 0], dtype=torch.float64)
    for gathered in (1, 1 << 22):
        monkeypatch.setattr("mmgraph.nn.structure._GATHERED", gathered)
        torch.testing.assert_close(shrunk_cosine(x, edges, shrink=5.0), expected)
    assert shrunk_cosine(x, edges, shrink=0.0)[2:].tolist() == [0.0, 0.0]
    assert shrunk_cosine(x, edges[:, :0], shrink=1.0).shape == (0,)
