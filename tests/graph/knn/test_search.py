"""Candidate lists hold every exact neighbour, whichever way they were found."""

import numpy as np
import pytest

from mmgraph.graph.knn import search
from mmgraph.graph.knn.rows import build_rows, drop_copies


def exact_neighbours(x, count):
    y = x / np.linalg.norm(x, axis=1, keepdims=True)
    score = y @ y.T
    np.fill_diagonal(score, -np.inf)
    return np.sort(np.argsort(-score, axis=1)[:, :count], axis=1)


@pytest.mark.parametrize("noise", [1.0, 1e-3, 1e-4])
def test_candidates_hold_the_exact_neighbours(noise):
    generator = np.random.default_rng(0)
    x = generator.standard_normal(24) + noise * generator.standard_normal((300, 24))
    rows = build_rows(x, np.arange(300), "cosine")
    pairs, asked = set(), []
    for query, item in search.find_candidates(rows, drop_copies(rows, 6), 5):
        pairs |= set(zip(query.tolist(), item.tolist(), strict=True))
        asked += np.unique(query).tolist()
    wanted = {(i, int(j)) for i, row in enumerate(exact_neighbours(x, 5)) for j in row}
    assert wanted <= pairs
    assert all(query != item for query, item in pairs)
    assert sorted(asked) == list(range(300))


def test_well_separated_rows_need_few_candidates():
    x = np.random.default_rng(1).standard_normal((500, 64))
    rows = build_rows(x, np.arange(500), "cosine")
    found = list(search.find_candidates(rows, np.arange(500), 10))
    assert sum(len(query) for query, _ in found) < 500 * 11
