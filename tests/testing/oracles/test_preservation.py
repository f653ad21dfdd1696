"""The oracle itself, on numbers worked out by hand."""

import numpy as np

from mmgraph.testing import oracles


def test_similarity_change() -> None:
    # Items 0, 1, 2: cos f = 1, -1, -1 and cos x = 0.6, 0, 0.8 for the pairs 01, 02, 12; item 3 lacks the modality.
    final = [[2.0], [1.0], [-3.0], [9.0]]
    features = [[5.0, 0.0], [3.0, 4.0], [0.0, 0.1], [0.0, 0.0]]
    found = oracles.similarity_change(final, features, [True, True, True, False])
    np.testing.assert_allclose(found, [0.7, 1.1, 1.4, np.nan], rtol=0, atol=1e-15)


def test_a_final_vector_of_zeros_has_no_direction() -> None:
    found = oracles.similarity_change([[0.0], [1.0]], [[1.0, 0.0], [3.0, 4.0]], [True, True])
    np.testing.assert_allclose(found, [0.6, 0.6], rtol=0, atol=1e-15)
