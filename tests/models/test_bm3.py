from typing import ClassVar

import numpy as np
import pytest
import torch

from mmgraph.errors import GraphError
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.models.batch import Batch
from mmgraph.models.bm3 import BM3, BM3Config
from mmgraph.nn import cosine_loss
from mmgraph.testing import RecommenderContract, checkerboard_dataset, checkerboard_graph, oracles
from mmgraph.testing.contract import board_batch, disturb, losses

# The penalty is divided by the number of items, here 12: with the default weight it outweighs the rest.
SMALL = {"embedding_dim": 8, "reg_weight": 0.01}
# User 3 and item 0, which has no image, occur twice.
BATCH = Batch(torch.tensor([1, 3, 3, 5]), torch.tensor([0, 0, 5, 7]), torch.tensor([4, 6, 2, 2]))


class HeldBM3(BM3):
    """BM3 whose targets stay those of its first losses, as they do for a gradient."""

    def losses(self, batch):
        self.held = getattr(self, "held", [])
        self.asked = 0
        return super().losses(batch)

    def _views(self, rows, places):
        online, target = super()._views(rows, places)
        if self.asked == len(self.held):
            self.held.append(target)
        self.asked += 1
        return online, self.held[self.asked - 1]


class BM3Contract(RecommenderContract):
    """The contract, with slopes of the loss as its gradient sees it: targets are constants."""

    model = BM3

    def test_gradients_equal_finite_differences(self):
        held = {"model": HeldBM3, "options": self.options}
        type("Held", (RecommenderContract,), held)().test_gradients_equal_finite_differences()


class TestBM3(BM3Contract):
    options: ClassVar = SMALL


class TestAsReleased(BM3Contract):
    options: ClassVar = {**SMALL, "num_layers": 2, "preset": "as_released"}


class TestWithoutContent(BM3Contract):
    options: ClassVar = {"embedding_dim": 8, "cl_weight": 0.0, "reg_weight": 0.0}


def make(graph=None, **options):
    torch.manual_seed(0)
    graph = checkerboard_graph() if graph is None else graph
    return BM3(graph, BM3Config(**{"embedding_dim": 4, **options})).double()


def board(*modalities):
    data = checkerboard_dataset()
    features = {name: data.features[name] for name in modalities if name != "audio"}
    if "audio" in modalities:
        text = data.features["text"]
        features["audio"] = type(text)("audio", text.x[:, ::-1].copy(), text.present, {})
    return build_graph(type(data)(**{**vars(data), "features": features}), GraphConfig(edges=()))


def train_pairs():
    train = checkerboard_dataset().train
    return np.stack([train.user, train.item], axis=1)


def dense(model):
    tables = model.user_embedding.detach(), model.item_embedding.detach()
    predictor = model.predictor.weight.detach(), model.predictor.bias.detach()
    return oracles.bm3(*tables, predictor, train_pairs(), num_layers=model.config.num_layers)


@pytest.mark.parametrize("modalities", [("text",), ("image",), ("text", "image", "audio")])
def test_any_set_of_modalities(modalities):
    model = make(board(*modalities))
    losses(model, board_batch()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert len(model.content.encoders) == len(modalities)


def test_without_features_it_says_so():
    with pytest.raises(GraphError, match="needs item features"):
        make(board())


@pytest.mark.parametrize("num_layers", [0, 1, 3])
def test_encode_equals_the_dense_equations(num_layers):
    model = make(num_layers=num_layers).eval()
    disturb(model)
    for found, expected in zip(model.encode(), dense(model)[2:], strict=True):
        np.testing.assert_allclose(found.detach(), expected, rtol=1e-5, atol=1e-6)


def test_without_layers_items_are_their_ids_twice():
    model = make(num_layers=0)
    user, item = model._state()
    assert torch.equal(user, model.user_embedding)
    assert torch.equal(item, 2 * model.item_embedding)


@pytest.mark.parametrize("preset", ["paper", "as_released"])
def test_losses_equal_the_equations(preset):
    """Pairs whose item lacks a modality are left out of its terms; pairs that occur twice count twice."""
    model = make(dropout=0.0, preset=preset)
    disturb(model)
    user, item, user_online, item_online = dense(model)
    u, i = BATCH.user.numpy(), BATCH.positive.numpy()
    rec = oracles.bm3_distance(user_online[u], item[i]) + oracles.bm3_distance(
        item_online[i], user[u]
    )
    weight, bias = (x.detach().numpy() for x in (model.predictor.weight, model.predictor.bias))
    align = mask = 0.0
    for name, rows in model.content().items():
        own = rows.detach().numpy()
        known = [j for j in i.tolist() if name == "text" or j != 0]
        online = own[known] @ weight.T + bias
        align += oracles.bm3_distance(online, item[known])
        mask += oracles.bm3_distance(online, own[known])
    reg = (np.linalg.norm(user) + np.linalg.norm(item)) / 12
    terms = {name: term.item() for name, term in model.losses(BATCH).items()}
    expected = {"rec": rec, "align": align, "mask": mask, "reg": reg}
    assert terms == pytest.approx(expected, rel=1e-6)
    assert model.stages[0].loss_weights == {"align": 2.0, "mask": 2.0, "reg": 0.1}


def test_the_penalty_is_divided_by_the_number_of_items():
    data = checkerboard_dataset()
    fewer = data.train.user < 5
    train = type(data.train)(data.train.user[fewer], data.train.item[fewer])
    users = type(data.users)(list(data.users.ids[:5]))
    small = type(data)(**{**vars(data), "users": users, "train": train, "test": train})
    model = make(build_graph(small, GraphConfig(edges=())))
    user, item = model._state()
    batch = Batch(*torch.tensor([[0, 1], [2, 3], [4, 5]]))
    expected = (user.norm() + item.norm()) / 12
    torch.testing.assert_close(model.losses(batch)["reg"], expected)


def test_without_predictor_and_dropout_users_and_items_predict_each_other_equally():
    """Then mask is 0 and rec is twice one less the mean cosine."""
    model = make(dropout=0.0)
    with torch.no_grad():
        model.predictor.weight.copy_(torch.eye(4))
        model.predictor.bias.zero_()
    user, item = model._state()
    terms = model.losses(BATCH)
    cosine = torch.cosine_similarity(user[BATCH.user], item[BATCH.positive]).mean()
    torch.testing.assert_close(terms["rec"], 2 * (1 - cosine), rtol=1e-12, atol=1e-14)
    assert terms["mask"].item() == pytest.approx(0, abs=1e-14)


def test_terms_lie_between_0_and_2_a_modality():
    model = make().train()
    for seed in range(5):
        torch.manual_seed(seed)
        terms = model.losses(board_batch())
        assert all(0 <= terms[name].item() <= 4 for name in ("rec", "align", "mask"))


def test_the_size_of_users_does_not_matter_without_a_bias(monkeypatch):
    model = make(dropout=0.0)
    with torch.no_grad():
        model.predictor.bias.zero_()
    before = model.losses(BATCH)["rec"]
    smooth = model._state()
    monkeypatch.setattr(model, "_state", lambda: smooth._replace(user=7 * smooth.user))
    torch.testing.assert_close(model.losses(BATCH)["rec"], before, rtol=1e-12, atol=1e-14)


def test_targets_get_no_gradient():
    """A user's row learns from its own predictions alone: the others are constants."""
    model = make(dropout=0.0, reg_weight=0.0, cl_weight=0.0, num_layers=0)
    with torch.no_grad():
        _, fixed = model._state()
    model.losses(BATCH)["rec"].backward()
    own = model.user_embedding.detach().clone().requires_grad_()
    online = model.predictor(own)[BATCH.user]
    cosine_loss(online, fixed[BATCH.positive]).backward()
    torch.testing.assert_close(model.user_embedding.grad, own.grad, rtol=1e-12, atol=1e-14)


def test_negative_items_play_no_part():
    model, other = make().train(), BATCH._replace(negative=BATCH.negative.flip(0) + 1)
    values = []
    for batch in (BATCH, other):
        torch.manual_seed(5)
        values.append({name: term.item() for name, term in model.losses(batch).items()})
    assert values[0] == values[1]


@pytest.mark.parametrize("preset", ["paper", "as_released"])
def test_projecting_the_batchs_items_equals_projecting_all(preset):
    model = make(dropout=0.0, preset=preset, reg_weight=0.0)
    disturb(model)
    losses(model, BATCH).backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    user, item = model._state()
    i, has = BATCH.positive, model.content.has(BATCH.positive)
    total = cosine_loss(model.predictor(user)[BATCH.user], item[i])
    total = total + cosine_loss(model.predictor(item)[i], user[BATCH.user])
    for name, rows in model.content().items():
        online = model.predictor(rows)[i]
        total = total + 2 * cosine_loss(online, item[i], has[name])
        total = total + 2 * cosine_loss(online, rows[i], has[name])
    total.backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-9, atol=1e-12)


def test_each_item_is_projected_once_and_only_those_of_the_batch():
    model, seen = make(), []
    for encoder in model.content.encoders:
        encoder.register_forward_pre_hook(lambda module, given: seen.append(given[1].tolist()))
    model.losses(BATCH)
    assert seen == [[0, 5, 7]] * 2


def test_the_presets_differ_in_what_is_trained_and_start_equal():
    paper, released = make(), make(preset="as_released")
    own, more = ({name for name, _ in m.named_parameters()} for m in (paper, released))
    assert more - own == {"content.features.item_0", "content.features.item_1"}
    assert {name for name, _ in make(train_features=True).named_parameters()} == more
    for name, rows in released.content().items():
        torch.testing.assert_close(rows, paper.content()[name])
    losses(released, BATCH).backward()
    # Item 0 has no image, items 0, 5 and 7 are in the batch.
    changed = [t.grad.any(dim=1).nonzero().squeeze(1).tolist() for t in released.content.features]
    assert changed == [[0, 5, 7], [5, 7]]


def test_dropout_is_of_training_only_and_one_view_a_step():
    model = make(dropout=0.5)
    twice = Batch(*torch.tensor([[1, 1], [3, 3], [0, 0]]))
    once = Batch(*torch.tensor([[1], [3], [0]]))
    values = []
    for batch in (once, twice):
        torch.manual_seed(3)
        values.append(model.train().losses(batch)["rec"].item())
    assert values[0] == pytest.approx(values[1], rel=1e-12)
    still = [model.eval().losses(BATCH)["rec"].item() for _ in range(2)]
    assert still[0] == still[1] == make(dropout=0.0).losses(BATCH)["rec"].item()


def test_another_criterion_takes_the_terms_on_content_along():
    model = make().eval()
    terms = model.losses(BATCH)
    others = model.penalties(BATCH, model.batch_rows(BATCH))
    assert list(others) == ["align", "mask", "reg"]
    assert all(torch.equal(others[name], terms[name]) for name in others)


@pytest.mark.cuda
def test_a_gpu_computes_the_same():
    model = make().eval()
    there = make().eval().to("cuda")
    batch = Batch(*(x.to("cuda") for x in BATCH[:3]))
    for name, term in model.losses(BATCH).items():
        torch.testing.assert_close(there.losses(batch)[name].cpu(), term)
    torch.testing.assert_close(there.encode().item.cpu(), model.encode().item)
