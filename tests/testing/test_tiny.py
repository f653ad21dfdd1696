import numpy as np

from mmgraph.graph import check_graph
from mmgraph.testing import checkerboard_dataset, checkerboard_graph


def test_the_diagonal_is_the_only_open_square_of_a_users_colour():
    board = checkerboard_dataset()
    liked = np.zeros((12, 12), dtype=bool)
    liked[board.train.user, board.train.item] = True
    for user in range(12):
        same_colour = (np.arange(12) + user) % 2 == 0
        assert np.flatnonzero(same_colour & ~liked[user]).tolist() == [user]
        assert not liked[user, ~same_colour].any()


def test_the_graph_obeys_the_contract():
    check_graph(checkerboard_graph())
