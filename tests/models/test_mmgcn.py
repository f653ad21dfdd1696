import numpy as np
import pytest
import torch

from mmgraph.config import Recipe
from mmgraph.data import ModalityFeatures
from mmgraph.errors import GraphError
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.models.mmgcn import MMGCN, MMGCNConfig
from mmgraph.testing import RecommenderContract, checkerboard_dataset, oracles
from mmgraph.testing.contract import board_batch, disturb

EVERYONE = torch.arange(12)
CHOICES = [("text",), ("image",), ("text", "image"), ("text", "image", "sound")]
TABLES = {"user_embedding", "item_embedding", "user_preference"}


class TestMMGCN(RecommenderContract):
    model, options = MMGCN, {"embedding_dim": 16}


class TestAsReleased(RecommenderContract):
    model, options = MMGCN, {"embedding_dim": 8, "preset": "as_released"}


def board(*modalities, **options):
    data = checkerboard_dataset()
    sound = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    known = {**data.features, "sound": ModalityFeatures("sound", sound, np.arange(12) != 3, {})}
    features = {name: known[name] for name in modalities}
    config = GraphConfig(**{"edges": (), "ui_norm": "rw", **options})
    return build_graph(type(data)(**{**vars(data), "features": features}), config)


def make(graph=None, **options):
    torch.manual_seed(0)
    graph = board("text", "image") if graph is None else graph
    return MMGCN(graph, MMGCNConfig(**{"embedding_dim": 4, **options})).double()


def train_pairs():
    train = checkerboard_dataset().train
    return np.stack([train.user, train.item], axis=1)


def weights_of(conv):
    p = {name: value.detach() for name, value in conv.named_parameters()}
    return oracles.MMGCNLayer(
        p["of_neighbours.weight"].T,
        p["output.weight"].T,
        p["output.bias"],
        p["of_self.weight"].T,
        p["of_self.bias"],
    )


@pytest.mark.parametrize("preset", ["paper", "as_released"])
@pytest.mark.parametrize("modalities", CHOICES)
@pytest.mark.parametrize("latent_dim", [0, 2])
def test_encode_equals_the_dense_equations(preset, modalities, latent_dim):
    model = make(board(*modalities), preset=preset, latent_dim=latent_dim).eval()
    disturb(model)
    content = [rows.detach() for rows in model.content().values()]
    assert all(rows.size(1) == (latent_dim or rows.size(1)) for rows in content)
    expected = oracles.mmgcn(
        (model.user_embedding.detach(), model.item_embedding.detach()),
        model.user_preference.detach().split(model.widths, dim=1),
        content,
        [[weights_of(layer) for layer in layers] for layers in model.layers],
        train_pairs(),
        combine="add" if preset == "paper" else "concat",
        mean=preset == "as_released",
    )
    # The graph's weights are float32.
    for found, dense in zip(model.encode(), expected, strict=True):
        np.testing.assert_allclose(found.detach(), dense, rtol=1e-6, atol=1e-6)


def test_ids_and_preferences_learn_unless_released_or_told_otherwise():
    def learned(**options):
        return TABLES & {name for name, _ in make(**options).named_parameters()}

    assert learned() == TABLES
    assert learned(preset="as_released") == learned(trainable_ids=False) == set()
    assert learned(preset="as_released", trainable_ids=True) == TABLES
    # Frozen numbers are random, so they are saved.
    assert set(make(preset="as_released").state_dict()) >= TABLES


def test_frozen_tables_have_no_penalty():
    assert make(reg_weight=0.1).losses(board_batch()).keys() == {"bpr", "reg"}
    assert make(reg_weight=0.1, trainable_ids=False).losses(board_batch()).keys() == {"bpr"}


def test_the_released_depth_and_form_are_other_defaults():
    def shape(**options):
        model = make(**options)
        return {(len(layers), layers[0].combine) for layers in model.layers}

    assert shape() == {(2, "add")}
    assert shape(preset="as_released") == {(3, "concat")}
    assert shape(preset="as_released", num_layers=1, combine="add") == {(1, "add")}


def test_there_are_more_parameters_with_each_layer():
    counts = [sum(p.numel() for p in make(num_layers=n).parameters()) for n in (1, 2, 3)]
    layer = 4 * 4 + 2 * (4 * 4 + 4)
    assert np.diff(counts).tolist() == [2 * layer, 2 * layer]


def test_the_mean_differs_from_the_sum_by_the_number_of_modalities():
    same = {"num_layers": 2, "combine": "add", "trainable_ids": True}
    one, other = make(preset="paper", **same), make(preset="as_released", **same)
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(one.encode().user, 2 * other.encode().user)


def test_an_item_without_a_modality_starts_from_zero_and_hears_its_users():
    graph = board("text", "image")
    model = make(graph).eval()
    assert not model.start()[1][1][0].any()
    before = model.encode().item[0]
    # What stands in its row changes nothing.
    graph["item"].x_image[0] = 7.0
    assert torch.equal(make(graph).eval().encode().item[0], before)
    with torch.no_grad():
        model.user_preference[2, 2:] += 1.0  # user 2 has item 0; columns of the image
    assert not torch.allclose(model.encode().item[0], before)


def test_training_starts_as_worked_out_by_hand():
    model, batch = make(reg_weight=0.1), board_batch()
    user, item = (x.detach().numpy() for x in model.encode())
    positive, negative = ((user[batch.user] * item[rows]).sum(axis=1) for rows in batch[1:3])
    terms = model.losses(batch)
    assert terms["bpr"].item() == pytest.approx(oracles.bpr(positive, negative), rel=1e-12)
    assert model.stages[0].loss_weights == {"reg": 0.1}


def test_the_graph_it_asks_for():
    graph = Recipe.build({"model": {"name": "mmgcn"}}).graph
    assert (graph.edges, graph.ui_norm) == ((), "rw")


def test_without_features_it_says_so():
    with pytest.raises(GraphError, match="mmgcn needs item features"):
        make(board())


@pytest.mark.cuda
def test_a_gpu_gives_the_same():
    model = make().eval()
    expected = model.score(EVERYONE)
    torch.testing.assert_close(model.cuda().score(EVERYONE.cuda()).cpu(), expected)
