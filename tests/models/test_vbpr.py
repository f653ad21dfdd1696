import numpy as np
import pytest
import torch

from mmgraph.errors import GraphError
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.models.batch import Batch
from mmgraph.models.bpr_mf import BPRMF, BPRMFConfig
from mmgraph.models.vbpr import VBPR, VBPRConfig
from mmgraph.testing import RecommenderContract, checkerboard_dataset, checkerboard_graph, oracles
from mmgraph.testing.contract import board_batch, disturb

EVERYONE = torch.arange(12)


class TestVBPR(RecommenderContract):
    model, options = VBPR, {"embedding_dim": 8, "content_dim": 4}


class TestWithoutBiases(RecommenderContract):
    model, options = VBPR, {"embedding_dim": 8, "content_dim": 4, "item_bias": False}


def make(graph=None, **options):
    torch.manual_seed(0)
    graph = checkerboard_graph() if graph is None else graph
    return VBPR(graph, VBPRConfig(**{"embedding_dim": 4, "content_dim": 3, **options})).double()


def board_with(*modalities):
    data = checkerboard_dataset()
    features = {name: data.features[name] for name in modalities}
    return build_graph(type(data)(**{**vars(data), "features": features}), GraphConfig(edges=()))


@pytest.mark.parametrize("modalities", [("text",), ("image",), ("text", "image")])
@pytest.mark.parametrize("item_bias", [True, False])
@pytest.mark.parametrize("unit_features", [True, False])
def test_scores_equal_the_equation_written_out(modalities, item_bias, unit_features):
    graph = board_with(*modalities)
    model = make(graph, item_bias=item_bias, unit_features=unit_features)
    disturb(model)
    p = {name: value.detach().numpy() for name, value in model.named_parameters()}
    x = [graph["item"][f"x_{name}"].double().numpy() for name in modalities]
    x = [oracles.unit_rows(features) if unit_features else features for features in x]
    both = [p[f"content.encoders.{m}.linear.weight"] for m in range(len(modalities))]
    expected = np.zeros((12, 12))
    for u in range(12):
        for i in range(12):
            score = p["user_embedding"][u] @ p["item_embedding"][i]
            for features, weight in zip(x, both, strict=True):
                score += p["user_taste"][u] @ (weight[:3] @ features[i])
                score += weight[3] @ features[i] if item_bias else 0
            expected[u, i] = score + (p["bias_item"][i, 0] if item_bias else 0)
    # Unit rows are made in float32.
    np.testing.assert_allclose(model.eval().score(EVERYONE).detach(), expected, rtol=1e-6)


def test_without_projection_it_is_matrix_factorisation_with_a_bias():
    model = make()
    with torch.no_grad():
        for weight in model.content.parameters():
            weight.zero_()
        model.bias_item.copy_(torch.randn(12, 1))
    plain = BPRMF(checkerboard_graph(), BPRMFConfig(embedding_dim=4)).double()
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if "embedding" in k})
    expected = plain.score(EVERYONE) + model.bias_item.T
    torch.testing.assert_close(model.eval().score(EVERYONE), expected, rtol=1e-12, atol=1e-14)


def test_a_cold_item_is_scored_by_the_users_taste():
    model = make(item_bias=False)
    with torch.no_grad():
        model.item_embedding[5] = 0
    content = sum(model.content().values())[5]
    expected = model.user_taste @ content
    torch.testing.assert_close(model.eval().score(EVERYONE)[:, 5], expected)
    assert expected.abs().min() > 0


@pytest.mark.parametrize("item_bias", [True, False])
def test_a_constant_in_the_content_of_all_items_shifts_a_users_scores_alike(item_bias):
    model, constant = make(item_bias=item_bias).eval(), torch.tensor([3.0, -1.0, 2.0, 5.0]).double()
    disturb(model)
    before, loss = model.score(EVERYONE), model.losses(board_batch())["bpr"]
    # All items have a text.
    model.content.encoders[0].register_forward_hook(lambda _, given, x: x + constant[: x.size(1)])
    shift = model.user_taste @ constant[:3] + (constant[3] if item_bias else 0)
    torch.testing.assert_close(model.score(EVERYONE) - before, shift[:, None].expand(-1, 12))
    torch.testing.assert_close(model.losses(board_batch())["bpr"], loss)
    assert shift.abs().min() > 0.01


def test_items_with_equal_rows_have_equal_scores():
    graph = checkerboard_graph()
    for name in ("text", "image"):
        graph["item"][f"x_{name}"][7] = graph["item"][f"x_{name}"][3]
    model = make(graph)
    with torch.no_grad():
        model.item_embedding[7] = model.item_embedding[3]
    scores = model.eval().score(EVERYONE)
    assert torch.equal(scores[:, 7], scores[:, 3])


def test_losses_on_the_batch_equal_those_on_the_whole_catalogue():
    model = make(reg_weight=0.1, content_reg_weight=0.2)
    disturb(model)
    batch = Batch(
        torch.tensor([0, 1, 3, 3]), torch.tensor([2, 3, 5, 9]), torch.tensor([1, 0, 4, 2])
    )
    user, item = model.encode()
    positive, negative = ((user[batch.user] * item[rows]).sum(dim=1) for rows in batch[1:3])
    terms = model.losses(batch)
    assert terms["bpr"].item() == pytest.approx(
        oracles.bpr(positive.detach(), negative.detach()), rel=1e-12
    )
    ids = torch.cat([model.item_embedding, model.bias_item], dim=1).detach()
    tables = torch.cat([model.user_embedding, model.user_taste], dim=1).detach()
    penalty = oracles.half_squared_penalty(
        [tables[batch.user], ids[batch.positive], ids[batch.negative]]
    )
    assert terms["reg"].item() == pytest.approx(penalty, rel=1e-12)
    squares = sum(weight.square().sum().item() for weight in model.content.parameters())
    assert terms["content_reg"].item() == pytest.approx(squares / 2, rel=1e-12)


def test_only_items_of_the_batch_are_projected_each_once():
    model, seen = make(), []
    for encoder in model.content.encoders:
        encoder.register_forward_pre_hook(lambda module, given: seen.append(len(given[1])))
    model.losses(Batch(torch.tensor([0, 1]), torch.tensor([2, 3]), torch.tensor([3, 2])))
    assert seen == [2, 2]


def test_without_features_it_says_so():
    with pytest.raises(GraphError, match="needs item features"):
        make(board_with())
