"""Co-interaction graphs against loops over sets."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmgraph.errors import GraphError
from mmgraph.graph import cointeraction
from mmgraph.graph.cointeraction import cointeraction_graph

NORMS = ("none", "max", "row_max", "sym", "cosine", "jaccard")


def looped(user, item, size, side, top_k, normalize):
    """Count pairs of nodes partner by partner, in plain Python."""
    nodes, partners = (item, user) if side == "item" else (user, item)
    of = {n: {p for m, p in zip(nodes, partners, strict=True) if m == n} for n in range(size)}
    count = {
        (i, j): len(of[i] & of[j])
        for i, j in itertools.permutations(range(size), 2)
        if of[i] & of[j]
    }
    sums = [sum(c for (i, _), c in count.items() if i == n) for n in range(size)]
    edges = []
    for i in range(size):
        row = {j: c for (n, j), c in count.items() if n == i}
        weight = {}
        for j, c in row.items():
            weight[j] = {
                "none": float(c),
                "max": c / max(count.values()),
                "row_max": c / max(row.values()),
                "sym": c / (sums[i] * sums[j]) ** 0.5,
                "cosine": c / (len(of[i]) * len(of[j])) ** 0.5,
                "jaccard": c / len(of[i] | of[j]),
            }[normalize]
        kept = sorted(weight, key=lambda j: (-weight[j], j))[:top_k]
        edges += [(j, i, weight[j]) for j in sorted(kept)]
    return [e[:2] for e in edges], [e[2] for e in edges]


@st.composite
def cases(draw):
    num_users, num_items = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    pair = st.tuples(st.integers(0, num_users - 1), st.integers(0, num_items - 1))
    pairs = np.array(draw(st.lists(pair, max_size=40)), dtype=np.int64).reshape(-1, 2)
    return num_users, num_items, pairs[:, 0], pairs[:, 1]


@given(
    cases(),
    st.sampled_from(["item", "user"]),
    st.sampled_from([None, 1, 2, 3]),
    st.sampled_from(NORMS),
    st.sampled_from([1, 6, 1 << 22]),
)
def test_equals_the_loop(case, side, top_k, normalize, block):
    num_users, num_items, user, item = case
    size = num_items if side == "item" else num_users
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cointeraction, "_BLOCK_PAIRS", block)
        edge_index, edge_weight = cointeraction_graph(
            user,
            item,
            num_users=num_users,
            num_items=num_items,
            side=side,
            top_k=top_k,
            normalize=normalize,
        )
    edges, weights = looped(user.tolist(), item.tolist(), size, side, top_k, normalize)
    assert edge_index.dtype == torch.int64
    assert edge_weight.dtype == torch.float32
    assert list(zip(*edge_index.tolist(), strict=True)) == edges
    assert edge_weight.tolist() == pytest.approx(weights, rel=1e-6)


@pytest.fixture
def pairs():
    return np.nonzero(np.random.default_rng(0).random((40, 30)) < 0.15)


@pytest.mark.parametrize("normalize", NORMS)
@pytest.mark.parametrize("top_k", [None, 4])
def test_bytes_do_not_depend_on_blocks_or_on_the_order_of_pairs(
    pairs, normalize, top_k, monkeypatch
):
    sizes = {"num_users": 40, "num_items": 30, "top_k": top_k, "normalize": normalize}
    expected = cointeraction_graph(*pairs, **sizes)
    order = np.random.default_rng(1).permutation(len(pairs[0]))
    monkeypatch.setattr(cointeraction, "_BLOCK_PAIRS", 50)
    found = cointeraction_graph(pairs[0][order], pairs[1][order], **sizes)
    assert torch.equal(found[0], expected[0])
    assert found[1].numpy().tobytes() == expected[1].numpy().tobytes()


@pytest.mark.parametrize("normalize", ["none", "max", "sym", "cosine", "jaccard"])
def test_symmetric_without_diagonal_and_largest_weight_one(pairs, normalize):
    (source, target), weight = cointeraction_graph(
        *pairs, num_users=40, num_items=30, normalize=normalize
    )
    matrix = np.zeros((30, 30), dtype=np.float32)
    matrix[target, source] = weight
    np.testing.assert_array_equal(matrix, matrix.T)
    assert not matrix.diagonal().any()
    if normalize == "max":
        assert matrix.max() == 1.0


@pytest.mark.parametrize("top_k", [None, 3])
def test_nothing_shared_gives_an_empty_graph(top_k):
    edge_index, edge_weight = cointeraction_graph(
        np.array([0, 1, 2]), np.array([0, 0, 1]), num_users=3, num_items=2, top_k=top_k
    )
    assert edge_index.shape == (2, 0)
    assert edge_weight.shape == (0,)


def test_removing_one_item_changes_only_its_row_and_column(pairs):
    user, item = pairs
    sizes = {"num_users": 40, "num_items": 30, "normalize": "none"}
    (source, target), weight = cointeraction_graph(user, item, **sizes)
    elsewhere = (source != 7) & (target != 7)
    assert bool((~elsewhere).any())
    kept = item != 7
    edge_index, found = cointeraction_graph(user[kept], item[kept], **sizes)
    assert torch.equal(edge_index, torch.stack([source, target])[:, elsewhere])
    assert torch.equal(found, weight[elsewhere])


def test_row_i_of_the_counts_arrives_at_i():
    # Node 0 shares one user with 1 and two with 2; its single best neighbour is 2.
    user, item = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 2, 0, 2])
    edge_index, weight = cointeraction_graph(
        user, item, num_users=3, num_items=3, top_k=1, normalize="none"
    )
    assert edge_index.tolist() == [[2, 0, 0], [0, 1, 2]]
    assert weight.tolist() == [2.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"side": "items"}, "side must be 'item' or 'user' (got 'items')"),
        ({"top_k": 0}, "top_k must be at least 1 (got 0)"),
        ({"normalize": "jacard"}, "did you mean 'jaccard'?"),
        ({"num_items": 20}, "item must be between 0 and 19"),
    ],
)
def test_bad_input_is_named(pairs, arguments, message):
    with pytest.raises(GraphError) as caught:
        cointeraction_graph(*pairs, **{"num_users": 40, "num_items": 30, **arguments})
    assert message in str(caught.value)
