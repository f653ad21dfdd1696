import numpy as np
import pytest
import torch

from mmgraph.config import Recipe
from mmgraph.errors import GraphError
from mmgraph.graph.schema import item_features
from mmgraph.models.batch import Batch
from mmgraph.models.slmrec import SLMRec, SLMRecConfig
from mmgraph.testing import RecommenderContract, oracles
from mmgraph.testing.contract import board_batch, disturb, losses

SETS = [("image",), ("text", "image"), ("text", "image", "sound")]
TASKS = ["none", "fac", "fd", "fm", "fd_fm"]
REPEATED = Batch(*torch.tensor([[3, 3, 1, 0], [5, 1, 5, 0], [8, 5, 8, 2]]))


class TestSLMRec(RecommenderContract):
    model, options = SLMRec, {"embedding_dim": 8}


class TestBothDisturbances(RecommenderContract):
    model, options = SLMRec, {"embedding_dim": 8, "ssl_task": "fd_fm", "preset": "as_released"}


def make(graph, **options):
    torch.manual_seed(0)
    model = SLMRec(graph, SLMRecConfig(**{"embedding_dim": 4, **options})).double()
    disturb(model)
    return model


def affine(linear):
    return linear.weight.detach(), linear.bias.detach()


def dense(model, pairs):
    """Return users, items and the items of each view as the oracle makes them of the model's weights."""
    return oracles.slmrec(
        model.user_embedding.detach(),
        model.item_embedding.detach(),
        pairs,
        content=[x.detach() for x in model.content().values()],
        joined=[affine(linear) for linear in model.joined],
    )


def dense_losses(model, graph, pairs, batch):
    """Return the main term and that of FAC."""
    user, item, views = dense(model, pairs)
    once = model.config.preset == "paper"
    items = sorted(set(batch.positive.tolist())) if once else batch.positive.tolist()
    places = [items.index(i) for i in batch.positive.tolist()] if once else None
    main = oracles.info_nce(user[batch.user], item[items], places, temperature=0.2)
    alignment = oracles.slmrec_alignment(
        [view[items] for view in views],
        [has[items].tolist() for _, has in item_features(graph).values()],
        chain=[affine(linear) for linear in model.chain],
        aligned=[affine(linear) for linear in model.aligned],
        temperature=model.config.ssl_temperature,
    )
    return main, alignment


@pytest.mark.parametrize("modalities", SETS)
def test_encode_equals_the_dense_equations(modalities, board, train_pairs):
    model = make(board(*modalities)).eval()
    expected = dense(model, train_pairs)
    for found, wanted in zip(model.encode(), expected, strict=False):
        np.testing.assert_allclose(found.detach(), wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("modalities", SETS)
@pytest.mark.parametrize("preset", ["paper", "as_released"])
def test_losses_equal_the_dense_equations(modalities, preset, board, train_pairs):
    graph = board(*modalities)
    model = make(graph, preset=preset, ssl_temperature=0.5)
    expected = dense_losses(model, graph, train_pairs, REPEATED)
    terms = model.losses(REPEATED)
    assert list(terms) == ["main", "contrast"]
    found = [term.item() for term in terms.values()]
    assert found == pytest.approx(expected, rel=1e-5)


def test_presets_differ_where_a_batch_repeats_itself(board):
    graph = board("text", "image")
    once, often = (make(graph, preset=preset) for preset in ("paper", "as_released"))
    for name in ("main", "contrast"):
        assert once.losses(REPEATED)[name] < often.losses(REPEATED)[name]
    for found, other in zip(
        once.losses(board_batch()).values(), often.losses(board_batch()).values(), strict=True
    ):
        torch.testing.assert_close(found, other)


@pytest.mark.parametrize("modalities", SETS)
@pytest.mark.parametrize("task", TASKS)
def test_every_task_runs_with_any_modalities_and_trains_all(modalities, task, board):
    model = make(board(*modalities), ssl_task=task).train()
    terms = model.losses(board_batch())
    assert ("contrast" in terms) == (task != "none")
    losses(model, board_batch()).backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


def test_widths_of_the_alignment(board):
    three = make(board(*SETS[2]))
    assert [(linear.in_features, linear.out_features) for linear in three.chain] == [
        (4, 4),
        (4, 4),
        (4, 2),
    ]
    assert [linear.out_features for linear in three.aligned] == [4, 4, 2]
    assert [linear.out_features for linear in make(board("text")).chain] == [4]


def test_masks_take_a_view_each_from_two_encodings(board, monkeypatch):
    model, seen = make(board("text", "image"), ssl_task="fm").eval(), []
    model.disturbed.register_forward_pre_hook(lambda module, given: seen.append(given))
    monkeypatch.setattr(torch, "randperm", lambda count: torch.tensor([2, 0, 1]))
    found = model.losses(board_batch())["contrast"]
    ((user, item),) = seen
    plain_user, plain_item = model._views()
    assert torch.equal(user, torch.cat([plain_user, plain_user], dim=1))
    for half, hidden in zip(item.chunk(2, dim=1), (2, 0), strict=True):
        for view, (one, other) in enumerate(
            zip(half.split(4, dim=1), plain_item.split(4, dim=1), strict=True)
        ):
            assert torch.equal(one, torch.zeros_like(other) if view == hidden else other)
    parts = []
    for half in item.chunk(2, dim=1):
        joined = model._join(model.propagation(plain_user, half))
        parts.append([x.detach()[:8] for x in joined])
        parts[-1][1] = joined.item.detach()[2:10]  # items 2..9 are the positive ones
    expected = sum(
        oracles.info_nce(one, other, temperature=0.2) for one, other in zip(*parts, strict=True)
    )
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_gaps_make_two_encodings_differ_and_evaluation_has_none(board):
    model = make(board("text", "image"), ssl_task="fd", dropout=0.5)
    values = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        values.append(model.train().losses(board_batch())["contrast"].item())
    assert values[0] == values[1] != values[2]
    plain = model.eval().losses(board_batch())["contrast"]
    user, item = model.encode()
    expected = oracles.info_nce(user[:8].detach(), user[:8].detach(), temperature=0.2)
    expected += oracles.info_nce(item[2:10].detach(), item[2:10].detach(), temperature=0.2)
    assert plain.item() == pytest.approx(expected, rel=1e-9)


def test_sampled_negatives_do_not_count(board):
    model = make(board("text", "image"))
    one, other = board_batch(), board_batch()._replace(negative=torch.full((8,), 11))
    for found, expected in zip(
        model.losses(one).values(), model.losses(other).values(), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_the_main_term_does_not_see_the_length_of_users(board):
    model = make(board("text", "image"), ssl_task="none")
    before = model.losses(board_batch())["main"]
    with torch.no_grad():
        for parameter in model.joined[0].parameters():
            parameter.mul_(3.0)
    torch.testing.assert_close(model.losses(board_batch())["main"], before)


def test_users_start_from_the_same_rows_in_every_view(board):
    user, item = make(board(*SETS[2]))._views()
    for part in user.split(4, dim=1):
        assert torch.equal(part, user[:, :4])
    assert not item[0, 8:12].any()  # item 0 has no image
    assert item[1, 8:12].any()


def test_a_sigmoid_would_rank_the_same(board):
    model = make(board("text", "image")).eval()
    scores = model.score(torch.arange(12)).detach()
    assert torch.equal(scores.argsort(dim=1), scores.sigmoid().argsort(dim=1))


def test_two_steps_by_the_dense_equations(board, train_pairs):
    graph, batch = board("text", "image"), REPEATED
    model = make(graph)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        main, alignment = dense_losses(model, graph, train_pairs, batch)
        optimizer.zero_grad()
        loss = losses(model, batch)
        assert loss.item() == pytest.approx(main + 0.1 * alignment, rel=1e-6)
        loss.backward()
        optimizer.step()


def test_a_penalty_may_be_asked_for(board):
    model = make(board("text"), reg_weight=0.5)
    rows = model.ego_rows(REPEATED)
    expected = oracles.half_squared_penalty([x.detach() for x in rows])
    assert model.losses(REPEATED)["reg"].item() == pytest.approx(expected)


def test_the_graph_it_asks_for():
    graph = Recipe.build({"model": {"name": "slmrec"}}).graph
    assert (graph.edges, graph.ui_norm) == ((), "sym")


def test_without_features_it_says_so(board):
    with pytest.raises(GraphError, match="slmrec needs item features"):
        make(board())
