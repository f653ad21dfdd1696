"""Graphs, weights and scores with and without the rows of what is forgotten."""

import pytest
import torch

from mmgraph.config import Recipe
from mmgraph.graph import GraphConfig, build_graph, check_graph
from mmgraph.graph.schema import ITEM_USER, USER_ITEM
from mmgraph.models import MODELS
from mmgraph.run import build_model, load_weights
from mmgraph.unlearning.retain import Division


@pytest.mark.parametrize("norm", ["sym", "rw", "rw_self"])
def test_a_wide_graph_is_the_narrow_one_among_empty_rows(division: Division, norm: str) -> None:
    graph = build_graph(division.retained, GraphConfig(k=3, ui_norm=norm))  # type: ignore[arg-type]
    places = division.places
    wide = places.widen_graph(graph)
    check_graph(wide)
    assert (wide["user"].num_nodes, wide["item"].num_nodes) == (12, 12)
    for edge_type in graph.edge_types:
        kinds = (edge_type[0], edge_type[2])
        moved = torch.stack(
            [
                (places.users if kind == "user" else places.items)[row]
                for kind, row in zip(kinds, graph[edge_type].edge_index, strict=True)
            ]
        )
        # The ids stay in order here, so the edges do, and so do the bits of their weights.
        assert torch.equal(wide[edge_type].edge_index, moved)
        assert torch.equal(wide[edge_type].edge_weight, graph[edge_type].edge_weight)
    assert not torch.isin(wide[ITEM_USER].edge_index[1], torch.tensor([4])).any()
    assert not torch.isin(wide[USER_ITEM].edge_index[1], torch.tensor([3, 7])).any()
    assert not wide["item"].has_text[[3, 7]].any()
    assert not wide["item"].x_text[[3, 7]].any()
    if norm == "rw_self":
        assert wide["user"].self_weight[4] == 1


def test_edges_are_sorted_also_where_the_order_of_ids_has_changed(division: Division) -> None:
    graph = build_graph(division.retained, GraphConfig(k=3))
    places = division.places
    turned = type(places)(places.users.flip(0), places.items.flip(0), 12, 12)
    wide = turned.widen_graph(graph)
    check_graph(wide)
    found = set(zip(*wide[USER_ITEM].edge_index.tolist(), strict=True))
    user, item = graph[USER_ITEM].edge_index
    expected = zip(turned.users[user].tolist(), turned.items[item].tolist(), strict=True)
    assert found == set(expected)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_without_the_rows_scores_as_with_them(division: Division, name: str) -> None:
    recipe = Recipe.build({"model": {"name": name}, "graph": {"k": 3}})
    graph, places = build_graph(division.retained, recipe.graph), division.places
    large = build_model(recipe, places.widen_graph(graph)).double().eval()
    with torch.no_grad():
        for parameter in large.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    small = build_model(recipe, graph).double().eval()
    load_weights(small, places.narrow(large.state_dict()), origin="narrow", remedy="")
    everyone = torch.arange(small.num_users)
    with torch.no_grad():
        expected = places.narrow_scores(large.score)(everyone)
        torch.testing.assert_close(small.score(everyone), expected, rtol=1e-9, atol=1e-9)


def test_widened_weights_are_those_of_both(division: Division) -> None:
    places = division.places
    rows = torch.arange(12.0)[:, None].expand(12, 2)
    fresh = {"a.user_embedding": -rows - 1, "item_bias": -rows[:, 0] - 1, "w": torch.zeros(2)}
    weights = {"a.user_embedding": rows, "item_bias": rows[:, 0], "w": torch.ones(2)}
    narrow = places.narrow(weights)
    assert narrow["item_bias"].tolist() == [0, 1, 2, 4, 5, 6, 8, 9, 10, 11]
    wide = places.widen(narrow, fresh)
    assert wide["a.user_embedding"][:, 0].tolist() == [0, 1, 2, 3, -5, 5, 6, 7, 8, 9, 10, 11]
    assert wide["item_bias"].tolist() == [0, 1, 2, -4, 4, 5, 6, -8, 8, 9, 10, 11]
    assert wide["w"].tolist() == [1, 1]
    assert fresh["item_bias"][0] == -1  # not changed
