"""The projection of features to points: against the oracle, with modalities missing, of some rows only."""

import numpy as np
import pytest
import torch

from mmgraph.nn import ContentProjector, normalize_rows
from mmgraph.testing import oracles

WIDTHS = {"text": 5, "image": 3, "sound": 2}


def features(*names):
    generator = torch.Generator().manual_seed(4)
    table = {}
    for name in names:
        has = torch.rand(9, generator=generator) < 0.7
        has[0], has[1] = True, False
        table[name] = torch.randn(9, WIDTHS[name], generator=generator), has
    return table


def make(table, **options):
    torch.manual_seed(1)
    projector = ContentProjector(table, 4, **{"hidden_dim": 6, **options}).double()
    with torch.no_grad():
        for parameter in projector.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return projector


def by_hand(projector, table, *, unit):
    """Project every item through layers whose first weights stand side by side."""
    first = np.concatenate([e.linear.weight.detach() for e in projector.first.encoders], axis=1)
    layers = [(first, projector.bias.detach())]
    for layer in [*projector.middle, projector.last]:
        layers.append((layer.weight.detach(), layer.bias.detach()))
    rows = []
    for i in range(9):
        parts = [x[i].double() * has[i] for x, has in table.values()]
        parts = (
            [x.double() for x in map(normalize_rows, (p.float() for p in parts))] if unit else parts
        )
        lacks = not any(has[i] for _, has in table.values())
        point = oracles.maml_projection(parts, layers, max_norm=projector.max_norm)
        rows.append(np.zeros(4) if lacks else point)
    return np.stack(rows)


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("names", [("text",), ("text", "image"), ("sound", "image", "text")])
def test_points_equal_the_oracle(names, unit) -> None:
    table = features(*names)
    projector = make(table, unit=unit, max_norm=0.8).eval()
    expected = by_hand(projector, table, unit=unit)
    lengths = np.linalg.norm(expected, axis=1)
    assert lengths.max() == pytest.approx(0.8)
    with torch.no_grad():
        # Lengths of rows are found in float32.
        np.testing.assert_allclose(projector(), expected, rtol=1e-5, atol=1e-6)
        some = torch.tensor([7, 1, 0])
        np.testing.assert_allclose(projector(some), projector()[some], rtol=1e-12, atol=1e-15)
    assert projector.has().tolist() == [bool(row) for row in (expected != 0).any(axis=1)]
    assert projector.has(some).tolist() == projector.has()[some].tolist()


def test_an_item_without_any_modality_is_zero_whatever_its_row_holds() -> None:
    table = features("text", "image")
    for x, has in table.values():
        x[~has] = float("nan")
    projector = make(table).eval()
    assert projector.has()[1].item() is False
    assert projector()[1].tolist() == [0.0] * 4
    projector().sum().backward()
    assert all(p.grad.isfinite().all() for p in projector.parameters())


def test_the_others_have_all_of_the_length_of_a_missing_one() -> None:
    table = features("text", "image")
    (text, _), (_, absent) = table["text"], table["image"]
    projector = make(table).eval()
    alone = make({"text": (text, torch.ones(9, dtype=torch.bool))}).eval()
    state = projector.state_dict()
    alone.load_state_dict({k: v for k, v in state.items() if "encoders.1" not in k})
    lacking = ((~absent) & table["text"][1]).nonzero().squeeze(1)
    assert len(lacking) > 0
    torch.testing.assert_close(projector()[lacking], alone()[lacking], rtol=1e-12, atol=1e-14)


def test_scaling_an_item_changes_nothing() -> None:
    table = features("text", "image")
    longer = {name: (3 * x, has) for name, (x, has) in table.items()}
    torch.testing.assert_close(make(table).eval()(), make(longer).eval()(), rtol=1e-6, atol=1e-7)


def test_dropout_is_for_training() -> None:
    projector = make(features("text"), dropout=0.5)
    torch.manual_seed(0)
    first, second = projector.train()(), projector()
    assert not torch.equal(first, second)
    assert torch.equal(projector.eval()(), projector())


def test_every_layer_gets_the_right_gradient() -> None:
    projector = make(features("text", "image"), max_norm=0.9)
    items = torch.tensor([0, 3, 8])
    parameters = dict(projector.named_parameters())

    def points(*values):
        given = dict(zip(parameters, values, strict=True))
        return torch.func.functional_call(projector, given, (items,))

    assert torch.autograd.gradcheck(points, tuple(parameters.values()))
