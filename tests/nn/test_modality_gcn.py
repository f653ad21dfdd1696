"""The propagation of all modalities at once against one propagation for each, and what is propagated."""

import numpy as np
import pytest
import torch

from mmgraph.nn import ModalityUserItemGCN, UserItemPropagation, normalize_rows, weigh_blocks
from mmgraph.testing.kernels import adjacency_of


def features() -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(3)
    text = torch.randn(4, 3, generator=generator).double()
    image = torch.randn(4, 5, generator=generator).double()
    everywhere, but_one = torch.ones(4, dtype=torch.bool), torch.arange(4) != 1
    return {"text": (text, everywhere), "image": (image, but_one)}


def joint():
    interactions = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 0.0]]).double()
    dense = torch.zeros(6, 6).double()
    dense[:2, 2:], dense[2:, :2] = interactions, interactions.T
    return adjacency_of(dense)


def make(names=("text", "image"), num_layers=2, **options) -> ModalityUserItemGCN:
    torch.manual_seed(0)
    chosen = {name: features()[name] for name in names}
    sizes = {"num_users": 2, "dim": 4, "hidden_dim": 6, "num_layers": num_layers}
    return ModalityUserItemGCN(chosen, joint(), **sizes, **options).double()


@pytest.mark.parametrize("output_bias", [True, False])
def test_content_is_two_affine_layers_of_the_features_an_item_has(output_bias: bool) -> None:
    gcn = make(output_bias=output_bias)
    state = {name: value.numpy() for name, value in gcn.content.state_dict().items()}
    for m, (name, (x, has)) in enumerate(features().items()):
        first, second = (state[f"encoders.{m}.{layer}.weight"] for layer in (0, 2))
        hidden = x.numpy() @ first.T + state[f"encoders.{m}.0.bias"]
        hidden = np.where(hidden > 0, hidden, 0.01 * hidden)
        expected = hidden @ second.T
        if output_bias:
            expected = expected + state[f"encoders.{m}.2.bias"]
        expected[~has.numpy()] = 0
        found = gcn.content()[name].detach()
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_columns_of_a_modality_are_its_own_propagation() -> None:
    gcn = make()
    user, item = gcn()
    plain = UserItemPropagation(joint(), num_layers=2, combine="sum")
    for m, encoded in enumerate(gcn.content().values()):
        columns = slice(4 * m, 4 * m + 4)
        start = normalize_rows(gcn.user_preference[:, columns]), normalize_rows(encoded)
        for found, expected in zip((user, item), plain(*start), strict=True):
            torch.testing.assert_close(found[:, columns], expected, rtol=1e-12, atol=1e-14)


def test_an_item_without_a_modality_receives_only_from_its_users() -> None:
    _, start = make(num_layers=0)()
    assert not start[1, 4:].any()
    _, after = make(num_layers=1)()
    assert after[1, 4:].any()


def test_every_parameter_learns() -> None:
    gcn = make()
    sum(part.square().sum() for part in gcn()).backward()
    assert all(parameter.grad.any() for parameter in gcn.parameters())


def test_further_blocks_stand_last_and_change_no_other() -> None:
    gcn, rows = make(extra_blocks=1), torch.randn(4, 4).double()
    user, item = gcn(rows)
    plain = make()
    with torch.no_grad():
        plain.user_preference.copy_(gcn.user_preference[:, :8])
    plain.content.load_state_dict(gcn.content.state_dict())
    for found, expected in zip((user, item), plain(), strict=True):
        torch.testing.assert_close(found[:, :8], expected, rtol=1e-14, atol=0)
    start = normalize_rows(gcn.user_preference[:, 8:]), normalize_rows(rows)
    propagation = UserItemPropagation(joint(), num_layers=2, combine="sum")
    for found, expected in zip((user, item), propagation(*start), strict=True):
        torch.testing.assert_close(found[:, 8:], expected, rtol=1e-12, atol=1e-14)


def test_the_last_layer_of_an_encoder_may_have_no_bias() -> None:
    names = {name for name, _ in make(("text",), output_bias=False).named_parameters()}
    others = {name for name, _ in make(("text",)).named_parameters()}
    assert others - names == {"content.encoders.0.2.bias"}


def test_weights_multiply_the_columns_of_their_blocks() -> None:
    x, weights = torch.randn(5, 6).double(), torch.randn(5, 3).double()
    found = weigh_blocks(x, weights)
    for block in range(3):
        columns = slice(2 * block, 2 * block + 2)
        assert torch.equal(found[:, columns], x[:, columns] * weights[:, block : block + 1])
