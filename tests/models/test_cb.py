import numpy as np
import pytest
import torch

from mmgraph.config import Recipe
from mmgraph.errors import ConfigError, GraphError
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.graph.schema import item_features, knn_edge_type
from mmgraph.models.cb import CB, CBConfig
from mmgraph.testing import ScoringContract, checkerboard_dataset, checkerboard_graph, oracles

FORMS = ["profile", "neighbours"]
EVERYONE = torch.arange(12)


class TestProfile(ScoringContract):
    model = CB


class TestNeighbours(ScoringContract):
    model, options = CB, {"form": "neighbours", "k": 3, "shrink": 0.5, "history": "sum"}


def board(train=None, **features):
    """The checkerboard, with other training pairs or other features where given."""
    data = checkerboard_dataset()
    if train is not None:
        user, item = (np.array(ends, dtype=np.int64) for ends in zip(*train, strict=True))
        data = type(data)(**{**vars(data), "train": type(data.train)(user, item)})
    kept = {name: data.features[name] for name in ("text", "image")}
    for name, x in features.items():
        kept[name] = type(kept["text"])(name, x, np.ones(len(x), dtype=bool), {})
    return build_graph(type(data)(**{**vars(data), "features": kept}), GraphConfig(k=3))


def make(graph=None, **options):
    return CB(checkerboard_graph() if graph is None else graph, CBConfig(**options)).double().eval()


def histories(graph):
    item, user = graph["item", "rev_interacts", "user"].edge_index
    dense = np.zeros((12, 12))
    dense[user, item] = 1
    return dense


def similarity(graph, shares, *, form, shrink=0.0):
    features = item_features(graph)
    near = None
    if form == "neighbours":
        edges = {name: graph[knn_edge_type(name)].edge_index for name in features}
        near = [[e[0][e[1] == j].tolist() for j in range(12)] for e in edges.values()]
    values = [x for x, _ in features.values()], [has for _, has in features.values()]
    return oracles.cb_similarity(*values, shares, shrink=shrink, neighbours=near)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("history", ["mean", "sum"])
@pytest.mark.parametrize("given", [{}, {"image": 0.9}, {"text": 1.0}])
def test_scores_equal_the_equations_written_out(form, history, given):
    """Item 0 has no image; nobody but its own features decides what it is like."""
    graph = checkerboard_graph()
    shares = [given.get("text", 1 - given.get("image", 0.5)), 0.0]
    shares[1] = 1 - shares[0]
    shrink = 0.7 if form == "neighbours" else 0.0
    model = make(graph, form=form, history=history, shares=given, shrink=shrink)
    dense = similarity(graph, shares, form=form, shrink=shrink)
    expected = oracles.cb_scores(histories(graph), dense, mean=history == "mean")
    np.testing.assert_allclose(model.score(EVERYONE), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("form", FORMS)
def test_a_user_with_one_item_gets_that_items_row(form):
    graph = board([(user, 11 - user) for user in range(12)])
    dense = similarity(graph, [0.5, 0.5], form=form)
    scores = make(graph, form=form).score(EVERYONE)
    np.testing.assert_allclose(scores, dense[::-1], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("form", FORMS)
def test_scores_are_linear_in_the_history(form):
    one, other = [(0, 3), (0, 4), (1, 7)], [(0, 8), (1, 2), (5, 5)]
    parts = [make(board(pairs), form=form, history="sum").score(EVERYONE) for pairs in (one, other)]
    both = make(board(one + other), form=form, history="sum").score(EVERYONE)
    torch.testing.assert_close(parts[0] + parts[1], both, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("form", FORMS)
def test_lengths_of_features_do_not_matter_without_shrinking(form):
    data = checkerboard_dataset()
    factors = np.linspace(0.5, 9, 12, dtype=np.float32)[:, None]
    plain, scaled = (
        make(board(text=data.features["text"].x * by), form=form) for by in (1, factors)
    )
    torch.testing.assert_close(plain.score(EVERYONE), scaled.score(EVERYONE), rtol=1e-5, atol=1e-6)


def test_lengths_matter_with_shrinking():
    data = checkerboard_dataset()
    plain, scaled = (
        make(board(text=data.features["text"].x * by), form="neighbours", shrink=1.0)
        for by in (1, 9)
    )
    assert not torch.allclose(plain.score(EVERYONE), scaled.score(EVERYONE), atol=1e-2)


def test_the_profile_is_the_mean_of_the_historys_unit_vectors():
    model = make(board([(0, 3), (0, 4), (2, 5)]))
    user, item = model.encode()
    torch.testing.assert_close(user[0], (item[3] + item[4]) / 2, rtol=1e-6, atol=1e-7)
    assert torch.equal(user[1], torch.zeros_like(user[1]))
    torch.testing.assert_close(item.norm(dim=1), torch.ones(12).double(), rtol=0, atol=1e-6)
    assert torch.equal(model.score(EVERYONE), user @ item.T)


def test_an_item_without_any_modality_scores_zero():
    data = checkerboard_dataset()
    there = np.arange(12) != 4
    features = {
        name: type(f)(name, f.x, f.present & there, {}) for name, f in data.features.items()
    }
    graph = build_graph(type(data)(**{**vars(data), "features": features}), GraphConfig(k=3))
    for form in FORMS:
        scores = make(graph, form=form).score(EVERYONE)
        assert not scores[:, 4].any()
        assert scores.isfinite().all()


def test_parts_of_the_modalities_add_up_where_vectors_score():
    model = make()
    parts = model.modality_embeddings()
    assert [part.item.size(1) for part in parts.values()] == [2, 3]
    total = sum(part.user @ part.item.T for part in parts.values())
    torch.testing.assert_close(total, model.score(EVERYONE), rtol=1e-12, atol=1e-12)


def test_neighbours_have_no_vectors_that_score():
    model = make(form="neighbours")
    assert model.retrieval_embeddings() is None
    assert model.modality_embeddings() == {}
    profile = make()
    assert torch.equal(model.encode().item, profile.encode().item)


def test_users_in_any_order_and_twice():
    model = make(form="neighbours")
    users = torch.tensor([7, 2, 7])
    torch.testing.assert_close(model.score(users), model.score(EVERYONE)[users])


def test_it_asks_for_neighbours_only_where_it_needs_them():
    recipe = Recipe.build({"model": {"name": "cb"}})
    assert recipe.graph.edges == ()
    recipe = Recipe.build({"model": {"name": "cb", "form": "neighbours"}, "graph": {"k": 4}})
    assert (recipe.graph.edges, recipe.model.k) == (("knn",), 4)


def test_without_features_it_says_so():
    data = checkerboard_dataset()
    graph = build_graph(type(data)(**{**vars(data), "features": {}}), GraphConfig(k=3))
    with pytest.raises(GraphError, match="cb needs item features"):
        make(graph)


def test_an_unknown_modality_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'image'"):
        make(shares={"imag": 0.3})
