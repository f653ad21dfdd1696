"""Partly learned item graphs, chosen once an epoch."""

import pytest
import torch

from mmgraph.models.latent_structure import LatentStructure, LatentStructureConfig
from mmgraph.models.lattice import LATTICE, LATTICEConfig
from mmgraph.models.micro import MICRO, MICROConfig
from mmgraph.testing.contract import board_batch, losses

KINDS = [
    (LATTICE, LATTICEConfig(embedding_dim=4, feature_dim=4, k=3, skip=0.5)),
    (MICRO, MICROConfig(embedding_dim=4, feature_dim=4, k=3, skip=0.5)),
]


@pytest.mark.parametrize(("kind", "config"), KINDS)
def test_graphs_stay_for_an_epoch_and_carry_gradients_once(kind, config, board):
    model = kind(board("text", "image"), config).double()
    model.on_epoch(1)
    first, second = model.epoch_graphs(), model.epoch_graphs()
    for one, other in zip(first, second, strict=True):
        assert one.adjacency is other.adjacency
        assert torch.equal(one.weight, other.weight)
        assert (one.weight.requires_grad, other.weight.requires_grad) == (True, False)
    model.on_epoch(2)
    assert model.epoch_graphs()[0].adjacency is not first[0].adjacency


@pytest.mark.parametrize(("kind", "config"), KINDS)
def test_evaluation_does_not_see_the_graphs_of_the_epoch(kind, config, board):
    model = kind(board("text", "image"), config).double().train()
    fresh = kind(board("text", "image"), config).double().eval()
    model.on_epoch(1)
    losses(model, board_batch())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(model.eval().encode().item, fresh.encode().item)


def test_a_model_must_say_what_its_graphs_are(board):
    bare = LatentStructure(board("text"), LatentStructureConfig(name="bare", k=3))
    with pytest.raises(TypeError, match=r"must define item_graphs\(\)"):
        bare.item_graphs()
