import pytest
import torch

from mmgraph.errors import ConfigError, MissingDependency
from mmgraph.experiment import Observer, resume, train
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.models import get_model
from mmgraph.testing import checkerboard_dataset
from mmgraph.training import PairwiseSampler, TrainingConfig, fit, measure_memory
from mmgraph.training.neighbors import NeighborhoodSampler


def board(norm="sym", num_layers=2, name="lightgcn"):
    """The checkerboard's pairs, its graph, and a model on it in float64."""
    data = checkerboard_dataset()
    pairs = PairwiseSampler(
        torch.from_numpy(data.train.user), torch.from_numpy(data.train.item), num_items=12
    )
    edges = () if name == "lightgcn" else ("knn", "co_item")
    graph = build_graph(data, GraphConfig(edges=edges, ui_norm=norm, k=3))
    model_class = get_model(name)
    options = {"num_layers": num_layers} if name == "lightgcn" else {}
    torch.manual_seed(0)
    return pairs, graph, model_class(graph, model_class.Config(embedding_dim=4, **options)).double()


def epoch(sampler, batch_size=16):
    return [*sampler.epoch(batch_size, torch.Generator().manual_seed(1))]


@pytest.mark.sparse
@pytest.mark.parametrize("norm", ["sym", "rw", "rw_self"])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_with_all_neighbours_losses_and_gradients_are_those_of_the_whole_graph(norm, num_layers):
    pairs, graph, model = board(norm, num_layers)
    sampler = NeighborhoodSampler(pairs, graph, [-1] * num_layers, model=model)
    tables = [model.user_embedding, model.item_embedding]
    for whole, part in zip(epoch(pairs), epoch(sampler), strict=True):
        near = part.neighborhood
        assert torch.equal(near.user[part.user], whole.user)
        assert torch.equal(near.item[part.positive], whole.positive)
        assert torch.equal(near.item[part.negative], whole.negative)
        expected, found = model.losses(whole), model.losses(part)
        for name in expected:
            torch.testing.assert_close(found[name], expected[name], rtol=1e-6, atol=1e-9)
            gradients = [
                torch.autograd.grad(x[name], tables, retain_graph=True) for x in (found, expected)
            ]
            torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-8)


@pytest.mark.sparse
def test_a_sample_is_bounded_and_its_sums_are_right_on_average():
    """Every node has five neighbours; each of two draws counts two and a half times."""
    pairs, graph, model = board("rw", num_layers=1)
    sampler = NeighborhoodSampler(pairs, graph, [2], model=model)
    x = torch.randn(24, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    whole = model.propagation.adjacency.to_dense() @ x
    total, count = torch.zeros(24, 3, dtype=torch.float64), torch.zeros(24, 1)
    for _ in range(300):
        for batch in epoch(sampler, 30):
            near = batch.neighborhood
            rows = torch.cat([near.user, 12 + near.item])
            dense = near.adjacency.to_dense().double()
            drawn = (dense != 0).sum(dim=1)
            assert set(drawn.tolist()) <= {0, 1, 2}
            seeds = drawn > 0
            torch.testing.assert_close(
                dense.sum(dim=1)[seeds], torch.ones(int(seeds.sum())).double()
            )
            total.index_add_(0, rows[seeds], (dense @ x[rows])[seeds])
            count.index_add_(0, rows[seeds], torch.ones(int(seeds.sum()), 1))
    assert count.min() > 300
    torch.testing.assert_close(total / count, whole, rtol=0, atol=0.15)


@pytest.mark.sparse
def test_the_same_seeds_give_the_same_training():
    weights = []
    for _ in range(2):
        pairs, graph, model = board()
        sampler = NeighborhoodSampler(pairs, graph, [2, 2], model=model)
        torch.manual_seed(4)
        config = TrainingConfig(max_epochs=3, batch_size=16)
        fit(model, sampler, config=config, seed=1, validate=None, select_by="recall@20")
        weights.append(model.user_embedding.detach())
    assert torch.equal(*weights)


@pytest.mark.sparse
def test_memory_counts_the_sample_and_leaves_the_random_state():
    pairs, graph, model = board()
    sampler = NeighborhoodSampler(pairs, graph, [2, 2], model=model)
    before = torch.get_rng_state()
    report = measure_memory(model, sampler, config=TrainingConfig(batch_size=16))
    assert torch.equal(torch.get_rng_state(), before)
    structure = 2 * 60 * (2 * 8 + 4)  # both directions: sources, targets, weights
    assert report.sampler > structure
    assert report.sampler > measure_memory(model, pairs, config=TrainingConfig()).sampler


def test_a_model_that_needs_the_whole_graph_is_refused():
    pairs, graph, model = board(name="mm_gef")
    with pytest.raises(ConfigError, match=r"a part of the graph \(got MMGEF\); leave it out"):
        NeighborhoodSampler(pairs, graph, [2, 2], model=model)


def test_hops_must_be_layers():
    pairs, graph, model = board(num_layers=3)
    with pytest.raises(ConfigError, match=r"\(got 2 for 3 layers of LightGCN\); write 3 numbers"):
        NeighborhoodSampler(pairs, graph, [2, 2], model=model)


def test_without_a_package_that_samples_the_install_line_is_named(monkeypatch):
    monkeypatch.setattr("mmgraph.training.neighbors.find_spec", lambda name: None)
    pairs, graph, model = board()
    with pytest.raises(MissingDependency, match=r"run `python -m mmgraph\.sparse\.extensions`"):
        NeighborhoodSampler(pairs, graph, [2, 2], model=model)


@pytest.mark.sparse
def test_a_recipe_trains_on_sampled_neighbours_and_goes_on_with_the_same_bytes(tmp_path):
    keys = ["training.num_neighbors=[4, 4]", "model.num_layers=2", "model.embedding_dim=8"]
    keys += ["training.max_epochs=2", "training.checkpoint_seconds=0"]

    class Stops(Observer):
        def epoch(self, report, recipe):
            if report.epoch == 2:
                raise KeyboardInterrupt

    whole = train("lightgcn", "movielens-small", overrides=keys, out=tmp_path / "whole")
    broken = {"out": tmp_path / "broken", "observer": Stops()}
    with pytest.raises(KeyboardInterrupt):
        train("lightgcn", "movielens-small", overrides=keys, **broken)
    again = resume(tmp_path / "broken")
    for name in ("model.safetensors", "metrics.json"):
        assert (whole.path / name).read_bytes() == (again.path / name).read_bytes()


def test_a_recipe_whose_model_needs_the_whole_graph_writes_nothing(tmp_path):
    out, keys = tmp_path / "run", ["training.num_neighbors=[4, 4]"]
    with pytest.raises(ConfigError, match="leave it out"):
        train("bpr_mf", "movielens-small", overrides=keys, out=out)
    assert list(tmp_path.iterdir()) == []


def test_several_negatives_are_refused():
    pairs, graph, model = board()
    several = PairwiseSampler(pairs.user, pairs.item, num_items=12, num_negatives=3)
    with pytest.raises(ConfigError, match=r"one negative .*\(got LightGCN with 3\); leave it out"):
        NeighborhoodSampler(several, graph, [2, 2], model=model)
