import errno
import json
import shutil

import pytest
import torch

from mmgraph.config import Recipe
from mmgraph.data import load_dataset
from mmgraph.errors import ConfigError
from mmgraph.experiment import evaluate, train
from mmgraph.run import (
    build_model,
    check_place,
    data_source,
    load_data,
    load_run,
    load_weights,
    usable_device,
)
from mmgraph.testing import checkerboard_graph

RECIPE = Recipe.build({"model": {"name": "lightgcn", "embedding_dim": 4}, "seed": 5})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of one epoch; not to be changed."""
    out = tmp_path_factory.mktemp("trained") / "run"
    return train("bpr_mf", "movielens-small", overrides=["training.max_epochs=1"], out=out).path


@pytest.fixture
def run(trained, tmp_path):
    """A copy of it, to be changed at will."""
    return shutil.copytree(trained, tmp_path / "run")


def test_a_run_is_read_back_as_it_was_trained(trained):
    run = load_run(trained)
    assert (run.recipe.model.name, run.path, run.device) == ("bpr_mf", trained, "cpu")
    assert run.metrics["test"] == run.summary["test"]
    assert run.summary["memory"]["parameters"] == 4 * run.summary["num_parameters"]
    environment = json.loads((trained / "environment.json").read_text())
    assert run.summary["sparse_backend"] == environment["sparse_backend"]
    weights = run.folder.read_tensors("model.safetensors")
    assert all(torch.equal(value, weights[key]) for key, value in run.model.state_dict().items())
    assert not run.model.training
    assert run.model is run.model


def test_a_run_from_before_memory_was_measured_has_a_summary(run):
    facts = json.loads((run / "run.json").read_text())
    del facts["memory"]
    (run / "run.json").write_text(json.dumps(facts))
    assert load_run(run).summary["memory"] is None


def test_a_run_without_recipe_is_refused(run):
    (run / "recipe.toml").unlink()
    with pytest.raises(ConfigError, match=r"recipe\.toml: the run lacks its recipe"):
        load_run(run)


def test_weights_of_another_model_are_refused(run):
    (run / "recipe.toml").write_text(
        (run / "recipe.toml").read_text().replace("bpr_mf", "lightgcn")
    )
    facts = json.loads((run / "run.json").read_text())
    del facts["files"]["recipe.toml"]
    (run / "run.json").write_text(json.dumps(facts))
    text = (run / "recipe.toml").read_text()
    assert "lightgcn" in text
    (run / "recipe.toml").write_text(text.replace("embedding_dim = 64", "embedding_dim = 32"))
    with pytest.raises(
        ConfigError,
        match=r"model\.safetensors: must be the weights of this lightgcn \('user_emb\w+' is",
    ):
        _ = load_run(run).model


def test_a_recipe_without_data_set_needs_one():
    with pytest.raises(ConfigError, match="a data set is needed"):
        load_data(RECIPE)
    given = load_data(RECIPE, "movielens-small")
    assert given.content_hash == load_dataset("movielens-small").content_hash


def test_initial_weights_follow_the_seed_and_leave_other_random_numbers_alone():
    graph, before = checkerboard_graph(), torch.get_rng_state()
    first = build_model(RECIPE, graph)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    second = build_model(RECIPE, graph)
    other = build_model(RECIPE.model_copy(update={"seed": 6}), graph)
    assert torch.equal(first.user_embedding, second.user_embedding)
    assert not torch.equal(first.user_embedding, other.user_embedding)


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "meta"])
def test_a_device_that_is_not_there_is_refused_in_one_line(name):
    with pytest.raises(
        ConfigError, match=rf"--device must be usable here \(got '{name}'"
    ) as caught:
        usable_device(name)
    assert "\n" not in str(caught.value)


def test_a_run_is_not_loaded_for_a_device_that_is_not_there(trained):
    with pytest.raises(ConfigError, match="--device must be usable here"):
        load_run(trained, device="cuda:99")


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("/dev/null/run", "Not a directory"),
        ("/proc/run", "No such file or directory"),
        ("x" * 256, "File name too long"),
        ("new/" + "x" * 256, "File name too long"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_in_one_line(place, told, tmp_path):
    with pytest.raises(
        ConfigError, match=rf"must be a place that can be written \({told}\)"
    ) as caught:
        check_place(tmp_path / place)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_place_is_tried_without_a_trace(tmp_path):
    check_place(tmp_path)
    check_place(tmp_path / "new" / "run")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_no_fault_of_the_place(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mmgraph.run.tempfile.TemporaryDirectory", full)
    with pytest.raises(OSError, match="No space left"):
        check_place(tmp_path / "run")


@pytest.mark.parametrize("key", ["epochs", "best_epoch", "valid", "test"])
def test_damaged_metrics_are_named(run, key):
    loaded = load_run(run)
    metrics = loaded.metrics
    del metrics[key]
    (run / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(ConfigError, match=rf"metrics.json: must hold '{key}' \(got None\)"):
        _ = loaded.metrics


def test_missing_metrics_say_what_can_be_done(run):
    loaded = load_run(run)
    (run / "metrics.json").unlink()
    with pytest.raises(ConfigError, match=r"metrics.json: the run lacks this file; restore it"):
        _ = loaded.metrics
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "complete": False}))
    with pytest.raises(ConfigError, match=rf"finish it with `mmgraph train --resume {run}`"):
        _ = loaded.metrics


def test_what_needs_a_complete_run_refuses_others(run):
    loaded = load_run(run)
    loaded.check_complete("a test")
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "complete": False}))
    told = rf"a test needs a complete run .*`mmgraph train --resume {run}`"
    with pytest.raises(ConfigError, match=told):
        loaded.check_complete("a test")
    with pytest.raises(ConfigError, match="a recommendation needs a complete run"):
        loaded.recommend(loaded.dataset.users.ids[0])
    with pytest.raises(ConfigError, match="an evaluation needs a complete run"):
        evaluate(loaded)


def test_where_the_data_set_of_a_recipe_is():
    assert data_source(RECIPE, "here") == "here"
    named = Recipe.build({"model": {"name": "bpr_mf"}, "data": {"dataset": "movielens-small"}})
    assert data_source(named) == "movielens-small"
    with pytest.raises(ConfigError, match="a data set is needed"):
        data_source(RECIPE)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda w: {**w, "user_embedding": torch.zeros(2, 2)},
            r"'user_embedding' is \(2, 2\) there and \(12, 4\) in the model",
        ),
        (
            lambda w: {k: v for k, v in w.items() if k != "item_embedding"},
            r"'item_embedding' is missing there and \(12, 4\) in the model",
        ),
        (lambda w: {**w, "more": torch.zeros(1)}, r"'more' is \(1,\) there and missing in"),
    ],
)
def test_weights_of_other_shapes_are_refused_in_one_line(change, told):
    model = build_model(RECIPE, checkerboard_graph())
    before = model.user_embedding.detach().clone()
    with pytest.raises(ConfigError, match=rf"x: must be the .* lightgcn \({told}.*; undo it"):
        load_weights(model, change(model.state_dict()), origin="x", remedy="undo it")
    assert torch.equal(model.user_embedding, before)
