"""Pieces cover every edge once, rows stay whole, and the first hit of a segment is found."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmgraph.sparse.pieces import first_hits, pieces

COUNTS = st.lists(st.integers(0, 5), max_size=12)


@given(COUNTS, st.integers(1, 2**20))
def test_pieces_cover_every_edge_once_in_whole_rows(counts: list[int], dim: int) -> None:
    rowptr = torch.tensor([0, *counts], dtype=torch.int32).cumsum(0, dtype=torch.int32)
    row_of_edge = [row for row, count in enumerate(counts) for _ in range(count)]
    found, next_edge, next_row = [], 0, 0
    for edges, rows, row in pieces(rowptr, len(row_of_edge), dim=dim):
        assert edges.start == next_edge
        assert rows.start >= next_row
        assert rows.stop > rows.start
        found += [rows.start + local for local in row.tolist()]
        next_edge, next_row = edges.stop, rows.stop
    assert found == row_of_edge


def test_a_piece_has_about_the_edges_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmgraph.sparse.pieces.ELEMENTS", 12)
    rowptr = torch.arange(0, 41, 2)  # 20 rows of two edges
    sizes = [edges.stop - edges.start for edges, _, _ in pieces(rowptr, 40, dim=3)]
    assert sizes == [4] * 10
    long = torch.tensor([0, 1, 30, 31])
    sizes = [edges.stop - edges.start for edges, _, _ in pieces(long, 31, dim=3)]
    assert sizes == [1, 30]


@given(COUNTS, st.integers(1, 3), st.randoms(use_true_random=False))
def test_first_hits_equal_those_found_one_by_one(counts: list[int], dim: int, random) -> None:
    starts = [sum(counts[:row]) for row, count in enumerate(counts) for _ in range(count)]
    hit = [[random.random() < 0.5 for _ in range(dim)] for _ in starts]
    expected = [
        [hit[e][j] and not any(hit[f][j] for f in range(start, e)) for j in range(dim)]
        for e, start in enumerate(starts)
    ]
    shape = (len(starts), dim)
    got = first_hits(
        torch.tensor(hit, dtype=torch.bool).reshape(shape), torch.tensor(starts, dtype=torch.long)
    )
    assert got.tolist() == expected
