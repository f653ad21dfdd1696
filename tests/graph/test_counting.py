"""Blocks of counts against a dense product, by either way of counting."""

import numpy as np
import pytest
import scipy.sparse as sp

from mmgraph.graph import counting
from mmgraph.graph.counting import count_parts, plan_counts


def skewed(num_nodes, num_partners, seed=0):
    """Draw a matrix whose partners reach from nearly all nodes to none."""
    generator = np.random.default_rng(seed)
    chance = np.linspace(0, 1, num_partners) ** 3
    return (generator.random((num_nodes, num_partners)) < chance).astype(np.int32)


def whole(plan, top_k=None):
    parts = list(count_parts(plan, lambda start, block: (start, block), top_k=top_k))
    assert [start for start, _ in parts] == [start for start, _ in plan.parts]
    return sp.vstack([block for _, block in parts]).toarray()


@pytest.mark.parametrize("share", [0, 2, 40])
@pytest.mark.parametrize("block_pairs", [1, 300, 1 << 17])
@pytest.mark.parametrize("shape", [(90, 50), (3, 1), (1, 4), (5, 200)])
def test_blocks_put_together_are_the_product(monkeypatch, share, block_pairs, shape):
    monkeypatch.setattr(counting, "_DENSE_SHARE", share)
    dense = skewed(*shape)
    plan = plan_counts(sp.csr_array(dense), block_pairs)
    expected = dense @ dense.T
    np.fill_diagonal(expected, 0)
    np.testing.assert_array_equal(whole(plan), expected)
    assert [start for start, _ in plan.parts][1:] == [stop for _, stop in plan.parts][:-1]
    for top_k in (1, 4, 1000):
        found = whole(plan, top_k)
        for row, counts in zip(found, expected, strict=True):
            order = np.lexsort((np.arange(len(counts)), -counts))[:top_k]
            kept = np.zeros_like(counts)
            kept[order] = counts[order]
            np.testing.assert_array_equal(row, kept)


def test_columns_are_sorted_and_nothing_is_stored_twice():
    plan = plan_counts(sp.csr_array(skewed(60, 30)), 500)
    for top_k in (None, 5):
        for block in count_parts(plan, lambda start, block: block, top_k=top_k):
            assert block.data.min() > 0
            for row in range(block.shape[0]):
                columns = block.indices[block.indptr[row] : block.indptr[row + 1]]
                assert (np.diff(columns) > 0).all()


def test_the_way_follows_the_sizes():
    generator = np.random.default_rng(0)
    packed = sp.csr_array((generator.random((400, 300)) < 0.5).astype(np.int32))
    assert plan_counts(packed, 1 << 17).method == "dense"
    spread = sp.random_array((20_000, 4_000), density=1e-3, rng=generator, format="csr")
    assert plan_counts(spread, 1 << 17).method == "listed"
    assert plan_counts(sp.csr_array((5, 5), dtype=np.int32), 1 << 17).method == "listed"


def test_a_row_with_more_pairs_than_nodes_is_added_up(monkeypatch):
    monkeypatch.setattr(counting, "_DENSE_SHARE", 0)
    dense = np.ones((6, 400), dtype=np.int32)
    plan = plan_counts(sp.csr_array(dense), 100)
    assert plan.total[1] > 4 * 100 + 6
    np.testing.assert_array_equal(whole(plan), 400 * (1 - np.eye(6, dtype=int)))


def test_counts_beyond_what_fits_with_the_column_in_32_bits():
    # 40,000 shared partners times 60,000 columns: the two together need 64 bits.
    partners = 40_000
    first = sp.csr_array(np.ones((2, partners), dtype=np.int32))
    rest = sp.csr_array((59_998, partners), dtype=np.int32)
    plan = plan_counts(sp.vstack([first, rest]).tocsr(), 1 << 17)
    parts = count_parts(plan, lambda start, block: block, top_k=1)
    block = sp.vstack([next(parts), next(parts)])
    assert block.data[:2].tolist() == [partners, partners]
    assert block.indices[:2].tolist() == [1, 0]
    counts = np.zeros((1, 60_000), dtype=np.int32)
    counts[0, [7, 9, 11]] = partners - 1, partners, partners
    key, count = counting._largest_cells(counts, 2)
    assert key.tolist() == [9, 11]
    assert count.tolist() == [partners, partners]
