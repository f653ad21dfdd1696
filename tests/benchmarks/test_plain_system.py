"""The plain way of every system: the same losses and gradients as the library, on the same batch."""

import pytest
import torch

from benchmarks.rivals.plain_system import OneByOneSampler, computing_plainly
from benchmarks.training.profiles import systems
from mmgraph.config import Recipe
from mmgraph.graph import build_graph
from mmgraph.models.base import Recommender
from mmgraph.run import build_model
from mmgraph.testing import checkerboard_dataset
from mmgraph.testing.contract import board_batch, losses


def small_model(name: str) -> Recommender:
    recipe = Recipe.build({"model": {"name": name}, "graph": {"k": 3}})
    return build_model(recipe, build_graph(checkerboard_dataset(), recipe.graph)).double()


def gradients(model: Recommender) -> tuple[torch.Tensor, list[torch.Tensor]]:
    # Without dropout: both ways draw other numbers.
    model.eval().on_epoch(1)
    loss = losses(model, board_batch(model.num_negatives))
    wanted = [p for p in model.parameters() if p.requires_grad]
    return loss.detach(), [
        g for g in torch.autograd.grad(loss, wanted, allow_unused=True) if g is not None
    ]


@pytest.mark.parametrize("name", systems())
def test_the_plain_way_is_the_same_step(name: str) -> None:
    ours = gradients(small_model(name))
    model = small_model(name)
    with computing_plainly(model):
        plain = gradients(model)
    torch.testing.assert_close(plain, ours, rtol=1e-7, atol=1e-9)


def test_nothing_is_left_of_the_plain_way() -> None:
    model = small_model("maml")
    before = gradients(model)
    with computing_plainly(model):
        pass
    assert "weights" not in vars(model.attention)
    torch.testing.assert_close(gradients(model), before, rtol=0, atol=0)


def test_negatives_drawn_one_by_one_are_none_of_the_users_items() -> None:
    train = checkerboard_dataset().train
    sampler = OneByOneSampler(
        torch.from_numpy(train.user), torch.from_numpy(train.item), num_items=12, num_negatives=2
    )
    known = set(zip(train.user.tolist(), train.item.tolist(), strict=True))
    (batch,) = sampler.epoch(10_000, torch.Generator().manual_seed(0))
    assert batch.negative.shape == (len(train), 2)
    drawn = zip(
        batch.user.repeat_interleave(2).tolist(), batch.negative.flatten().tolist(), strict=True
    )
    assert not known & set(drawn)
