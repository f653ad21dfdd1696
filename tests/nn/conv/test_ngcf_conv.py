"""The layer of NGCF, fused and by messages, against its equations."""

import pytest
import torch

from mmgraph.nn import NGCFConv
from mmgraph.testing import oracles
from mmgraph.testing.kernels import adjacency_of, sample_matrices

SQUARE = [name for name, x in sample_matrices().items() if x.size(0) == x.size(1)]
PRESETS = ("paper", "as_released")


def make(preset: str, **options) -> NGCFConv:
    torch.manual_seed(0)
    return NGCFConv(4, 3, preset=preset, **options).double()


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", SQUARE)
def test_both_paths_equal_the_equations(name: str, preset: str) -> None:
    dense = sample_matrices()[name]
    adj, conv = adjacency_of(dense), make(preset)
    x = torch.randn(dense.size(0), 4, dtype=torch.float64)
    biases = None
    if preset == "as_released":
        biases = conv.of_sum.bias.detach(), conv.of_product.bias.detach()
    weights = conv.of_sum.weight.detach().T, conv.of_product.weight.detach().T
    expected = torch.from_numpy(oracles.ngcf_layer(x, dense, weights=weights, biases=biases))
    fused, messages = conv(x, adj), conv(x, adj.edge_index(), adj.value)
    torch.testing.assert_close(fused, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(messages, fused, rtol=0, atol=1e-10)


@pytest.mark.parametrize("preset", PRESETS)
def test_both_paths_have_the_same_gradients(preset: str) -> None:
    adj, conv = adjacency_of(sample_matrices()["square"]), make(preset)
    x = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(adj.num_edges, dtype=torch.float64, requires_grad=True)
    inputs = (x, weight, *conv.parameters())
    fused = torch.autograd.grad(conv(x, adj, weight).square().sum(), inputs)
    by_messages = torch.autograd.grad(conv(x, adj.edge_index(), weight).square().sum(), inputs)
    for one, other in zip(fused, by_messages, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)
    assert torch.autograd.gradcheck(lambda x, w: conv(x, adj, w), (x, weight))


def test_with_unit_weights_and_no_products_it_is_the_plain_neighbour_sum() -> None:
    """Identity for the sum, zero for the product and slope 1 leave A x, in the released form."""
    dense = sample_matrices()["square"]
    conv = NGCFConv(4, 4, preset="as_released", slope=1.0).double()
    with torch.no_grad():
        conv.of_sum.weight.copy_(torch.eye(4))
        for zero in (conv.of_sum.bias, conv.of_product.weight, conv.of_product.bias):
            zero.zero_()
    x = torch.randn(6, 4, dtype=torch.float64)
    torch.testing.assert_close(conv(x, adjacency_of(dense)), dense @ x, rtol=0, atol=1e-12)


def test_the_paper_has_no_biases() -> None:
    assert {name for name, _ in make("paper").named_parameters()} == {
        "of_sum.weight",
        "of_product.weight",
    }
