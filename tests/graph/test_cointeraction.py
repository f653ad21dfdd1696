"""Co-interaction graphs against loops over sets."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmgraph.errors import GraphError
from mmgraph.graph import cointeraction, counting
from mmgraph.graph.cointeraction import cointeraction_graph, incidence_matrix, limit_partners
from mmgraph.graph.normalize import COUNT_NORMS

LISTED, MIXED, DENSE = 0, 2, 40
"""Parts of all nodes above which a partner goes through the dense product: none, half, all here."""


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
                "pmi": math.log(c * len(set(partners)) / (len(of[i]) * len(of[j]))),
            }[normalize]
            if normalize == "pmi" and weight[j] <= 0:
                del weight[j]
        kept = sorted(weight, key=lambda j: (-np.float32(weight[j]), j))[:top_k]
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
    st.sampled_from(COUNT_NORMS),
    st.sampled_from([1, 6, 1 << 17]),
    st.sampled_from([LISTED, MIXED, DENSE]),
)
def test_equals_the_loop(case, side, top_k, normalize, block, share):
    num_users, num_items, user, item = case
    size = num_items if side == "item" else num_users
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cointeraction, "_BLOCK_PAIRS", block)
        patch.setattr(counting, "_DENSE_SHARE", share)
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


@pytest.mark.parametrize("normalize", COUNT_NORMS)
@pytest.mark.parametrize("top_k", [None, 4])
@pytest.mark.parametrize("share", [LISTED, MIXED, DENSE])
def test_bytes_depend_on_nothing_but_the_set_of_pairs(pairs, normalize, top_k, share, monkeypatch):
    sizes = {"num_users": 40, "num_items": 30, "top_k": top_k, "normalize": normalize}
    expected = cointeraction_graph(*pairs, **sizes)
    order = np.random.default_rng(1).permutation(len(pairs[0]))
    threads = torch.get_num_threads()
    monkeypatch.setattr(counting, "_DENSE_SHARE", share)
    try:
        for block, workers in ((50, 1), (50, 3), (1 << 17, 3)):
            torch.set_num_threads(workers)
            monkeypatch.setattr(cointeraction, "_BLOCK_PAIRS", block)
            found = cointeraction_graph(pairs[0][order], pairs[1][order], **sizes)
            assert torch.equal(found[0], expected[0])
            assert found[1].numpy().tobytes() == expected[1].numpy().tobytes()
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("normalize", ["none", "max", "sym", "cosine", "jaccard", "pmi"])
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
        ({"top_k": 0}, "top_k must be a whole number from 1 on (got 0)"),
        ({"top_k": 2.5}, "top_k must be a whole number from 1 on (got 2.5)"),
        ({"seed": -1}, "seed must be a whole number from 0 on (got -1)"),
        ({"max_interactions": 0}, "max_interactions must be a whole number from 1 on (got 0)"),
        ({"normalize": "jacard"}, "did you mean 'jaccard'?"),
        ({"num_items": 20}, "item must be between 0 and 19"),
    ],
)
def test_bad_input_is_named(pairs, arguments, message):
    with pytest.raises(GraphError) as caught:
        cointeraction_graph(*pairs, **{"num_users": 40, "num_items": 30, **arguments})
    assert message in str(caught.value)


def test_pmi_by_hand():
    # Four users have items 0 and 1, in common two of them: log(2 * 6 / (3 * 3)); the pair (0, 2)
    # meets once among 3 and 4 of 6 users, less than by chance, and (1, 2) twice: exactly by chance.
    user = np.array([0, 1, 2, 0, 1, 3, 2, 3, 1, 4])
    item = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2])
    users = np.concatenate([user, [5]])
    items = np.concatenate([item, [3]])
    (source, target), weight = cointeraction_graph(
        users, items, num_users=9, num_items=4, normalize="pmi"
    )
    assert list(zip(source.tolist(), target.tolist(), strict=True)) == [(1, 0), (0, 1)]
    assert weight.tolist() == pytest.approx([math.log(12 / 9)] * 2)


def test_a_limit_keeps_a_random_subset_of_busy_partners_and_says_so():
    user = np.concatenate([np.zeros(50, dtype=int), [1, 1, 2]])
    item = np.concatenate([np.arange(50), [3, 4, 4]])
    incidence = incidence_matrix(user, item, num_users=3, num_items=50, side="item")
    kept, facts = limit_partners(incidence, 10, 7)
    assert facts == {"partners_limited": 1, "interactions_left_out": 40}
    assert np.bincount(kept.indices).tolist() == [10, 2, 1]
    chosen = kept.tocsc().indices[:10]
    assert chosen.tolist() != list(range(10))
    other, _ = limit_partners(incidence, 10, 8)
    assert other.tocsc().indices[:10].tolist() != chosen.tolist()
    # Another user does not change the subset of the first.
    smaller = incidence_matrix(user[:-3], item[:-3], num_users=3, num_items=50, side="item")
    assert limit_partners(smaller, 10, 7)[0].tocsc().indices.tolist() == chosen.tolist()

    report = {}
    sizes = {"num_users": 3, "num_items": 50, "normalize": "none", "seed": 7}
    edge_index, _ = cointeraction_graph(user, item, **sizes, max_interactions=10, report=report)
    assert report.pop("method") in ("dense", "listed")
    assert report == facts
    both = {3, 4} <= set(chosen.tolist())
    assert edge_index.size(1) == 10 * 9 + 2 * (not both)
    plain = cointeraction_graph(user, item, **sizes, max_interactions=50)
    assert torch.equal(plain[0], cointeraction_graph(user, item, **sizes)[0])


def test_every_user_is_limited_on_the_side_of_users_by_its_items():
    user, item = np.array([0, 1, 2, 3, 0]), np.array([0, 0, 0, 0, 1])
    report = {}
    edge_index, _ = cointeraction_graph(
        user, item, num_users=4, num_items=2, side="user", max_interactions=2, report=report
    )
    assert edge_index.size(1) == 2
    assert report["interactions_left_out"] == 2


@pytest.mark.parametrize(("side", "limit"), [("user", None), ("item", 1000)])
def test_a_user_with_a_hundred_thousand_interactions_fits_in_memory(side, limit, run_python):
    script = f"""
from mmgraph.graph.cointeraction import cointeraction_graph
rng = np.random.default_rng(0)
n = 100_000
user = np.concatenate([np.zeros(n, dtype=np.int64), np.repeat(np.arange(1, 5001), 20)])
item = np.concatenate([np.arange(n), rng.integers(0, n, n)])
small = cointeraction_graph(user[-99:], item[-99:], num_users=5001, num_items=n, top_k=10)
options = dict(side={side!r}, top_k=10, max_interactions={limit})
count = lambda: cointeraction_graph(user, item, num_users=5001, num_items=n, **options)
print(growth(count)[0])
"""
    (used,) = run_python(script)
    # All pairs of one such user would be 10^10.
    assert int(used) < 300 * 2**20
