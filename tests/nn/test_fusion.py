"""Means over the modalities that exist, and soft attention over the weights of two graphs."""

import numpy as np
import pytest
import torch

from mmgraph.nn import EdgeFusion, normalize_rows, presence_mean
from mmgraph.testing import oracles


def edge_weights(num_edges: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw weights like cosines and like counts, some of them absent."""
    first = torch.rand(num_edges, dtype=torch.float64) * 2 - 1
    second = torch.rand(num_edges, dtype=torch.float64)
    first[::3], second[1::3] = 0.0, 0.0
    return first, second


def trained(attention: str) -> EdgeFusion:
    fusion = EdgeFusion(attention).double()
    for parameter in fusion.parameters():
        torch.nn.init.normal_(parameter, std=2)
    return fusion


def test_rows_get_unit_length_and_zero_rows_stay() -> None:
    x = torch.randn(6, 4, dtype=torch.float64)
    x[2] = 0
    x[3] *= 1e-6
    torch.testing.assert_close(normalize_rows(x), torch.from_numpy(oracles.unit_rows(x)))
    assert normalize_rows(x)[2].tolist() == [0.0] * 4


def test_zero_rows_have_a_finite_gradient() -> None:
    x = torch.zeros(1, 3, requires_grad=True)
    normalize_rows(x).sum().backward()
    assert x.grad.isfinite().all()


def test_presence_mean_by_hand() -> None:
    vectors = [torch.tensor([[1.0, 2.0]] * 4), torch.tensor([[3.0, 8.0]] * 4)]
    present = [
        torch.tensor([True, True, False, False]),
        torch.tensor([True, False, True, False]),
    ]
    expected = [[2.0, 5.0], [1.0, 2.0], [3.0, 8.0], [0.0, 0.0]]
    assert presence_mean(vectors, present).tolist() == expected


def test_presence_mean_gradient_reaches_only_what_exists() -> None:
    vectors = [torch.randn(3, 2, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    present = [torch.tensor(row) for row in ([True, True, False], [True, False, False], [True] * 3)]
    assert torch.autograd.gradcheck(lambda *v: presence_mean(v, present), vectors)
    presence_mean(vectors, present).sum().backward()
    assert [v.grad[:, 0].tolist() for v in vectors] == [
        pytest.approx([1 / 3, 1 / 2, 0.0]),
        pytest.approx([1 / 3, 0.0, 0.0]),
        pytest.approx([1 / 3, 1 / 2, 1.0]),
    ]


def test_presence_mean_needs_a_mask_for_each_modality() -> None:
    with pytest.raises(ValueError, match="zip"):
        presence_mean([torch.ones(1, 1)] * 2, [torch.tensor([True])])


def test_presence_mean_does_not_look_at_missing_rows() -> None:
    vectors = [torch.tensor([[float("nan")]]), torch.tensor([[4.0]])]
    present = [torch.tensor([False]), torch.tensor([True])]
    assert presence_mean(vectors, present).tolist() == [[4.0]]


@pytest.mark.parametrize("attention", ["edge", "global"])
def test_sigmoid_form_equals_the_softmax_of_two_logits(attention: str) -> None:
    fusion, (first, second) = trained(attention), edge_weights()
    pair = torch.stack([first, second], dim=1)
    logits = fusion.bias.expand_as(pair)
    if attention == "edge":
        logits = pair @ fusion.weight.T + fusion.bias
    expected = (torch.softmax(logits, dim=1) * pair).sum(dim=1)
    torch.testing.assert_close(fusion(first, second), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("attention", ["edge", "global", "none"])
def test_equals_the_equation(attention: str) -> None:
    fusion, (first, second) = trained(attention), edge_weights()
    parameters = {name: value.detach().numpy() for name, value in fusion.named_parameters()}
    expected = oracles.mm_gef_item_graph(first, second, **parameters)
    np.testing.assert_allclose(fusion(first, second).detach(), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("attention", ["edge", "global", "none"])
def test_gradient_reaches_weights_and_parameters(attention: str) -> None:
    fusion, (first, second) = trained(attention), edge_weights(6)
    names = [name for name, _ in fusion.named_parameters()]

    def call(first, second, *values):
        return torch.func.functional_call(
            fusion, dict(zip(names, values, strict=True)), (first, second)
        )

    inputs = [first.requires_grad_(), second.requires_grad_(), *fusion.parameters()]
    assert torch.autograd.gradcheck(call, inputs)


@pytest.mark.parametrize("attention", ["edge", "global"])
def test_at_the_start_it_is_half_the_plain_sum(attention: str) -> None:
    first, second = edge_weights()
    plain = EdgeFusion("none")(first, second)
    torch.testing.assert_close(
        EdgeFusion(attention).double()(first, second), plain / 2, rtol=0, atol=1e-15
    )


def test_one_attention_for_all_edges_is_a_factor_where_there_is_one_graph() -> None:
    fusion, (first, _) = trained("global"), edge_weights()
    alone = fusion(first, torch.zeros_like(first))
    factor = torch.softmax(fusion.bias, dim=0)[0]
    torch.testing.assert_close(alone, factor * first)
    # So it vanishes when the message is brought to unit length.
    rows, plain = alone.reshape(10, 3), first.reshape(10, 3)
    torch.testing.assert_close(normalize_rows(rows), normalize_rows(plain))


def test_attention_by_edge_is_no_factor_where_there_is_one_graph() -> None:
    fusion, (first, _) = trained("edge"), edge_weights()
    ratio = (fusion(first, torch.zeros_like(first)) / first)[first != 0]
    assert ratio.max() - ratio.min() > 0.1


@pytest.mark.parametrize(
    ("attention", "shapes"),
    [
        ("edge", {"weight": (2, 2), "bias": (2,)}),
        ("global", {"bias": (2,)}),
        ("neighbour", {"weight": (2,)}),
        ("none", {}),
    ],
)
def test_parameters(attention: str, shapes: dict[str, tuple[int, ...]]) -> None:
    parameters = dict(EdgeFusion(attention).named_parameters())
    assert {name: tuple(value.shape) for name, value in parameters.items()} == shapes
    assert all(not value.any() for value in parameters.values())


def test_attention_over_neighbours_equals_the_equation() -> None:
    """Five items with six edges each; the weights of one item add up to one."""
    fusion, (first, second) = trained("neighbour"), edge_weights()
    rowptr = torch.arange(0, 31, 6)
    found = fusion(first, second, rowptr).detach().view(5, 6)
    dense = oracles.mm_gef_neighbour_attention(
        first.view(5, 6), second.view(5, 6), weight=fusion.weight.detach()
    )
    # An edge whose weights are both zero is none for the dense version.
    there = ((first != 0) | (second != 0)).view(5, 6)
    share = (found * there) / (found * there).sum(dim=1, keepdim=True)
    np.testing.assert_allclose(share, dense, rtol=0, atol=1e-13)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(5, dtype=torch.float64))


def test_attention_over_neighbours_must_know_whose_edges_they_are() -> None:
    with pytest.raises(TypeError, match=r"needs rowptr \(got None\)"):
        EdgeFusion("neighbour")(*edge_weights())


def test_attention_over_neighbours_starts_from_their_mean_and_learns() -> None:
    fusion, (first, second) = EdgeFusion("neighbour").double(), edge_weights(6)
    rowptr = torch.tensor([0, 2, 2, 6])
    assert fusion(first, second, rowptr).tolist() == [0.5] * 2 + [0.25] * 4

    def call(first, second, weight):
        return torch.func.functional_call(fusion, {"weight": weight}, (first, second, rowptr))

    torch.nn.init.normal_(fusion.weight)
    inputs = [first.requires_grad_(), second.requires_grad_(), fusion.weight]
    assert torch.autograd.gradcheck(call, inputs)


def test_large_logits_do_not_overflow() -> None:
    fusion = EdgeFusion("edge")
    with torch.no_grad():
        fusion.bias.copy_(torch.tensor([1e4, -1e4]))
    value = fusion(torch.tensor([0.25]), torch.tensor([0.75]))
    value.sum().backward()
    assert value.item() == 0.25
    assert fusion.bias.grad.isfinite().all()


@pytest.mark.parametrize("attention", ["edge", "global", "none"])
def test_no_edges(attention: str) -> None:
    assert EdgeFusion(attention)(torch.empty(0), torch.empty(0)).shape == (0,)
