"""Id tables and affine encoders, and the distributions they start from."""

import math

import pytest
import torch

from mmgraph.nn import ModalityEncoder, ModalityEncoders, id_embedding


def test_a_table_is_a_parameter_of_float32() -> None:
    table = id_embedding(5, 3)
    assert isinstance(table, torch.nn.Parameter)
    assert table.requires_grad
    assert (table.shape, table.dtype) == ((5, 3), torch.float32)


@pytest.mark.parametrize(
    ("init", "std"),
    [
        ("normal0.1", 0.1),
        ("xavier_normal", math.sqrt(2 / (4000 + 64))),
        ("xavier_uniform", math.sqrt(2 / (4000 + 64))),
    ],
)
def test_tables_start_with_the_spread_of_their_name(init: str, std: float) -> None:
    table = id_embedding(4000, 64, init=init)
    # 256,000 draws: the relative error of the spread is about 0.0014.
    assert table.std().item() == pytest.approx(std, rel=0.01)
    assert table.mean().item() == pytest.approx(0, abs=5 * std / 500)


def test_only_the_uniform_table_is_bounded() -> None:
    bound = math.sqrt(6 / (4000 + 64))
    assert id_embedding(4000, 64, init="xavier_uniform").abs().max() <= bound
    assert id_embedding(4000, 64, init="xavier_normal").abs().max() > bound


def test_the_default_is_xavier_uniform() -> None:
    torch.manual_seed(3)
    default = id_embedding(6, 2)
    torch.manual_seed(3)
    assert torch.equal(default, id_embedding(6, 2, init="xavier_uniform"))


def test_an_encoder_is_one_affine_layer() -> None:
    encoder = ModalityEncoder(3, 2).double()
    with torch.no_grad():
        encoder.linear.bias.copy_(torch.tensor([1.0, -2.0]))
    x = torch.randn(4, 3, dtype=torch.float64)
    expected = x @ encoder.linear.weight.T + torch.tensor([1.0, -2.0], dtype=torch.float64)
    torch.testing.assert_close(encoder(x), expected, rtol=1e-12, atol=1e-12)
    assert {name for name, _ in encoder.named_parameters()} == {"linear.weight", "linear.bias"}


def test_an_encoder_starts_xavier_uniform_without_bias() -> None:
    encoder = ModalityEncoder(300, 50)
    bound = math.sqrt(6 / 350)
    assert encoder.linear.bias.tolist() == [0.0] * 50
    # torch's own start would be bounded by 1 / sqrt(300), less than half of this.
    assert 0.95 * bound < encoder.linear.weight.abs().max().item() <= bound


def two_modalities() -> ModalityEncoders:
    torch.manual_seed(0)
    image, text = torch.randn(4, 3), torch.randn(4, 5)
    image[2] = torch.nan  # absent rows may hold anything
    everywhere, but_two = torch.ones(4, dtype=torch.bool), torch.arange(4) != 2
    features = {"image": (image, but_two), "text": (text, everywhere)}
    return ModalityEncoders(features, lambda width: ModalityEncoder(width, 2))


def test_encoding_some_rows_equals_the_rows_of_encoding_all() -> None:
    encoders, items = two_modalities(), torch.tensor([3, 2, 0])
    some, every = encoders(items), encoders()
    assert list(some) == ["image", "text"]
    for name in some:
        torch.testing.assert_close(some[name], every[name][items])
        assert every[name].isfinite().all()
    assert not every["image"][2].any()
    assert every["text"][2].any()
    assert {name: mask.tolist() for name, mask in encoders.has(items).items()} == {
        "image": [True, False, True],
        "text": [True, True, True],
    }


def test_features_of_a_modality_are_constant_and_their_encoder_learns() -> None:
    encoders = two_modalities()
    encoders()["image"].sum().backward()
    first, second = encoders.encoders
    assert first.linear.weight.grad.isfinite().all()
    assert first.linear.bias.grad.tolist() == [3.0, 3.0]  # three items have an image
    assert second.linear.weight.grad is None
    assert not [buffer for buffer in encoders.buffers() if buffer.requires_grad]
    assert set(encoders.state_dict()) == {name for name, _ in encoders.named_parameters()}


def test_a_second_layer_comes_after_a_leaky_rectifier() -> None:
    encoder, x = ModalityEncoder(3, 2, hidden_dim=5).double(), torch.randn(4, 3).double()
    first, second = encoder.linear, encoder.output
    inside = x @ first.weight.T
    expected = torch.where(inside > 0, inside, 0.01 * inside) @ second.weight.T
    torch.testing.assert_close(encoder(x), expected, rtol=1e-12, atol=1e-12)
    rows = torch.tensor([2, 0])
    torch.testing.assert_close(encoder(x, rows), expected[rows], rtol=1e-12, atol=1e-12)


def test_features_may_be_trained_and_an_absent_row_stays_what_it_is() -> None:
    x, has = torch.randn(4, 3), torch.tensor([True, True, False, True])
    frozen, trained = (
        ModalityEncoders({"text": (x, has)}, lambda w: ModalityEncoder(w, 2), trainable=choice)
        for choice in (False, True)
    )
    trained.encoders.load_state_dict(frozen.encoders.state_dict())
    items = torch.tensor([2, 3])
    for rows in (None, items):
        torch.testing.assert_close(trained(rows)["text"], frozen(rows)["text"])
    trained(items)["text"].sum().backward()
    table = dict(trained.named_parameters())["features.item_0"]
    assert table.grad.any(dim=1).tolist() == [False, False, False, True]
    assert not any("features" in name for name, _ in frozen.named_parameters())


@pytest.mark.parametrize("own", [True, False], ids=["ModalityEncoder", "another"])
def test_of_a_rare_modality_only_the_items_that_have_it_are_encoded(own: bool) -> None:
    """Rows and gradients as if all were encoded and the absent ones put to zero."""
    x, has = torch.randn(10, 4, dtype=torch.float64), torch.arange(10) % 3 == 0
    x[~has] = float("nan")
    encoder = ModalityEncoder(4, 2).double() if own else torch.nn.Linear(4, 2).double()
    seen = []
    encoder.register_forward_hook(lambda *step: seen.append(len(step[2])))
    encoders = ModalityEncoders({"text": (x, has)}, lambda width: encoder)
    weight, bias = encoders.parameters()
    found = encoders()["text"]
    expected = torch.where(has[:, None], x.nan_to_num() @ weight.T + bias, 0.0)
    torch.testing.assert_close(found, expected)
    pull = torch.randn(10, 2, dtype=torch.float64)
    for one, other in zip(
        torch.autograd.grad((found * pull).sum(), (weight, bias)),
        torch.autograd.grad((expected * pull).sum(), (weight, bias)),
        strict=True,
    ):
        torch.testing.assert_close(one, other)
    assert seen == [int(has.sum())]
