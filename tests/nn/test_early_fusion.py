"""One content vector per item, whatever the widths and whatever is missing."""

import pytest
import torch

from mmgraph.errors import ConfigError
from mmgraph.nn import EarlyFusion
from mmgraph.testing import oracles

NUM_ITEMS = 6


def modalities(*widths: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Draw features; of two modalities item 1 lacks the first, item 2 the second, item 3 all."""
    features = [torch.randn(NUM_ITEMS, width, dtype=torch.float64) * 3 for width in widths]
    present = [torch.ones(NUM_ITEMS, dtype=torch.bool) for _ in widths]
    present[0][[1, 3]] = False
    present[-1][[2, 3]] = False
    return features, present


def trained(features, present, **options) -> EarlyFusion:
    fusion = EarlyFusion(features, present, **options).double()
    for encoder in fusion.encoders:
        torch.nn.init.normal_(encoder.linear.bias)
    return fusion


def close(actual: torch.Tensor, expected) -> None:
    torch.testing.assert_close(actual, torch.from_numpy(expected), rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", ["auto", "mean"])
def test_equal_widths_are_averaged_then_projected(mode: str) -> None:
    features, present = modalities(4, 4)
    fusion = trained(features, present, out_dim=3, mode=mode)
    assert len(fusion.encoders) == 1
    linear = fusion.encoders[0].linear
    expected = oracles.mm_gef_features(
        features, present, weight=linear.weight.detach().T, bias=linear.bias.detach()
    )
    close(fusion().detach(), expected)


@pytest.mark.parametrize(("widths", "mode"), [((4, 2), "auto"), ((4, 4), "projected_mean")])
def test_other_modalities_are_projected_then_averaged(widths: tuple[int, int], mode: str) -> None:
    features, present = modalities(*widths)
    fusion = trained(features, present, out_dim=3, mode=mode)
    assert len(fusion.encoders) == 2
    linears = [encoder.linear for encoder in fusion.encoders]
    expected = oracles.mm_gef_projected_features(
        features,
        present,
        weights=[linear.weight.detach().T for linear in linears],
        biases=[linear.bias.detach() for linear in linears],
    )
    close(fusion().detach(), expected)


@pytest.mark.parametrize("widths", [(4, 4), (4, 2), (3, 4, 4)])
@pytest.mark.parametrize("unit", [True, False])
def test_side_by_side_then_projected(widths: tuple[int, ...], unit: bool) -> None:
    features, present = modalities(*widths)
    side = oracles.mm_gef_features_side_by_side(features, present, unit=unit)
    close(EarlyFusion(features, present, out_dim=None, mode="concat", unit=unit)(), side)
    fusion = trained(features, present, out_dim=3, mode="concat", unit=unit)
    (encoder,) = fusion.encoders
    weight, bias = encoder.linear.weight.detach(), encoder.linear.bias.detach()
    expected = torch.from_numpy(side) @ weight.T + bias
    expected[~torch.stack(present).any(dim=0)] = 0
    torch.testing.assert_close(fusion().detach(), expected, rtol=0, atol=1e-12)


def test_lengths_stay_where_they_are_wanted() -> None:
    features, present = modalities(4, 4)
    fused = EarlyFusion(features, present, out_dim=None, unit=False)()
    close(fused, oracles.mm_gef_features(features, present, unit=False))
    fusion = trained(*modalities(4, 2), out_dim=3, unit=False)
    features, present = [*fusion.features], [*fusion.masks]
    linears = [encoder.linear for encoder in fusion.encoders]
    expected = oracles.mm_gef_projected_features(
        features,
        present,
        weights=[linear.weight.detach().T for linear in linears],
        biases=[linear.bias.detach() for linear in linears],
        unit=False,
    )
    close(fusion().detach(), expected)
    assert features[0].norm(dim=1).max() > 2


def test_equal_widths_without_projection_are_the_mean() -> None:
    features, present = modalities(4, 4)
    fusion = EarlyFusion(features, present, out_dim=None)
    close(fusion(), oracles.mm_gef_features(features, present))
    assert list(fusion.parameters()) == []


def test_unequal_widths_without_projection_are_side_by_side() -> None:
    features, present = modalities(4, 2)
    fused = EarlyFusion(features, present, out_dim=None)()
    units = [torch.from_numpy(oracles.unit_rows(x)) for x in features]
    for unit, mask in zip(units, present, strict=True):
        unit[~mask] = 0
    torch.testing.assert_close(fused, torch.cat(units, dim=1))


def test_cosine_of_items_with_all_modalities_is_the_mean_of_the_cosines() -> None:
    features, present = modalities(4, 2)
    fused = EarlyFusion(features, present, out_dim=None)()
    cosine = torch.nn.functional.cosine_similarity
    expected = sum(cosine(x[0], x[5], dim=0) for x in features) / 2
    torch.testing.assert_close(cosine(fused[0], fused[5], dim=0), expected)


@pytest.mark.parametrize("widths", [(4,), (4, 4), (4, 2), (3, 4, 4), (4, 4, 4)])
@pytest.mark.parametrize("out_dim", [None, 3])
def test_only_items_without_any_modality_are_zero(widths, out_dim: int | None) -> None:
    features, present = modalities(*widths)
    fusion = trained(features, present, out_dim=out_dim)
    anywhere = torch.stack(present).any(dim=0)
    assert torch.equal(fusion.present, anywhere)
    assert torch.equal(fusion().any(dim=1), anywhere)


@pytest.mark.parametrize("widths", [(4,), (4, 4), (4, 2)])
@pytest.mark.parametrize("out_dim", [None, 3])
def test_rows_of_missing_items_may_be_anything(widths, out_dim: int | None) -> None:
    features, present = modalities(*widths)
    torch.manual_seed(1)
    plain = trained(features, present, out_dim=out_dim)()
    for x, mask in zip(features, present, strict=True):
        x[~mask] = 1e6
    torch.manual_seed(1)
    assert torch.equal(trained(features, present, out_dim=out_dim)(), plain)


@pytest.mark.parametrize("widths", [(4, 4), (4, 2)])
@pytest.mark.parametrize("out_dim", [None, 3])
def test_rows_of_missing_items_may_be_nan(widths, out_dim: int | None) -> None:
    features, present = modalities(*widths)
    for x, mask in zip(features, present, strict=True):
        x[~mask] = torch.nan
    assert trained(features, present, out_dim=out_dim)().isfinite().all()


def test_scale_of_a_modality_does_not_matter() -> None:
    features, present = modalities(4, 4)
    one = EarlyFusion(features, present, out_dim=None)()
    other = EarlyFusion([features[0] * 1000, features[1]], present, out_dim=None)()
    torch.testing.assert_close(one, other)


def test_mean_of_unequal_widths_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        EarlyFusion(*modalities(4, 2), out_dim=3, mode="mean")
    assert str(caught.value) == (
        "model.fusion 'mean' needs features of one width (got [4, 2]); use 'projected_mean'"
    )


@pytest.mark.parametrize("widths", [(4, 4), (4, 2)])
def test_gradient_reaches_every_encoder(widths: tuple[int, int]) -> None:
    fusion = trained(*modalities(*widths), out_dim=2)
    names = [name for name, _ in fusion.named_parameters()]

    def call(*values):
        return torch.func.functional_call(fusion, dict(zip(names, values, strict=True)), ())

    assert torch.autograd.gradcheck(call, list(fusion.parameters()))
    fusion().square().sum().backward()
    assert all(parameter.grad.any() for parameter in fusion.parameters())


def test_what_is_given_is_kept_as_it_is_and_not_saved() -> None:
    features, present = modalities(4, 2)
    before = [x.clone() for x in (*features, *present)]
    fusion = EarlyFusion(features, present, out_dim=3)
    fusion.double()()
    assert all(torch.equal(x, y) for x, y in zip((*features, *present), before, strict=True))
    assert set(fusion.state_dict()) == {
        f"encoders.{i}.linear.{part}" for i in range(2) for part in ("weight", "bias")
    }
