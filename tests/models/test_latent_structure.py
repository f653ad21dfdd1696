"""Partly learned item graphs, chosen once an epoch."""

import pytest
import torch

from mmgraph.models.latent_structure import LatentStructure, LatentStructureConfig
from mmgraph.models.lattice import LATTICE, LATTICEConfig
from mmgraph.models.micro import MICRO, MICROConfig
from mmgraph.testing.contract import board_batch, disturb, losses

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


@pytest.mark.parametrize(("kind", "config"), KINDS)
@pytest.mark.parametrize("include_self", [True, False])
def test_an_item_is_its_own_neighbour_in_the_learned_graphs_if_it_is_in_the_raw_ones(
    kind, config, include_self, board
):
    model = kind(board("text", "image", include_self=include_self), config)
    for graph in model.item_graphs():
        rows, columns = graph.adjacency.edge_index()
        loops = torch.bincount(rows[rows == columns], minlength=12).bool()
        assert loops.any() == include_self


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (LATTICE, {"skip": 1.0}),
        (LATTICE, {"num_item_layers": 0}),
        (MICRO, {"skip": 1.0}),
    ],
)
def test_where_no_graph_is_learned_there_is_nothing_idle(kind, options, board):
    config = kind.Config(embedding_dim=4, feature_dim=4, k=3, **options)
    model = kind(board("text", "image"), config).double().train()
    disturb(model)
    model.on_epoch(1)
    losses(model, board_batch()).backward()
    assert not [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not [*model.content.parameters()]


def test_a_model_must_say_what_its_graphs_are(board):
    bare = LatentStructure(board("text"), LatentStructureConfig(name="bare", k=3))
    with pytest.raises(TypeError, match=r"must define item_graphs\(\)"):
        bare.item_graphs()
