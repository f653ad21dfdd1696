import numpy as np
import pytest
import torch

from mmgraph.errors import GraphError
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.models.preferences import (
    PreferenceConfig,
    PreferenceRecommender,
    UserGraphConfig,
    UserGraphRecommender,
    shared_items_graph,
)
from mmgraph.nn import ModalityEncoder
from mmgraph.testing import checkerboard_dataset, checkerboard_graph, oracles
from mmgraph.testing.contract import board_batch


def board(data=None, **options):
    data = checkerboard_dataset() if data is None else data
    return build_graph(data, GraphConfig(**{"co_normalize": "none", **options}))


def with_ids(**options):
    torch.manual_seed(0)
    config = PreferenceConfig(**{"name": "seer", "embedding_dim": 4, **options})
    return PreferenceRecommender(
        checkerboard_graph(),
        config,
        encoder=lambda raw: ModalityEncoder(raw, raw + 1),
        width=lambda raw: raw + 1,
    ).double()


def smoothed(weights, **options):
    torch.manual_seed(0)
    config = UserGraphConfig(**{"name": "seer", "embedding_dim": 4, "hidden_dim": 8, **options})
    return UserGraphRecommender(board(), config, weights=weights).double()


def test_preferences_are_as_wide_as_the_content_and_both_start_at_unit_length():
    model = with_ids()
    assert model.widths == [3, 4]
    assert model.user_preference.shape == (12, 7)
    lengths = [[x.norm(dim=1) for x in pair] for pair in model.start()]
    for user, item in lengths:
        torch.testing.assert_close(user, torch.ones(12).double())
        torch.testing.assert_close(item[1:], torch.ones(11).double())
    # Item 0 has a text and no image.
    assert [round(item[0].item(), 12) for _, item in lengths] == [1.0, 0.0]


def test_the_penalty_is_on_ids_and_preferences_of_the_batch():
    model, batch = with_ids(reg_weight=0.1), board_batch()
    ids, own = model.ego_rows(batch), model.user_preference[batch.user]
    blocks = [x.detach() for x in (*ids, own[:, :3], own[:, 3:])]
    found = model.penalties(batch, ids)["reg"].item()
    assert found == pytest.approx(oracles.mean_squared_penalty(blocks), rel=1e-12)
    assert with_ids(reg_weight=0.0).penalties(batch, ids) == {}


def test_preferences_over_a_user_graph_have_no_penalty_without_a_weight():
    model, batch = smoothed("softmax", reg_weight=0.0), board_batch()
    assert model.penalties(batch, None) == {}


def test_rows_that_score_cannot_be_penalised():
    with pytest.raises(ValueError, match="reg_rows"):
        PreferenceConfig(name="seer", reg_rows="final")
    with pytest.raises(ValueError, match="reg_rows"):
        UserGraphConfig(name="seer", reg_rows="final")


def test_weights_of_users_are_free_or_a_softmax_or_none():
    free, shares = smoothed("free"), smoothed("softmax")
    assert free.user_shares() is free.user_weight
    torch.testing.assert_close(free.user_weight, shares.user_shares(), rtol=1e-6, atol=1e-7)
    with torch.no_grad():
        for model in (free, shares):
            model.user_weight.mul_(3.0)
    torch.testing.assert_close(shares.user_shares().sum(dim=1), torch.ones(12).double())
    torch.testing.assert_close(free.user_shares().sum(dim=1), torch.full((12,), 3.0).double())
    none = smoothed("none")
    assert none.user_shares() is None
    assert "user_weight" not in none.state_dict()


def test_the_irregular_board_has_different_counts_and_degrees(irregular_pairs):
    history = oracles.interaction_matrix(irregular_pairs, num_users=12, num_items=12)
    for degrees in (history.sum(axis=1), history.sum(axis=0)):
        assert degrees.min() >= 2
        assert len(set(degrees.tolist())) > 2
    for counts in (history @ history.T, history.T @ history):
        np.fill_diagonal(counts, 0)
        shared = [set(row[row > 0].tolist()) for row in counts]
        assert sum(len(numbers) > 1 for numbers in shared) > 6
        assert len(set(counts.max(axis=1).tolist())) > 1


def test_the_user_graph_is_the_softmax_of_the_counts(irregular, irregular_pairs):
    dense = shared_items_graph(board(irregular, co_user_top_k=4)).to_dense()
    expected = oracles.cointeraction_softmax(irregular_pairs, num_users=12, num_items=12, k=4)
    np.testing.assert_allclose(dense, expected, rtol=1e-6, atol=1e-7)


def test_a_user_who_shares_nothing_has_an_empty_row():
    data = checkerboard_dataset()
    keep = data.train.user != 5
    train = type(data.train)(data.train.user[keep], data.train.item[keep])
    graph = build_graph(
        type(data)(**{**vars(data), "train": train}), GraphConfig(co_normalize="none")
    )
    sums = shared_items_graph(graph).to_dense().sum(dim=1)
    expected = torch.ones(12)
    expected[5] = 0
    torch.testing.assert_close(sums, expected)


def test_without_features_it_says_so():
    graph = board(edges=())
    for name in ("text", "image"):
        del graph["item"][f"x_{name}"]
    with pytest.raises(GraphError, match="seer needs item features"):
        PreferenceRecommender(
            graph, PreferenceConfig(name="seer"), encoder=torch.nn.Identity, width=int
        )
