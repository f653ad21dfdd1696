"""The oracles themselves, on numbers worked out by hand."""

import math

import numpy as np
import pytest

from mmgraph.testing import oracles

# One user with one item: every normalised matrix is 1.
PAIR = [(0, 0)]
ONE = [[1.0]]
E = math.e


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_contrast_by_hand() -> None:
    """Anchors [1] and [2]; candidates [1], [0], [-1]; the last one is not there."""
    anchors, candidates = [[1.0], [2.0]], [[1.0], [0.0], [-1.0]]
    given = {"temperature": 0.5, "unit": False}
    first, second = math.log(1 + E**-2), math.log(1 + E**4)
    found = oracles.info_nce(
        anchors, candidates, [0, 1], present=[True, True, False], reduction="sum", **given
    )
    assert found == pytest.approx(first + second, rel=1e-15)
    # Of the second anchor the positive is not there.
    found = oracles.info_nce(anchors, candidates, [0, 2], present=[True, True, False], **given)
    assert found == pytest.approx(first, rel=1e-15)
    assert oracles.info_nce(anchors, candidates, [2, 2], present=[True] * 2 + [False], **given) == 0


def test_contrast_within_the_anchors_by_hand() -> None:
    """Unit rows are orthogonal: e^2 for the own, 1 for the other candidate and 1 for the other anchor."""
    rows = [[2.0, 0.0], [0.0, 7.0]]
    found = oracles.info_nce(rows, rows, temperature=0.5, intra=True)
    assert found == pytest.approx(math.log(1 + 2 * E**-2), rel=1e-15)


def test_weights_of_the_query_by_hand() -> None:
    """Logits 2 tanh(1) and 0 of the first node; the second has no first vector, the third none."""
    parts, present = [[[1.0]] * 3, [[0.0]] * 3], [[True, False, False], [True, True, False]]
    found = oracles.query_weights(parts, present, hidden=(ONE, [0.0]), query=[[2.0]])
    first = sigmoid(2 * math.tanh(1))
    np.testing.assert_allclose(found, [[first, 1 - first], [0, 1], [first, 1 - first]])
    assert (
        oracles.query_weights(parts[:1], present[:1], hidden=None, query=None).tolist()
        == [[1.0]] * 3
    )


def test_micro_by_hand() -> None:
    """Messages 4 and -12 of the item row 4, weighed equally; the mean layers of 2 and 4 are 3."""
    users, items, messages, fused = oracles.micro(
        [[2.0]],
        [[4.0]],
        PAIR,
        item_graphs=[ONE, [[-3.0]]],
        present=[[True], [True]],
        hidden=([[0.0]], [0.0]),
        query=[[1.0]],
        num_layers=1,
    )
    assert (users.tolist(), fused.tolist(), items.tolist()) == ([[3.0]], [[-4.0]], [[2.0]])
    assert [message.item() for message in messages] == [4.0, -12.0]


@pytest.mark.parametrize(("released", "divisors"), [(False, (1, 2)), (True, (3, 3))])
def test_mgcn_by_hand(released: bool, divisors: tuple[int, int]) -> None:
    """Gates of one half: pure rows 2 and, over a graph of -1, -2; what is common of both is 0."""
    behaviour, side = oracles.mgcn(
        [[2.0]],
        [[4.0]],
        PAIR,
        content=[ONE, ONE],
        item_graphs=[ONE, [[-1.0]]],
        present=[[True], [True]],
        purifiers=[([[0.0]], [0.0])] * 2,
        preferences=[([[0.0]], [0.0]), ([[1.0]], [0.0])],
        hidden=([[0.0]], [0.0]),
        query=[[1.0]],
        num_layers=1,
        released=released,
    )
    assert behaviour.tolist() == [[3.0], [3.0]]
    # Specific: half of 2 - 0, and sigmoid(3) of -2 - 0; common 0.
    expected = 0 / divisors[0] + (1 - 2 * sigmoid(3)) / divisors[1]
    np.testing.assert_allclose(side, [[expected]] * 2)


def test_mgcn_leaves_out_what_is_not_there() -> None:
    """The item, and so its user, has the first view alone: it is all common."""
    for released, expected in ((False, 2.0), (True, 1.0)):
        _, side = oracles.mgcn(
            [[2.0]],
            [[4.0]],
            PAIR,
            content=[ONE, ONE],
            item_graphs=[ONE, ONE],
            present=[[True], [False]],
            purifiers=[([[0.0]], [0.0])] * 2,
            preferences=[([[1.0]], [0.0])] * 2,
            hidden=([[3.0]], [0.0]),
            query=[[1.0]],
            released=released,
        )
        assert side.tolist() == [[expected]] * 2


def test_lgmrec_by_hand() -> None:
    """Two items of one user, the second without content; hyperedges take 3/4 and 1/4 of the first one."""
    users, items, of_users, of_items = oracles.lgmrec(
        [[0.0]],
        [[8.0], [4.0]],
        [(0, 0), (0, 1)],
        features=[[[1.0], [5.0]]],
        present=[[True, False]],
        projections=[[[-7.0]]],
        hyperedges=[[[math.log(3), 0.0]]],
        temperature=1.0,
        alpha=0.5,
        num_layers=0,
        num_modality_layers=0,
    )
    # Gathered 3/4 and 1/4 of 8; of them the first item and the user get 3/4 and 1/4 again.
    assert of_items[0][:, 0] == pytest.approx([8 * 10 / 16, 0])
    assert of_users[0][:, 0] == pytest.approx([8 * 10 / 16])
    # Content -7 of the item, and of its user whose only item with content it is, has length one.
    assert users[:, 0] == pytest.approx([0 - 1 + 0.5])
    assert items[:, 0] == pytest.approx([8 - 1 + 0.5, 4])


def test_slmrec_by_hand() -> None:
    """Ids 4 and content 10 with the user 2: means 3 and 6."""
    users, items, views = oracles.slmrec(
        [[2.0]],
        [[4.0]],
        PAIR,
        content=[[[10.0]]],
        joined=(([[1.0, 2.0]], [0.5]), ([[1.0, -1.0]], [0.0])),
        num_layers=1,
    )
    assert [view.item() for view in views] == [3.0, 6.0]
    assert (users.tolist(), items.tolist()) == ([[15.5]], [[-3.0]])


def test_alignment_by_hand() -> None:
    """Ids 1 and 0 doubled are 2 and 0, and less one -2 and 0; the second task knows the first item alone."""
    found = oracles.slmrec_alignment(
        [[[1.0], [0.0]], [[1.0], [3.0]], [[9.0], [9.0]]],
        [[True, True], [True, False]],
        chain=[([[2.0]], [0.0]), ([[-1.0]], [0.0])],
        aligned=[(ONE, [0.0]), (ONE, [0.0])],
        temperature=1.0,
    )
    assert found == pytest.approx((math.log(1 + E**4) + math.log(2)) / 2, rel=1e-15)
