"""The oracles of MMGCN, GRCN and DualGNN on numbers worked out by hand."""

import math

import numpy as np

from mmgraph.testing import oracles

# User 0 has items 0 and 1, user 1 has item 1.
PAIRS = [(0, 0), (0, 1), (1, 1)]


def close(actual, expected) -> None:
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-14)


def test_a_layer_of_mmgcn_in_both_forms() -> None:
    """Rows 2 and -3 that see each other; ids 10 and 20."""
    rows, ids, adjacency = [[2.0], [-3.0]], [[10.0], [20.0]], [[0.0, 1.0], [1.0, 0.0]]
    # Neighbours -3 and 2, times 2: -6 to -0.6 and 4. Own: 2 * 1 + 1 = 3 and -2 to -0.2, plus ids.
    layer = oracles.MMGCNLayer([[2.0]], [[0.5]], [1.0], [[1.0]], [1.0])
    added = oracles.mmgcn_layer(rows, ids, adjacency, layer, slope=0.1)
    close(added, [[-0.3 + 1 + 13], [2 + 1 + 19.8]])
    wide = layer._replace(second=[[1.0], [-1.0]], second_bias=[0.0])
    joined = oracles.mmgcn_layer(rows, ids, adjacency, wide, combine="concat", slope=0.1)
    close(joined, [[0.1 * (-0.6 - 13)], [0.1 * (4 - 19.8)]])


def test_mmgcn_takes_means_and_adds_the_modalities() -> None:
    """All unit rows are 1 or -1; the layer passes on the mean of the neighbours and nothing else."""
    ids = [[0.0], [0.0]], [[0.0], [0.0]]
    layer = oracles.MMGCNLayer([[1.0]], [[1.0]], [0.0], [[0.0]], [0.0])
    # Item 1 has users 1 and -1.
    content, preferences = [[[3.0], [4.0]]] * 2, [[[5.0], [-7.0]]] * 2
    user, item = oracles.mmgcn(ids, preferences, content, [[layer], [layer]], PAIRS)
    close(user, [[2.0], [2.0]])
    close(item, [[2.0], [0.0]])
    halved = oracles.mmgcn(ids, preferences, content, [[layer], [layer]], PAIRS, mean=True)
    close(halved[0], user / 2)


def test_routing_moves_a_user_towards_its_items() -> None:
    """A user orthogonal to both of its items takes their mean; one with a single item takes it whole."""
    preference, content = [[0.0, 0.0, 2.0], [0.0, 0.0, 2.0]], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    once = oracles.grcn_routing(preference, content, PAIRS, num_steps=1)
    close(once, [np.array([0.5, 0.5, 1]) / math.sqrt(1.5), np.array([0, 1, 1]) / math.sqrt(2)])
    close(oracles.grcn_routing(preference, content, PAIRS, num_steps=0), [[0, 0, 1]] * 2)


def test_grcn_weighs_both_directions_and_prunes() -> None:
    """One user, one item: every attention is 1, so the weights are the trust in who sends."""
    ids, same = ([[2.0]], [[5.0]]), [[3.0]]
    trust = [[0.5, 0.25], [-1.0, -2.0]]
    parts, weight = oracles.grcn(
        ids, [same, same], [same, same], [(0, 0)], confidence=trust, num_steps=0
    )
    # The user sends 0.5, the item is pruned; layers 1, then 0 and 0.5, then 0 and 0.
    close(weight, [[0, 0], [0.5, 0]])
    close(parts[0], [[1.0], [1.5]])
    close(parts[1], [[2.0], [2.0]])
    _, kept = oracles.grcn(
        ids, [same, same], [same, same], [(0, 0)], confidence=trust, prune=False, mean=True
    )
    close(kept, [[0, -1.5], [0.375, 0]])


def test_dualgnn_of_one_user_and_one_item() -> None:
    """Unit rows 1 and -1 in two modalities, no layer: the user weighs, the item adds up; then the user is doubled."""
    user, item = oracles.dualgnn(
        [[[5.0]], [[2.0]]],
        [[[3.0]], [[-4.0]]],
        [[0.25, 0.5]],
        [(0, 0)],
        user_graph=[[1.0]],
        num_layers=0,
    )
    close(user, [[1.5]])
    close(item, [[0.0]])
    smooth = oracles.dualgnn(
        [[[5.0]]], [[[3.0]]], [[1.0]], [(0, 0)], user_graph=[[0.0]], num_layers=1
    )
    close(smooth[0], [[2.0]])
    close(smooth[1], [[2.0]])
