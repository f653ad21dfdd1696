import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from mmgraph import experiment
from mmgraph.config import resolve_recipe
from mmgraph.data import load_dataset
from mmgraph.errors import ConfigError, DataError, GraphError
from mmgraph.experiment import Observer, cold_start_note, evaluate, load_run, train
from mmgraph.sparse import choose_backend
from mmgraph.training import MemoryReport

MODELS = ["bpr_mf", "lightgcn", "mm_gef"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set as a user makes one: ratings in a csv, vectors in a npy, a card."""
    root = tmp_path_factory.mktemp("data") / "mine"
    root.mkdir()
    rng = np.random.default_rng(0)
    taste = rng.integers(0, 3, 40)
    lines = ["user,item,stars,time"]
    for user in range(40):
        own = [i for i in range(30) if i % 3 == taste[user]]
        for item in sorted({*rng.choice(own, 8, replace=False), *rng.choice(30, 3)}):
            lines.append(f"u{user},{item},{rng.integers(3, 6)},{rng.integers(1000)}")
    (root / "ratings.csv").write_text("\n".join(lines))
    kind = np.eye(3)[np.arange(30) % 3]
    np.save(
        root / "text.npy",
        (kind @ rng.normal(size=(3, 6)) + 0.1 * rng.normal(size=(30, 6))).astype("f2"),
    )
    (root / "dataset.toml").write_text(
        'name = "mine"\n[interactions]\nfile = "ratings.csv"\nuser = "user"\nitem = "item"\nrating = "stars"\n'
        'timestamp = "time"\n[split]\nmethod = "ratio"\nseed = 1\n[features.text]\nfile = "text.npy"\n'
    )
    return root


def options(*more):
    return ["training.max_epochs=3", "graph.k=3", "model.embedding_dim=8", *more]


@pytest.mark.parametrize("model", MODELS)
def test_the_whole_way(model, folder, tmp_path):
    run = train(model, folder, overrides=options(), seed=4, out=tmp_path / "run")
    summary = run.summary
    assert (summary["model"], summary["dataset"], summary["seed"]) == (model, "mine", 4)
    assert 0 < summary["test"]["recall@20"] <= 1
    assert summary["timings"].keys() >= {"build_s", "epoch_s_median", "eval_s_median", "total_s"}
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == summary["epochs"]
    assert not (tmp_path / "run" / "checkpoints").exists()
    loaded = load_run(tmp_path / "run")
    result = evaluate(loaded)
    assert result.mean == summary["test"]
    lists = loaded.recommend("u3", k=5)
    known = {
        loaded.dataset.items[i]
        for i in loaded.dataset.train.item[
            loaded.dataset.train.user == loaded.dataset.users.index("u3")
        ]
    }
    assert len(lists) == 5
    assert not known & {r.item for r in lists}


def test_same_seed_same_bytes_other_seed_others(folder, tmp_path, hashes):
    runs = [
        train("mm_gef", folder, overrides=options(), seed=s, out=tmp_path / str(n))
        for n, s in enumerate((1, 1, 2))
    ]
    first, again, other = (hashes(run.path) for run in runs)
    assert first == again
    assert first["model.safetensors"] != other["model.safetensors"]


def test_training_leaves_the_global_random_state_alone(folder, tmp_path):
    before = torch.get_rng_state()
    train("bpr_mf", folder, overrides=options(), out=tmp_path / "run")
    assert torch.equal(before, torch.get_rng_state())


def test_a_loaded_data_set_trains_as_its_folder_does(folder, tmp_path, hashes):
    by_path = train("lightgcn", folder, overrides=options(), out=tmp_path / "a")
    by_object = train("lightgcn", load_dataset(folder), overrides=options(), out=tmp_path / "b")
    assert hashes(by_path.path) == hashes(by_object.path)
    assert evaluate(by_object).mean == by_path.metrics["test"]


def test_a_changed_data_set_is_noticed(folder, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    run = train("bpr_mf", copy, overrides=options(), out=tmp_path / "run")
    with (copy / "ratings.csv").open("a") as file:
        file.write("\nu1,29,5,7\nu2,29,5,7")
    with pytest.raises(ConfigError, match="content hash"):
        evaluate(run.path)
    assert load_run(run.path).recommend("u1", k=2)  # needs the run alone


def test_a_data_set_that_moved_is_found_when_named(folder, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(folder, old)
    run = train("bpr_mf", old, overrides=options(), out=tmp_path / "run")
    old.rename(tmp_path / "new")
    with pytest.raises(DataError, match="old"):
        evaluate(run.path)
    moved = load_run(run.path, dataset=tmp_path / "new")
    assert evaluate(moved).mean == run.metrics["test"]


@pytest.mark.parametrize(
    ("recipe", "data", "more", "error", "message"),
    [
        ("lightgcn", None, [], ConfigError, "a data set is needed"),
        ("lightgcn", "no-such-data", [], DataError, "no-such-data"),
        ("mm_gef", "movielens-small", ["graph.k=5000"], GraphError, "k must be between 1 and"),
        ("lightgcn", "movielens-small", ["model.k=3"], ConfigError, "unknown key 'model.k'"),
        (
            "lightgcn",
            "movielens-small",
            ["training.sparse_backend=gahter"],
            ConfigError,
            "'gather'",
        ),
        ("lightgcn", "movielens-small", ["data.modalities=['smell']"], DataError, "smell"),
        (
            "lightgcn",
            "movielens-small",
            ["evaluation.ks=[20,9999]"],
            ConfigError,
            "ks must not exceed",
        ),
    ],
)
def test_bad_input_writes_nothing(recipe, data, more, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        train(recipe, data, overrides=more)
    assert list(tmp_path.iterdir()) == []


def test_a_taken_folder_is_refused_before_any_work(folder, tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ConfigError, match="new or empty folder"):
        train("bpr_mf", folder, out=tmp_path)


def test_default_folders_do_not_collide(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [train("bpr_mf", folder, overrides=options()).path for _ in range(2)]
    assert paths == [Path("runs/mine/bpr_mf-seed2026"), Path("runs/mine/bpr_mf-seed2026-2")]


def in_the_middle(monkeypatch, do):
    """Do something while the next run has chosen its folder and fills it."""
    write = experiment.write_inputs

    def writing(*args, **options):
        monkeypatch.setattr(experiment, "write_inputs", write)
        do()
        write(*args, **options)

    monkeypatch.setattr(experiment, "write_inputs", writing)


def test_default_folders_of_two_that_begin_together_do_not_collide(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    others = []
    in_the_middle(
        monkeypatch, lambda: others.append(train("bpr_mf", folder, overrides=options(), seed=2026))
    )
    run = train("bpr_mf", folder, overrides=options("model.embedding_dim=4"))
    assert [others[0].path, run.path] == [
        Path("runs/mine/bpr_mf-seed2026"),
        Path("runs/mine/bpr_mf-seed2026-2"),
    ]
    assert [r.folder.is_complete for r in (*others, run)] == [True, True]
    widths = [load_run(r.path).recipe.model.embedding_dim for r in (*others, run)]
    assert widths == [8, 4]
    assert sorted(path.name for path in Path("runs/mine").iterdir()) == [
        run.path.name[:-2],
        run.path.name,
    ]


def test_a_run_that_appears_meanwhile_is_not_written_over(folder, tmp_path, monkeypatch):
    out, others = tmp_path / "run", []
    in_the_middle(
        monkeypatch, lambda: others.append(train("bpr_mf", folder, overrides=options(), out=out))
    )
    with pytest.raises(ConfigError, match="new or empty folder"):
        train("bpr_mf", folder, overrides=options("model.embedding_dim=4"), out=out)
    assert evaluate(out).mean == others[0].metrics["test"]


def test_planted_test_rows_cannot_be_seen(folder, tmp_path, hashes):
    """Other test rows, same training and validation rows: every byte that training decides stays the same."""
    data = load_dataset(folder)
    rolled = type(data.test)(data.test.user, (data.test.item + 1) % data.num_items)
    planted = type(data)(**{**vars(data), "test": rolled})
    first = train("mm_gef", data, overrides=options(), out=tmp_path / "a")
    second = train("mm_gef", planted, overrides=options(), out=tmp_path / "b")
    for name in ("model.safetensors", "metrics.jsonl"):
        assert hashes(first.path)[name] == hashes(second.path)[name]
    assert first.metrics["test"] != second.metrics["test"]


@pytest.mark.cuda
@pytest.mark.parametrize("model", MODELS)
def test_a_gpu_trains_to_the_same_numbers(model, folder, tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    runs = [
        train(model, folder, overrides=options(), device=device, out=tmp_path / device)
        for device in ("cpu", "cuda")
    ]
    # Other random streams, other sums: the same level, not the same bits.
    cpu, gpu = (run.metrics["test"]["recall@20"] for run in runs)
    assert gpu == pytest.approx(cpu, abs=0.15)


class Told(Observer):
    """Remembers the notes, what training will need, and the kernel of each epoch."""

    def __init__(self):
        self.notes, self.reports, self.kernels = [], [], []

    def note(self, text):
        self.notes.append(text)

    def memory(self, report):
        self.reports.append(report)

    def started(self, folder):
        assert self.reports  # before there is a folder

    def epoch(self, report, recipe):
        self.kernels.append(choose_backend("cpu"))


@pytest.mark.parametrize("model", ["lightgcn", "mm_gef", "freedom"])
def test_measuring_memory_changes_no_byte_of_a_run(model, folder, tmp_path, monkeypatch, hashes):
    measured = train(model, folder, overrides=options(), out=tmp_path / "measured")
    monkeypatch.setattr("mmgraph.experiment.measure_memory", lambda *_, **__: MemoryReport())
    plain = train(model, folder, overrides=options(), out=tmp_path / "plain")
    assert hashes(measured.path) == hashes(plain.path)
    assert plain.summary["memory"]["total"] == 0


def test_what_training_needs_is_told_before_it_begins_and_kept(folder, tmp_path):
    more = {"observer": (told := Told()), "max_memory": "100GB"}
    run = train("lightgcn", folder, overrides=options(), out=tmp_path / "run", **more)
    (report,) = told.reports
    assert run.summary["memory"] == report.record() == run.folder.facts()["memory"]
    assert report.parameters == 4 * run.summary["num_parameters"]


@pytest.mark.parametrize("limit", ["1MB", "4"])
def test_a_run_that_needs_too_much_writes_nothing(limit, folder, tmp_path):
    with pytest.raises(ConfigError, match="--max-memory"):
        train("lightgcn", folder, overrides=options(), out=tmp_path / "run", max_memory=limit)
    assert list(tmp_path.iterdir()) == []


def test_the_kernel_of_the_recipe_is_used_and_noted(folder, tmp_path):
    told, before = Told(), choose_backend("cpu")
    more = options("training.sparse_backend=gather")
    run = train("lightgcn", folder, overrides=more, out=tmp_path / "run", observer=told)
    assert told.kernels == ["gather"] * 3
    assert run.summary["sparse_backend"] == "gather"
    assert choose_backend("cpu") == before
    assert evaluate(run).mean == run.metrics["test"]


def test_bfloat16_trains_to_about_the_same_and_to_the_same_bytes(folder, tmp_path, hashes):
    more = options("training.precision=bfloat16")
    full = train("lightgcn", folder, overrides=options(), out=tmp_path / "full")
    low, again = (
        train("lightgcn", folder, overrides=more, out=tmp_path / name) for name in ("low", "again")
    )
    assert hashes(low.path) == hashes(again.path) != hashes(full.path)
    weights = [run.folder.read_tensors("model.safetensors") for run in (full, low)]
    for name, value in weights[0].items():
        assert weights[1][name].dtype == torch.float32
        torch.testing.assert_close(weights[1][name], value, rtol=0, atol=0.02)


def test_a_split_that_can_leak_time_is_pointed_out(folder, tmp_path):
    train("bpr_mf", folder, overrides=options(), out=tmp_path / "run", observer=(told := Told()))
    assert any(note.startswith("Leakage") for note in told.notes)


def test_without_validation_rows_every_epoch_is_run(folder, tmp_path):
    data = load_dataset(folder)
    nobody = type(data.valid)(data.valid.user[:0], data.valid.item[:0])
    unvalidated = type(data)(**{**vars(data), "valid": nobody})
    run = train("bpr_mf", unvalidated, overrides=options(), out=tmp_path / "run")
    assert (run.metrics["best_epoch"], run.metrics["valid"]) == (3, {})


def test_the_run_folder_can_be_read_by_other_programs(folder, tmp_path, hashes):
    run = train("lightgcn", folder, overrides=options(), out=tmp_path / "run")
    facts = json.loads((run.path / "run.json").read_text())
    assert facts["complete"] is True
    assert set(facts["files"]) >= set(hashes(run.path)) | {
        "recipe.toml",
        "vocabulary.json",
        "environment.json",
    }
    train_rows = (run.path / "split" / "train.csv").read_text().splitlines()
    assert train_rows[0].startswith("user,item")
    assert len(train_rows) - 1 == len(run.dataset.train)


@pytest.mark.parametrize(
    ("model", "keys", "told"),
    [
        (
            "mm_gef",
            ["model.cold_id_scale=0"],
            "guarded by training.negatives = 'train_items', model.cold_id_scale = 0.0; "
            "not by model.exclude_self = False;",
        ),
        (
            "margo",
            ["model.backbone={name='mm_gef', exclude_self=true}", "training.negatives=all_items"],
            "guarded by model.backbone.exclude_self = True; not by training.negatives = 'all_items', "
            "model.backbone.cold_id_scale = 1.0;",
        ),
        (
            "lattice",
            ["graph.include_self=false"],
            "guarded by training.negatives = 'train_items', graph.include_self = False;",
        ),
    ],
)
def test_a_cold_start_says_what_guards_it_also_inside_of_a_wrapper(model, keys, told):
    note = cold_start_note(resolve_recipe(model, overrides=keys))
    assert note == f"Cold start: {told} cold items are ranked among all items."


def test_what_draws_no_negatives_is_not_guarded_by_which_these_are():
    note = cold_start_note(resolve_recipe("cb"), draws_negatives=False)
    assert note == "Cold start: cold items are ranked among all items."
