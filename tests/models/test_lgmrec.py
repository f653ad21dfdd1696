import itertools
from typing import ClassVar

import numpy as np
import pytest
import torch

from mmgraph.config import Recipe
from mmgraph.errors import GraphError
from mmgraph.graph.schema import item_features
from mmgraph.models.batch import Batch
from mmgraph.models.lgmrec import LGMRec, LGMRecConfig
from mmgraph.models.lightgcn import LightGCN, LightGCNConfig
from mmgraph.testing import RecommenderContract, oracles
from mmgraph.testing.contract import board_batch, disturb, losses

SETS = [("image",), ("text", "image"), ("text", "image", "sound")]
REPEATED = Batch(*torch.tensor([[3, 3, 1, 0], [5, 1, 5, 0], [8, 5, 8, 2]]))


class TestLGMRec(RecommenderContract):
    model, options = LGMRec, {"embedding_dim": 8, "contrast_weight": 0.01}


class TestDeepWithMean(RecommenderContract):
    model = LGMRec
    options: ClassVar = {
        "embedding_dim": 8,
        "num_hyper_layers": 2,
        "num_modality_layers": 0,
        "contrast_weight": 0.01,
        "contrast_reduction": "mean",
    }


def make(graph, **options):
    torch.manual_seed(0)
    model = LGMRec(graph, LGMRecConfig(**{"embedding_dim": 4, **options})).double()
    disturb(model)
    return model


def dense(model, graph, pairs):
    """Return what the oracle makes of the model's weights, without noise."""
    features, config = item_features(graph).values(), model.config
    matrices = [encoder.linear.weight.detach().T for encoder in model.content.encoders]
    depths = ("num_layers", "num_modality_layers", "num_hyper_layers")
    return oracles.lgmrec(
        model.user_embedding.detach(),
        model.item_embedding.detach(),
        pairs,
        features=[oracles.unit_rows(x) if config.unit_features else x for x, _ in features],
        present=[has for _, has in features],
        projections=[matrix[:, :4] for matrix in matrices],
        hyperedges=[matrix[:, 4:] for matrix in matrices],
        temperature=config.temperature,
        alpha=config.alpha,
        **{name: getattr(config, name) for name in depths},
    )


def dense_contrast(graph, pairs, hyper, batch, reduction="sum"):
    """Return the contrast of each two modalities for the batch's users and positive items among all."""
    has = [has.numpy() for _, has in item_features(graph).values()]
    history = oracles.interaction_matrix(pairs, num_users=12, num_items=12)
    total = 0.0
    for m, n in itertools.combinations(range(len(has)), 2):
        users = (history @ has[m] > 0) & (history @ has[n] > 0)
        sides = [(batch.user, users), (batch.positive, has[m] & has[n])]
        for vectors, (rows, there) in zip(hyper, sides, strict=True):
            total += oracles.info_nce(
                vectors[m][rows],
                vectors[n],
                rows.tolist(),
                temperature=0.2,
                present=there.tolist(),
                reduction=reduction,
            )
    return total


@pytest.mark.parametrize("modalities", SETS)
@pytest.mark.parametrize("depths", [(0, 1), (2, 1), (1, 3)])
@pytest.mark.parametrize("unit_features", [True, False])
def test_encode_equals_the_dense_equations(modalities, depths, unit_features, board, train_pairs):
    graph = board(*modalities)
    model = make(
        graph,
        num_hyperedges=3,
        num_modality_layers=depths[0],
        num_hyper_layers=depths[1],
        unit_features=unit_features,
    ).eval()
    expected = dense(model, graph, train_pairs)
    for found, wanted in zip(model.encode(), expected, strict=False):
        np.testing.assert_allclose(found.detach(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("modalities", SETS[1:])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_contrast_is_between_modalities(modalities, reduction, board, train_pairs):
    graph = board(*modalities)
    model = make(graph, contrast_reduction=reduction).eval()
    hyper = dense(model, graph, train_pairs)[2:]
    expected = dense_contrast(graph, train_pairs, hyper, REPEATED, reduction)
    found = model.losses(REPEATED)["contrast"]
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_noise_and_gaps_are_of_training_only(board):
    model = make(board("text", "image"))
    model.eval()
    assert torch.equal(model.encode().item, model.encode().item)
    model.train()
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(model.encode().item)
    assert torch.equal(draws[0], draws[1])
    assert not torch.allclose(draws[0], draws[2], atol=1e-3)


def test_memberships_sum_to_one_where_there_is_content(board):
    model, seen = make(board("text", "image"), num_hyperedges=5).eval(), []
    model.hypergraphs.memberships.register_forward_hook(
        lambda module, given, rows: seen.append(rows)
    )
    model.encode()
    ones = torch.ones(12).double()
    sums = [rows.sum(dim=1) for rows in seen]  # text items, text users, image items, image users
    assert [tuple(rows.shape) for rows in seen] == [(12, 5)] * 4
    for found in (sums[0], sums[1], sums[3]):
        torch.testing.assert_close(found, ones)
    ones[0] = 0  # item 0 has no image
    torch.testing.assert_close(sums[2], ones)


def test_without_content_and_global_vectors_it_is_lightgcn(board):
    graph = board("text", "image")
    model = make(graph, alpha=0.0, contrast_weight=0.0).eval()
    with torch.no_grad():
        for encoder in model.content.encoders:
            encoder.linear.weight.zero_()
    plain = LightGCN(graph, LightGCNConfig(embedding_dim=4, num_layers=2)).double()
    plain.load_state_dict(model.state_dict(), strict=False)
    for found, expected in zip(model.encode(), plain.eval().encode(), strict=True):
        assert torch.equal(found, expected)


def test_with_one_hyperedge_all_items_get_the_same_global_vector(board):
    model = make(board("text"), num_hyperedges=1).eval()
    _, ((user,), (item,)) = model._encode()
    torch.testing.assert_close(item, item[:1].expand(12, 4))
    torch.testing.assert_close(user, item)


def test_an_item_without_the_modality_has_no_global_vector(board):
    model = make(board("image")).eval()
    _, (_, (item,)) = model._encode()
    assert not item[0].any()
    assert item[1:].any(dim=1).all()


def test_a_single_modality_is_not_contrasted_and_leaves_nothing_idle(board):
    model = make(board("text")).train()
    terms = model.losses(board_batch())
    assert set(terms) == {"bpr", "reg"}
    losses(model, board_batch()).backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


@pytest.mark.parametrize(
    ("alpha", "contrast_weight", "columns"), [(0.0, 0.0, 4), (0.3, 0.0, 7), (0.0, 0.1, 7)]
)
def test_hyperedges_are_there_where_something_reads_them(alpha, contrast_weight, columns, board):
    model = make(
        board("text", "image"), alpha=alpha, contrast_weight=contrast_weight, num_hyperedges=3
    )
    assert [len(e.linear.weight) for e in model.content.encoders] == [columns] * 2
    terms = model.losses(board_batch())
    assert ("contrast" in terms) == (contrast_weight > 0)


def test_the_parts_of_the_projection_start_as_if_alone(board):
    model = LGMRec(board("text"), LGMRecConfig(embedding_dim=400, num_hyperedges=4))
    content, edges = model.content.encoders[0].linear.weight.split([400, 4])
    assert content.abs().max() <= (6 / 402) ** 0.5
    assert (6 / 402) ** 0.5 < edges.abs().max() <= 1.0


def test_two_steps_by_the_dense_equations(board, train_pairs):
    graph, batch = board("text", "image"), board_batch()
    model = make(graph, contrast_weight=0.01, reg_weight=0.1).eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        user, item, *hyper = dense(model, graph, train_pairs)
        rows = user[batch.user], item[batch.positive], item[batch.negative]
        scores = [(rows[0] * other).sum(axis=1) for other in rows[1:]]
        expected = oracles.bpr(*scores) + 0.1 * oracles.norm_penalty(rows)
        expected += 0.01 * dense_contrast(graph, train_pairs, hyper, batch)
        optimizer.zero_grad()
        loss = losses(model, batch)
        assert loss.item() == pytest.approx(expected, rel=1e-6)
        loss.backward()
        optimizer.step()


def test_the_graph_it_asks_for():
    graph = Recipe.build({"model": {"name": "lgmrec"}}).graph
    assert (graph.edges, graph.ui_norm) == ((), "sym")


def test_without_features_it_says_so(board):
    with pytest.raises(GraphError, match="lgmrec needs item features"):
        make(board())
