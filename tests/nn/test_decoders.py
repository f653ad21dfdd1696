"""Features told from vectors, and the distance from what they are."""

import pytest
import torch
import torch.nn.functional as F

from mmgraph.nn import (
    ModalityDecoder,
    ModalityDecoders,
    ModalityEncoder,
    ModalityEncoders,
    projection,
)
from mmgraph.testing import oracles

ROWS = torch.tensor([7, 0, 3, 5])


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def decoder(relu):
    made = ModalityDecoder(3, 6, relu=relu).double()
    with torch.no_grad():
        made.linear.bias.copy_(draw(6, seed=3))
    return made


@pytest.mark.parametrize("chunk", [1, 13, 2**20])
@pytest.mark.parametrize("relu", [False, True])
def test_distance_equals_decoding_and_subtracting(relu, chunk, monkeypatch) -> None:
    monkeypatch.setattr(projection, "_CHUNK", chunk)
    x, hidden, first, second = draw(9, 6), draw(4, 3, seed=1), decoder(relu), decoder(relu)
    second.load_state_dict(first.state_dict())
    one, two = hidden.clone().requires_grad_(), hidden.clone().requires_grad_()
    found, expected = (
        first.distance(one, x, ROWS),
        F.l1_loss(second(two), x[ROWS], reduction="sum"),
    )
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=0)
    (3 * found).backward()
    (3 * expected).backward()
    torch.testing.assert_close(one.grad, two.grad, rtol=1e-12, atol=1e-13)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-12, atol=1e-13)


def test_distance_under_autocast_is_computed_in_its_precision() -> None:
    x, hidden, made = draw(9, 6).float(), draw(4, 3, seed=1).float(), decoder(False).float()
    hidden.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = made.distance(hidden, x, ROWS)
    assert found.dtype == torch.float32
    found.backward()
    expected = F.l1_loss(made(hidden), x[ROWS], reduction="sum")
    assert found.item() == pytest.approx(expected.item(), rel=0.02)
    assert found.item() != expected.item()
    assert (hidden.grad.dtype, made.linear.weight.grad.dtype) == (torch.float32, torch.float32)


def test_without_gradients_the_distance_is_the_same() -> None:
    x, hidden, made = draw(9, 6), draw(4, 3, seed=1), decoder(True)
    with torch.no_grad():
        quiet = made.distance(hidden, x, ROWS)
    assert torch.equal(quiet, made.distance(hidden, x, ROWS).detach())


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("relu", [False, True])
def test_the_loss_equals_the_sum_over_items_and_columns(relu, reduction) -> None:
    widths = {"text": 5, "image": 2, "sound": 7}
    masks = {"text": draw(9) > -9, "image": draw(9, seed=4) > 0, "sound": draw(9, seed=5) > 9}
    features = {name: (draw(9, width, seed=width), masks[name]) for name, width in widths.items()}
    encoders = ModalityEncoders(features, lambda width: ModalityEncoder(width, 3)).double()
    made = ModalityDecoders(encoders, 3, relu=relu, reduction=reduction).double()
    encoded = encoders(ROWS)
    expected = 0.0
    for name, one in zip(widths, made.decoders, strict=True):
        affine = one.linear.weight.detach().numpy(), one.linear.bias.detach().numpy()
        expected += oracles.mario_preservation(
            encoded[name].detach().numpy(),
            features[name][0][ROWS],
            masks[name][ROWS].tolist(),
            decoder=affine,
            relu=relu,
            reduction=reduction,
        )
    found = made(encoded, ROWS, encoders)
    assert found.item() == pytest.approx(expected, rel=1e-12)
    found.backward()
    # The encoder is what must preserve, so it learns; nobody has sound, so nothing is learned about it.
    learned = [bool(encoder.linear.weight.grad.any()) for encoder in encoders.encoders]
    assert learned == [True, True, False]
