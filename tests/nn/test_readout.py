"""What becomes of the outputs of a stack of layers."""

import pytest
import torch

from mmgraph.nn import LayerStack, LightGCNConv
from mmgraph.sparse import SparseAdjacency


def double(x: torch.Tensor) -> torch.Tensor:
    return 2 * x


@pytest.mark.parametrize(
    ("combine", "expected"),
    # Depths 0..2 of [1, 3] are [1, 3], [2, 6], [4, 12].
    [
        ("mean", [7 / 3, 7.0]),
        ("sum", [7.0, 21.0]),
        ("last", [4.0, 12.0]),
        ("concat", [1.0, 3.0, 2.0, 6.0, 4.0, 12.0]),
    ],
)
def test_combinations(combine: str, expected: list[float]) -> None:
    stack = LayerStack(double, num_layers=2, combine=combine)
    assert stack(torch.tensor([[1.0, 3.0]], dtype=torch.float64))[0].tolist() == expected


@pytest.mark.parametrize("combine", ["mean", "sum", "last", "concat"])
def test_without_layers_the_input_comes_back(combine: str) -> None:
    x = torch.randn(4, 3)
    assert torch.equal(LayerStack(double, num_layers=0, combine=combine)(x), x)


@pytest.mark.parametrize("combine", ["mean", "sum", "last", "concat"])
def test_gaps_are_of_training_and_reach_the_next_layer(combine: str) -> None:
    """Ones that survive a layer are doubled by it and by the scale, so depth l holds zeros and 4^l."""
    stack, x = LayerStack(double, num_layers=2, combine="concat", dropout=0.5), torch.ones(500, 1)
    _, first, second = stack(x).unbind(dim=1)
    assert set(first.unique().tolist()) == {0.0, 4.0}
    assert set(second.unique().tolist()) == {0.0, 16.0}
    assert not second[first == 0].any()
    plain = LayerStack(double, num_layers=2, combine=combine)
    gaps = LayerStack(double, num_layers=2, combine=combine, dropout=0.5).eval()
    assert torch.equal(gaps(x), plain(x))


def test_gaps_in_a_fused_propagation() -> None:
    matrix = SparseAdjacency(torch.arange(500).expand(2, -1), size=(500, 500))
    stack = LayerStack(LightGCNConv(), num_layers=1, combine="sum", dropout=0.5)
    x = torch.ones(500, 1)
    assert set(stack(x, matrix).unique().tolist()) == {1.0, 3.0}
    assert set(stack.eval()(x, matrix).unique().tolist()) == {2.0}


def test_the_default_is_the_mean() -> None:
    assert LayerStack(double, num_layers=1)(torch.ones(1, 1)).item() == 1.5


@pytest.mark.parametrize("combine", ["mean", "sum", "last", "concat"])
def test_the_graph_reaches_every_layer_and_the_input_is_kept(combine: str) -> None:
    seen = []

    def conv(x: torch.Tensor, *graph: object) -> torch.Tensor:
        seen.append(graph)
        return x.clone().zero_()

    x = torch.ones(2, 2)
    LayerStack(conv, num_layers=3, combine=combine)(x, "edges", "weights")
    assert seen == [("edges", "weights")] * 3
    assert torch.equal(x, torch.ones(2, 2))


@pytest.mark.parametrize("combine", ["mean", "sum", "last", "concat"])
def test_gradient(combine: str) -> None:
    stack = LayerStack(torch.sin, num_layers=3, combine=combine)
    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(stack, x)


def test_a_module_as_layer_is_part_of_the_stack() -> None:
    stack = LayerStack(torch.nn.Linear(2, 2), num_layers=2)
    assert set(stack.state_dict()) == {"conv.weight", "conv.bias"}
