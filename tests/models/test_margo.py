import numpy as np
import pytest
import torch

from mmgraph.config import Recipe
from mmgraph.errors import ConfigError, GraphError
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.models.batch import Batch
from mmgraph.models.dragon import DRAGON, DRAGONConfig
from mmgraph.models.margo import MARGO, MARGOConfig
from mmgraph.nn import bpr_loss
from mmgraph.testing import RecommenderContract, checkerboard_dataset, oracles
from mmgraph.testing.contract import board_batch, disturb

EVERYONE = torch.arange(12)
SMALL = {"name": "dragon", "embedding_dim": 4, "hidden_dim": 8}
VBPR = {"name": "vbpr", "embedding_dim": 8, "content_dim": 4}
FACTORISED = [
    SMALL,
    {"name": "vbpr", "embedding_dim": 4, "content_dim": 3},
    {"name": "freedom", "embedding_dim": 4},
    {"name": "lattice", "embedding_dim": 4, "feature_dim": 4, "k": 3},
    {"name": "mm_gef", "embedding_dim": 4, "k": 3},
]


class Weighted(RecommenderContract):
    """Checks of a model whose modalities are weighed from the start, but for those that train."""

    model = MARGO

    def make(self, graph=None, **changes):
        model = super().make(graph, **changes)
        model.on_stage(model.stages[-1])
        return model


class TestOnDRAGON(Weighted):
    # Without stops, or the slope of the loss would not be its gradient.
    options = {"backbone": {**SMALL, "embedding_dim": 8, "hidden_dim": 16}, "detach": False}  # noqa: RUF012


class TestOnVBPR(Weighted):
    options = {"backbone": VBPR, "two_stage": False, "detach": False, "kl_target": "sum"}  # noqa: RUF012


class TestFirstStage(RecommenderContract):
    model, options = MARGO, {"backbone": VBPR, "weighting": False}


def board(*modalities, present=None):
    """The checkerboard with some modalities; ``present`` replaces who has them."""
    data = checkerboard_dataset()
    features = {}
    for name in modalities or ("text", "image"):
        has = (present or {}).get(name, data.features[name].present)
        x = np.where(has[:, None], data.features[name].x + 0.1, 0).astype(np.float32)
        features[name] = type(data.features[name])(name, x, np.asarray(has), {})
    options = GraphConfig(k=3, co_user_top_k=4, co_normalize="none")
    return build_graph(type(data)(**{**vars(data), "features": features}), options)


def make(graph=None, *, stage=None, seed=0, **options):
    torch.manual_seed(seed)
    graph = board() if graph is None else graph
    model = MARGO(graph, MARGOConfig(**{"backbone": SMALL, **options})).double()
    if stage is not None:
        model.on_stage(model.stages[stage])
    return model


def parts_of(model):
    """Users and items of the backbone, one pair of matrices for each modality."""
    parts = model.backbone.modality_embeddings().values()
    return [part.user.detach() for part in parts], [part.item.detach() for part in parts]


@pytest.mark.parametrize("backbone", FACTORISED, ids=lambda table: table["name"])
@pytest.mark.parametrize("modalities", [("text",), ("image", "text")])
@pytest.mark.parametrize("absent", ["weighed", "left_out"])
def test_scores_and_losses_equal_the_oracle(backbone, modalities, absent):
    graph = board(*modalities)
    model = make(graph, backbone=backbone, stage=1, tau=0.5, absent=absent).eval()
    everywhere = all(graph["item"][f"has_{name}"].all() for name in modalities)
    disturb(model)
    users, items = parts_of(model)
    logits, present = torch.zeros(12, 1), torch.ones(12, 1, dtype=torch.bool)
    assert (model.trust is None) == (len(modalities) == 1)
    if model.trust is not None:
        logits, present = model.trust.item_logits.detach(), model.trust.present
        assert bool(present.all()) == (absent == "weighed" or everywhere)
    weights = oracles.margo_weights(logits, present)
    expected = oracles.margo_scores(users, items, weights)
    np.testing.assert_allclose(model.score(EVERYONE).detach(), expected, rtol=1e-9, atol=1e-12)

    batch = board_batch()
    triples = np.stack([column.numpy() for column in batch[:3]], axis=1)
    terms = model.losses(batch)
    u, i, k = triples.T
    assert terms["bpr"].item() == pytest.approx(
        oracles.bpr(expected[u, i], expected[u, k]), rel=1e-9
    )
    calibration = oracles.margo_calibration(users, items, logits, triples, tau=0.5, present=present)
    if model.trust is None:
        assert calibration.max() == pytest.approx(0, abs=1e-15)
        assert "calibration" not in terms
    else:
        assert calibration.max() > 0
        assert terms["calibration"].item() == pytest.approx(calibration.mean(), rel=1e-8)
    own = model.backbone.penalties(batch, model.backbone.batch_rows(batch))
    assert {name: x.item() for name, x in own.items()} == pytest.approx(
        {name: x.item() for name, x in terms.items() if name not in ("bpr", "calibration")}
    )


@pytest.mark.parametrize("depths", [(2, 1, 1), (1, 2, 2)])
def test_the_first_stage_scores_as_dragon_without_user_weights(depths):
    depth = dict(zip(("num_layers", "num_user_layers", "num_item_layers"), depths, strict=True))
    torch.manual_seed(0)
    plain = DRAGON(board(), DRAGONConfig(**SMALL, **depth, user_weights=False)).double().eval()
    model = make(backbone={**SMALL, **depth}, stage=0).eval()
    model.backbone.load_state_dict(plain.state_dict())
    assert torch.equal(model.score(EVERYONE), plain.score(EVERYONE))
    batch = board_batch()
    expected = bpr_loss(*plain.batch_rows(batch).scores())
    torch.testing.assert_close(model.losses(batch)["bpr"], expected, rtol=1e-12, atol=0)
    assert set(model.losses(batch)) == {"bpr", "reg"}


def test_zero_logits_divide_the_plain_sum_by_the_number_of_modalities():
    """The second stage begins with the ranking of the first one, whoever lacks what."""
    model = make(weight_std=0.0, stage=0).eval()
    plain = model.score(EVERYONE)
    model.on_stage(model.stages[1])
    torch.testing.assert_close(model.score(EVERYONE), plain / 2, rtol=1e-14, atol=0)
    assert torch.equal(model.score(EVERYONE).argsort(stable=True), plain.argsort(stable=True))
    scaled = make(weight_std=0.0, weight_scale=True, stage=1).eval()
    torch.testing.assert_close(scaled.score(EVERYONE), plain, rtol=1e-14, atol=0)
    left_out = make(weight_std=0.0, absent="left_out", stage=1).eval().score(EVERYONE)
    assert (left_out - plain / 2).abs().max() > 1e-3


@pytest.mark.parametrize("weight_scale", [False, True])
def test_scores_of_a_batch_are_those_of_the_ranking(weight_scale):
    """Folded into the items, in the rows of a batch, and as the sum over the modalities."""
    model = make(stage=1, weight_scale=weight_scale, tau=0.5).eval()
    disturb(model)
    batch = board_batch()
    found = model.batch_rows(batch).scores()
    scores = model.score(EVERYONE)
    explicit = sum(
        weight * (part.user @ part.item.T)
        for weight, part in zip(
            model.modality_weights().values(),
            model.backbone.modality_embeddings().values(),
            strict=True,
        )
    )
    torch.testing.assert_close(scores, explicit * (2 if weight_scale else 1), rtol=1e-9, atol=0)
    for rows, items in zip(found, batch[1:3], strict=True):
        torch.testing.assert_close(rows, scores[batch.user, items], rtol=1e-9, atol=1e-12)
    terms = model.losses(batch)
    torch.testing.assert_close(terms["bpr"], bpr_loss(*found), rtol=1e-9, atol=0)
    users, items = parts_of(model)
    expected = oracles.margo_calibration(
        users,
        items,
        model.trust.item_logits.detach(),
        np.stack([x.numpy() for x in batch[:3]], axis=1),
        tau=0.5,
        present=model.trust.present,
        score_scale=2 if weight_scale else 1,
    )
    assert terms["calibration"].item() == pytest.approx(expected.mean(), rel=1e-8)
    total = sum(part.user @ part.item.T for part in model.modality_embeddings().values())
    torch.testing.assert_close(total, scores, rtol=1e-12, atol=1e-12)


def test_with_one_modality_both_stages_score_the_same_and_nothing_is_weighed():
    model = make(board("text"), stage=0).eval()
    plain = model.score(EVERYONE)
    first, second = model.stages
    model.on_stage(second)
    assert torch.equal(model.score(EVERYONE), plain)
    assert set(model.losses(board_batch())) == {"bpr", "reg"}
    assert second.loss_weights == first.loss_weights
    assert model.modality_weights() == {}
    assert all(name.startswith("backbone.") for name, _ in model.named_parameters())


def test_a_missing_modality_can_be_left_out_and_the_others_count_all():
    """Item 3 lacks the image, item 5 both."""
    image, text = np.ones(12, bool), np.ones(12, bool)
    image[[3, 5]], text[5] = False, False
    graph = board(present={"text": text, "image": image})
    model = make(graph, stage=1, absent="left_out").eval()
    disturb(model)
    weights = model.modality_weights()
    torch.testing.assert_close(sum(weights.values()), torch.ones(12).double())
    assert (weights["text"][3].item(), weights["image"][3].item()) == (1.0, 0.0)
    assert 0 < weights["image"][5].item() < 1
    scores = {
        name: part.user @ part.item.T for name, part in model.backbone.modality_embeddings().items()
    }
    torch.testing.assert_close(model.score(EVERYONE)[:, 3], scores["text"][:, 3])
    assert scores["image"][:, 3].abs().max() > 0  # what users of the item say of it is left out
    assert (model.modality_embeddings()["image"].item[3] == 0).all()


def test_calibration_reaches_the_weights_of_the_batch_alone():
    model = make(stage=1, tau=0.5).train()
    disturb(model)
    # No item twice, and some triples in the right order only.
    batch = Batch(*torch.tensor([[0, 1, 2, 3], [0, 1, 6, 7], [4, 5, 2, 3]]))
    model.losses(batch)["calibration"].backward()
    for name, parameter in model.backbone.named_parameters():
        assert parameter.grad is None or not parameter.grad.any(), name
    scores = model.eval().score(EVERYONE)
    sure = scores[batch.user, batch.positive] > scores[batch.user, batch.negative]
    both = (model.trust.present[batch.positive] & model.trust.present[batch.negative]).all(dim=1)
    expected = torch.zeros(12, dtype=torch.bool)
    for row in (sure & both).nonzero():
        expected[batch.positive[row]] = expected[batch.negative[row]] = True
    assert torch.equal(model.trust.item_logits.grad.any(dim=1), expected)
    assert 0 < int(expected.sum()) < 8


@pytest.mark.parametrize("weighted", [False, True])
def test_saved_weights_say_whether_modalities_are_weighed(weighted):
    model = make(stage=int(weighted))
    other = make(seed=1, stage=int(not weighted)).eval()
    other.load_state_dict(model.state_dict())
    assert other.weighted == weighted
    assert torch.equal(other.score(EVERYONE), model.eval().score(EVERYONE))


def test_defaults_of_the_backbone_for_late_fusion():
    backbone = MARGOConfig().backbone
    assert (backbone.name, backbone.reg_weight) == ("dragon", 0.1)
    assert (backbone.user_weights, backbone.bpr_base) == (False, "e")
    chosen = MARGOConfig(backbone={"name": "dragon", "user_weights": True, "reg_weight": 0.5})
    assert (chosen.backbone.user_weights, chosen.backbone.reg_weight) == (True, 0.5)
    assert MARGOConfig(backbone="vbpr").backbone.reg_weight == 0.01


def test_the_base_of_the_backbones_criterion_counts():
    one, two = (make(stage=1, backbone={**SMALL, "bpr_base": base}) for base in ("e", "2"))
    batch = board_batch()
    ratio = two.losses(batch)["bpr"] / one.losses(batch)["bpr"]
    assert ratio.item() == pytest.approx(1 / np.log(2))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"alpha": -0.1}, r"model.alpha: .*greater than or equal to 0 \(got -0.1\)"),
        ({"tau": 0}, r"model.tau: .*greater than 0 \(got 0\)"),
        ({"tau": "inf"}, "model.tau: "),
        ({"kl_target": "max"}, "model.kl_target: "),
        ({"first_epochs": 0}, r"first_epochs must be at least 1 \(got 0\).*two_stage = false"),
        ({"second_epochs": 0}, r"second_epochs must be at least 1 \(got 0\).*weighting = false"),
        ({"beta": 1.0}, r"unknown key 'model.beta'"),
        ({"backbone": "lightgcn"}, r"must be a model that reads item features \(got 'lightgcn'\)"),
        ({"backbone": "margo"}, r"got 'margo', which wraps one"),
        ({"backbone": "cb"}, r"got 'cb', which"),
        ({"backbone": {"name": "dragon", "layers": 1}}, r"unknown key 'model.backbone.layers'"),
    ],
)
def test_bad_values_are_refused_in_one_line(table, message):
    with pytest.raises(ConfigError, match=message) as error:
        Recipe.build({"model": {"name": "margo", **table}})
    assert "\n" not in str(error.value)


def test_the_graph_is_what_the_backbone_asks_for():
    graph = Recipe.build({"model": {"name": "margo"}}).graph
    assert graph.edges == ("knn", "co_user")
    assert (graph.include_self, graph.co_user_top_k) == (True, 40)
    assert Recipe.build({"model": {"name": "margo", "backbone": "vbpr"}}).graph.edges == ()


def test_without_features_it_says_so():
    graph = board()
    for name in ("text", "image"):
        del graph["item"][f"x_{name}"]
    for backbone in (SMALL, VBPR):
        with pytest.raises(GraphError, match="needs item features"):
            make(graph, backbone=backbone)
