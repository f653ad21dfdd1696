"""What becomes of the outputs of a stack of layers."""

import pytest
import torch

from mmgraph.nn import LayerStack


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
