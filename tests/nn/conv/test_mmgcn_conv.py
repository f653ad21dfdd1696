"""The layer of MMGCN, fused and by messages, against its equations."""

import pytest
import torch

from mmgraph.nn import MMGCNConv
from mmgraph.testing import oracles
from mmgraph.testing.kernels import adjacency_of, sample_matrices

SQUARE = [name for name, x in sample_matrices().items() if x.size(0) == x.size(1)]
FORMS = ("add", "concat")


def make(combine: str, **options) -> MMGCNConv:
    torch.manual_seed(0)
    conv = MMGCNConv(4, 3, combine=combine, **options).double()
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return conv


def weights_of(conv: MMGCNConv) -> oracles.MMGCNLayer:
    p = {name: value.detach() for name, value in conv.named_parameters()}
    return oracles.MMGCNLayer(
        p["of_neighbours.weight"].T,
        p["output.weight"].T,
        p["output.bias"],
        p["of_self.weight"].T,
        p["of_self.bias"],
    )


@pytest.mark.parametrize("combine", FORMS)
@pytest.mark.parametrize("name", SQUARE)
def test_both_paths_equal_the_equations(name: str, combine: str) -> None:
    dense = sample_matrices()[name]
    adj, conv = adjacency_of(dense), make(combine)
    x, ids = (torch.randn(dense.size(0), width, dtype=torch.float64) for width in (4, 3))
    expected = oracles.mmgcn_layer(x, ids, dense, weights_of(conv), combine=combine)
    fused, messages = conv(x, ids, adj), conv(x, ids, adj.edge_index(), adj.value)
    torch.testing.assert_close(fused, torch.from_numpy(expected), rtol=0, atol=1e-10)
    torch.testing.assert_close(messages, fused, rtol=0, atol=1e-10)


@pytest.mark.parametrize("combine", FORMS)
def test_both_paths_have_the_same_gradients(combine: str) -> None:
    adj, conv = adjacency_of(sample_matrices()["square"]), make(combine)
    x, ids = (torch.randn(6, w, dtype=torch.float64, requires_grad=True) for w in (4, 3))
    weight = torch.rand(adj.num_edges, dtype=torch.float64, requires_grad=True)
    inputs = (x, ids, weight, *conv.parameters())
    fused = torch.autograd.grad(conv(x, ids, adj, weight).square().sum(), inputs)
    messages = torch.autograd.grad(conv(x, ids, adj.edge_index(), weight).square().sum(), inputs)
    for one, other in zip(fused, messages, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)
    assert torch.autograd.gradcheck(lambda x, e, w: conv(x, e, adj, w), (x, ids, weight))


def test_with_unit_weights_a_node_with_one_neighbour_gets_its_row() -> None:
    dense = torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5], [0.0, 1.0, 0.0]]).double()
    conv = MMGCNConv(4, 4, slope=1.0).double()
    with torch.no_grad():
        for eye in (conv.of_neighbours.weight, conv.output.weight):
            eye.copy_(torch.eye(4))
        for zero in (conv.of_self.weight, conv.of_self.bias, conv.output.bias):
            zero.zero_()
    x = torch.randn(3, 4, dtype=torch.float64)
    found = conv(x, torch.zeros_like(x), adjacency_of(dense))
    torch.testing.assert_close(found[0], x[1], rtol=0, atol=1e-14)
    torch.testing.assert_close(found[1], (x[0] + x[2]) / 2, rtol=0, atol=1e-14)
