"""Attention over dimensions, for pairs and for whole catalogues in blocks."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmgraph.nn import DimensionAttention
from mmgraph.nn import dimension_attention as module
from mmgraph.testing import oracles

NUM_USERS, NUM_ITEMS = 7, 11


def draw(dim=4, dtype=torch.float64):
    generator = torch.Generator().manual_seed(dim)
    return [
        torch.randn(n, dim, dtype=dtype, generator=generator) for n in (NUM_USERS, *[NUM_ITEMS] * 2)
    ]


def trained(dim=4, **options):
    torch.manual_seed(2)
    attention = DimensionAttention(dim, **options).double()
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.5)
    return attention.eval()


def layers(attention):
    return [(x.weight.detach(), x.bias.detach()) for x in (attention.hidden, attention.output)]


def by_hand(attention, user, item, content):
    """Return weights (users, items, dim) and distances (users, items), pair by pair."""
    weights = np.zeros((NUM_USERS, NUM_ITEMS, user.size(1)))
    distances = np.zeros((NUM_USERS, NUM_ITEMS))
    for u in range(NUM_USERS):
        for i in range(NUM_ITEMS):
            weights[u, i] = oracles.maml_attention(user[u], item[i], content[i], *layers(attention))
            distances[u, i] = oracles.maml_distance(user[u], item[i], weights[u, i])
    return weights, distances


@pytest.mark.parametrize("dim", [1, 4, 9])
@torch.no_grad()
def test_pairs_equal_the_equation_pair_by_pair(dim) -> None:
    attention, (user, item, content) = trained(dim), draw(dim)
    weights, distances = by_hand(attention, user, item, content)
    asking, asked = attention.sides(user, item, content)
    grid = asking.unsqueeze(1), asked.unsqueeze(0)
    np.testing.assert_allclose(attention.weights(*grid), weights, rtol=1e-11)
    np.testing.assert_allclose(attention.distances(*grid), distances, rtol=1e-11)
    place = torch.tensor([[3, 0], [3, 10], [5, 1]])
    users = torch.tensor([6, 0, 2])
    some = attention.sides(user[users], item, content)[0]
    found = attention.distances(some.unsqueeze(1), asked.rows(place))
    np.testing.assert_allclose(found, distances[users[:, None], place], rtol=1e-11)


@pytest.mark.parametrize("block", [1, 50, 700, 2**20])
@torch.no_grad()
def test_blocks_equal_the_equation_pair_by_pair(block, monkeypatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", block)
    attention, given = trained(), draw()
    _, distances = by_hand(attention, *given)
    np.testing.assert_allclose(attention.scores(*given), -distances, rtol=1e-10)


@torch.no_grad()
def test_weights_add_up_to_the_number_of_dimensions() -> None:
    attention, (user, item, content) = trained(6), draw(6)
    asking, asked = attention.sides(user, item, content)
    weights = attention.weights(asking.unsqueeze(1), asked.unsqueeze(0))
    assert weights.min() > 0
    torch.testing.assert_close(weights.sum(dim=-1), torch.full((7, 11), 6.0).double())
    assert (weights - 1).abs().max() > 0.1


@torch.no_grad()
def test_the_distance_is_zero_exactly_where_the_points_meet() -> None:
    attention, (user, item, content) = trained(), draw()
    item[4] = user[2]
    distances = -attention.scores(user, item, content)
    assert distances[2, 4].item() == 0
    distances[2, 4] = 1
    assert distances.min() > 0


@torch.no_grad()
def test_equal_weights_rank_by_one_inner_product() -> None:
    """Then it is collaborative metric learning: 2 p q - |q|^2, up to a number for each user."""
    attention, (user, item, content) = trained(), draw()
    attention.output.weight.zero_()
    attention.output.bias.fill_(0.3)
    found = attention.scores(user, item, content)
    torch.testing.assert_close(found, -torch.cdist(user, item).square(), rtol=1e-12, atol=1e-12)
    folded = torch.cat([2 * user, torch.ones(7, 1)], dim=1)
    folded = folded @ torch.cat([item, -item.square().sum(dim=1, keepdim=True)], dim=1).T
    shift = user.square().sum(dim=1, keepdim=True)
    torch.testing.assert_close(found, folded - shift, rtol=1e-12, atol=1e-12)


def test_gradients_by_finite_differences() -> None:
    attention, given = trained(), [x[:3].requires_grad_() for x in draw()]
    place = torch.tensor([[0, 2], [1, 1], [2, 0]])
    parameters = dict(attention.named_parameters())

    def distances(user, item, content, *values):
        own = dict(zip(parameters, values, strict=True))
        return torch.func.functional_call(Distances(attention, place), own, (user, item, content))

    parameters = {f"attention.{name}": value for name, value in parameters.items()}
    assert torch.autograd.gradcheck(distances, (*given, *parameters.values()))


class Distances(torch.nn.Module):
    """The distances of users from the items at some places."""

    def __init__(self, attention, place):
        super().__init__()
        self.attention, self.place = attention, place

    def forward(self, user, item, content):
        asking, asked = self.attention.sides(user, item, content)
        return self.attention.distances(asking.unsqueeze(1), asked.rows(self.place))


def test_points_at_zero_have_finite_gradients() -> None:
    attention = trained()
    user, item, content = (
        torch.zeros(2, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)
    )
    asking, asked = attention.sides(user, item, content)
    attention.distances(asking, asked).sum().backward()
    assert all(x.grad.isfinite().all() for x in (user, item, *attention.parameters()))


def test_dropout_is_for_training() -> None:
    attention, given = trained(dropout=0.5), draw()
    assert torch.equal(attention.scores(*given), attention.scores(*given))
    attention.train()
    assert not torch.equal(attention.scores(*given), attention.scores(*given))


@pytest.mark.parametrize("dim", [8, 64])
def test_no_table_grows_with_users_times_items(dim) -> None:
    attention, largest = DimensionAttention(dim).eval(), 0
    user, item, content = (torch.randn(n, dim) for n in (130, 170, 170))

    class Largest(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and func is not torch.ops.aten.new_empty.default:
                size = result.untyped_storage().nbytes()
                # Not the result, and not what there is for each user or item.
                if size not in (130 * 170 * 4, 130 * 5 * dim * 4, 170 * 5 * dim * 4):
                    largest = max(largest, size)
            return result

    with torch.no_grad(), Largest():
        attention.scores(user, item, content)
    assert module._BLOCK < largest <= 4 * module._BLOCK  # bytes of a block in float32
    assert 130 * 170 * 5 * dim > 3 * module._BLOCK


@pytest.mark.cuda
def test_a_device_gives_the_same_scores() -> None:
    attention, given = trained(), draw()
    expected = attention.scores(*given)
    found = attention.cuda().scores(*(x.cuda() for x in given))
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-12, atol=1e-12)
