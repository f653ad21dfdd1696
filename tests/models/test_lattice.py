import numpy as np
import pytest
import torch

from mmgraph.config import Recipe
from mmgraph.errors import GraphError
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.graph.schema import item_features
from mmgraph.models.lattice import LATTICE, LATTICEConfig
from mmgraph.testing import RecommenderContract, checkerboard_dataset, oracles
from mmgraph.testing.contract import board_batch, disturb, losses

EVERYONE = torch.arange(12)


class TestLATTICE(RecommenderContract):
    model, options = LATTICE, {"embedding_dim": 8, "k": 3}


class TestAsReleased(RecommenderContract):
    model, options = LATTICE, {"embedding_dim": 8, "k": 3, "preset": "as_released", "skip": 0.5}


class TestOnTheRawGraphs(RecommenderContract):
    model, options = LATTICE, {"embedding_dim": 8, "k": 3, "skip": 1.0}


def board(*modalities, data=None, **options):
    data = checkerboard_dataset() if data is None else data
    features = {name: data.features[name] for name in modalities}
    config = GraphConfig(**{"k": 3, "include_self": True, "knn_norm": "sym", **options})
    return build_graph(type(data)(**{**vars(data), "features": features}), config)


def make(graph=None, **options):
    torch.manual_seed(0)
    graph = board("text", "image") if graph is None else graph
    config = LATTICEConfig(**{"embedding_dim": 4, "feature_dim": 5, "k": 3, **options})
    return LATTICE(graph, config).double()


def dense_item_graph(model, graph):
    features = item_features(graph).values()
    content = model.content().values()
    raw, learned = [], []
    for (x, has), projected in zip(features, content, strict=True):
        raw.append(oracles.mm_gef_content_graph(x.double(), k=3, present=has))
        learned.append(oracles.mm_gef_content_graph(projected.detach(), k=3, present=has))
    return oracles.lattice_item_graph(
        raw,
        learned,
        model.modality_weight.detach(),
        skip=model.config.skip,
        normalize_sum=model.config.preset == "as_released",
    )


@pytest.mark.parametrize(("preset", "ui_norm"), [("paper", "sym"), ("as_released", "rw_self")])
@pytest.mark.parametrize("modalities", [("text",), ("text", "image")])
@pytest.mark.parametrize("skip", [0.0, 0.7, 1.0])
def test_encode_equals_the_dense_equations(
    preset, ui_norm, modalities, skip, irregular, irregular_pairs
):
    graph = board(*modalities, data=irregular, ui_norm=ui_norm)
    model = make(graph, preset=preset, skip=skip).eval()
    disturb(model)
    dense = dense_item_graph(model, graph)
    adjacency, weight = model.item_graph()
    found = torch.zeros(12, 12).double()
    found[adjacency.edge_index()[1], adjacency.edge_index()[0]] = weight
    np.testing.assert_allclose(found.detach(), dense, rtol=1e-5, atol=1e-6)
    tables = (model.user_embedding.detach(), model.item_embedding.detach())
    expected = oracles.mm_gef(
        *tables, irregular_pairs, item_graph=dense, num_layers=2, ui_norm=ui_norm
    )
    for one, other in zip(model.encode(), expected, strict=True):
        np.testing.assert_allclose(one.detach(), other, rtol=1e-5, atol=1e-6)


def test_presets_differ_where_something_is_learned_from_several_modalities():
    one, other = (make(preset=preset, skip=0.5).eval() for preset in ("paper", "as_released"))
    assert not torch.allclose(one.score(EVERYONE), other.score(EVERYONE), atol=1e-6)


def test_weights_of_modalities_start_equal_and_sum_to_one():
    model = make(skip=0.0, k=3)
    assert model.modality_weight.softmax(dim=0).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("k", [2, 4])
def test_an_item_has_k_learned_neighbours_in_each_modality_it_has(k):
    model = make(board("text", "image", k=k), k=k, skip=0.0)
    disturb(model)
    for (edges, _), has in zip(model.content.chosen(), model.content.present, strict=True):
        assert torch.equal(torch.bincount(edges[1], minlength=12), k * has.long())
        assert len(edges.unique(dim=1).T) == edges.size(1)


def test_projections_learn_from_the_first_batch_of_an_epoch_only():
    model, found = make().train(), []
    for epoch in (1, 2):
        model.on_epoch(epoch)
        for _ in range(2):
            model.zero_grad()
            losses(model, board_batch()).backward()
            weight = model.content.encoders[0].linear.weight
            found.append(weight.grad is not None and bool(weight.grad.any()))
    assert found == [True, False] * 2


def test_without_any_layers_items_get_their_own_unit_rows():
    model = make(num_layers=0, num_item_layers=0).eval()
    user, item = model.encode()
    own = torch.nn.functional.normalize(model.item_embedding, dim=1)
    torch.testing.assert_close(item, model.item_embedding + own)
    assert torch.equal(user, model.user_embedding)


def test_the_graph_it_asks_for():
    paper = Recipe.build({"model": {"name": "lattice"}}).graph
    assert (paper.edges, paper.include_self, paper.knn_norm) == (("knn",), True, "sym")
    assert paper.ui_norm == "sym"
    released = Recipe.build({"model": {"name": "lattice", "preset": "as_released"}}).graph
    assert released.ui_norm == "rw_self"


def test_without_features_it_says_so():
    with pytest.raises(GraphError, match="needs item features"):
        make(board())
