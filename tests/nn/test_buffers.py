"""Constant tensors that live in a module."""

import pytest
import torch
from torch import nn

from mmgraph.nn import BufferList, freeze_parameters


def test_it_is_a_sequence() -> None:
    tensors = [torch.tensor([1.0]), torch.tensor([2]), torch.tensor([True])]
    held = BufferList(iter(tensors))
    assert len(held) == 3
    assert [x.item() for x in held] == [1.0, 2, True]
    assert held[1] is tensors[1]
    assert held[-1] is tensors[2]


@pytest.mark.parametrize("index", [2, -3])
def test_outside_is_an_index_error(index: int) -> None:
    with pytest.raises(IndexError):
        BufferList([torch.zeros(1), torch.zeros(1)])[index]


def test_an_empty_list_is_a_list() -> None:
    assert len(BufferList([])) == 0
    assert list(BufferList([])) == []


def test_more_than_ten_keep_their_order() -> None:
    assert [int(x) for x in BufferList(torch.arange(12))] == list(range(12))


def test_it_moves_with_the_owner_and_keeps_whole_numbers_whole() -> None:
    owner = nn.Sequential(BufferList([torch.zeros(1), torch.zeros(1, dtype=torch.long)])).double()
    assert [x.dtype for x in owner[0]] == [torch.float64, torch.int64]
    assert {x.device.type for x in owner.to("meta")[0]} == {"meta"}


def test_nothing_is_saved_and_nothing_is_trained() -> None:
    owner = nn.Sequential(BufferList([torch.zeros(3)]))
    assert owner.state_dict() == {}
    assert list(owner.parameters()) == []
    owner.load_state_dict({})


def test_frozen_parameters_are_saved_and_not_trained() -> None:
    layer = nn.Linear(2, 1)
    weight = layer.weight.detach().clone()
    freeze_parameters(layer, "weight", "bias")
    assert list(layer.parameters()) == []
    assert set(layer.state_dict()) == {"weight", "bias"}
    assert torch.equal(layer.weight, weight)
    assert layer.double()(torch.ones(1, 2).double()).dtype == torch.float64


def test_only_parameters_are_frozen() -> None:
    with pytest.raises(AttributeError):
        freeze_parameters(nn.Linear(2, 1), "wieght")
