"""Runs that are interrupted and gone on with, and what keeps two processes from training the same one."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from mmgraph.errors import ConfigError
from mmgraph.experiment import Observer, resume, train
from mmgraph.export import RunFolder
from mmgraph.sparse import choose_backend


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set of two groups of users and items with one modality; not to be changed."""
    root = tmp_path_factory.mktemp("data") / "mine"
    root.mkdir()
    rng = np.random.default_rng(0)
    rows = ["user,item"]
    for user in range(40):
        own = rng.choice(np.arange(user % 2, 30, 2), 9, replace=False)
        rows += [f"u{user},{item}" for item in sorted({*own.tolist(), *rng.choice(30, 3).tolist()})]
    (root / "rows.csv").write_text("\n".join(rows))
    np.save(root / "text.npy", rng.normal(size=(30, 6)).astype("f4"))
    (root / "dataset.toml").write_text(
        'name = "mine"\n[interactions]\nfile = "rows.csv"\nuser = "user"\nitem = "item"\n'
        '[features.text]\nfile = "text.npy"\n'
    )
    return root


def options(*more):
    return ["training.max_epochs=3", "graph.k=3", "model.embedding_dim=8", *more]


class Watches(Observer):
    """Remembers notes, and the threads and the kernel of each epoch."""

    def __init__(self):
        self.notes, self.threads, self.kernels = [], [], []

    def note(self, text):
        self.notes.append(text)

    def epoch(self, report, recipe):
        self.threads.append(torch.get_num_threads())
        self.kernels.append(choose_backend("cpu"))


class Refuses(Observer):
    """Dies like a killed process would, at a chosen epoch."""

    def __init__(self, epoch):
        self.last = epoch

    def epoch(self, report, recipe):
        if report.epoch == self.last:
            raise KeyboardInterrupt


@pytest.mark.parametrize("model", ["bpr_mf", "lightgcn", "mm_gef"])
def test_resume_ends_with_the_same_bytes(model, folder, tmp_path, hashes):
    more = options("training.checkpoint_seconds=0", "training.max_epochs=5")
    straight = train(model, folder, overrides=more, out=tmp_path / "straight")
    with pytest.raises(KeyboardInterrupt):
        train(model, folder, overrides=more, out=tmp_path / "broken", observer=Refuses(3))
    assert hashes(straight.path) == hashes(resume(tmp_path / "broken").path)
    assert resume(tmp_path / "broken").summary["epochs"] == 5  # complete: nothing happens


def test_kill_nine_at_random_moments(folder, tmp_path, hashes, request):
    """A real process, killed again and again wherever it happens to be, ends byte for byte as one left alone."""
    keys = "training.max_epochs=40 training.patience=40 training.checkpoint_seconds=0"
    settings = [word for key in keys.split() for word in ("--set", key)]
    arguments = ["lightgcn", "--dataset", str(folder), *settings, "--threads", "1"]
    arguments += ["--set", "model.embedding_dim=8"]

    begun = []

    def start(*more):
        command = [sys.executable, "-m", "mmgraph", "train", *more]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        begun.append(subprocess.Popen(command, **quiet))
        return begun[-1]

    def end_all():
        for process in begun:
            process.kill()
            process.wait()

    request.addfinalizer(end_all)
    assert start(*arguments, "--out", str(tmp_path / "straight")).wait(600) == 0
    out, pause = tmp_path / "killed", random.Random(7)
    process, kills = start(*arguments, "--out", str(out)), 0
    deadline = time.monotonic() + 600
    while kills < 3 and time.monotonic() < deadline:
        lines = out / "metrics.jsonl"
        wanted = 1 + len(lines.read_text().splitlines()) if lines.exists() else 1
        while process.poll() is None and not (
            lines.exists() and len(lines.read_text().splitlines()) > wanted
        ):
            time.sleep(0.005)
        time.sleep(pause.random() / 50)
        if process.poll() is not None:
            break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
        process = start("--resume", str(out))
    assert process.wait(600) == 0
    assert kills > 0
    assert hashes(out) == hashes(tmp_path / "straight")
    assert not (out / ".lock").exists()


def test_a_run_whose_data_set_moved_can_be_resumed(folder, tmp_path, hashes):
    more = options("training.checkpoint_seconds=0", "training.max_epochs=4")
    straight = train("lightgcn", folder, overrides=more, out=tmp_path / "straight")
    shutil.copytree(folder, tmp_path / "old")
    with pytest.raises(KeyboardInterrupt):
        train(
            "lightgcn", tmp_path / "old", overrides=more, out=tmp_path / "run", observer=Refuses(2)
        )
    (tmp_path / "old").rename(tmp_path / "new")
    resumed = resume(tmp_path / "run", dataset=tmp_path / "new")
    assert hashes(resumed.path) == hashes(straight.path)


def test_a_resumed_run_keeps_its_threads(folder, tmp_path):
    before = torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt):
        train("bpr_mf", folder, overrides=options(), out=tmp_path / "run", observer=Refuses(1))
    facts = json.loads((tmp_path / "run" / "environment.json").read_text())
    (tmp_path / "run" / "environment.json").write_text(json.dumps({**facts, "threads": before + 1}))
    resume(tmp_path / "run", observer=(told := Watches()))
    assert set(told.threads) == {before + 1}
    assert torch.get_num_threads() == before


class Resumes(Observer):
    """Tries to go on with the run that is being trained."""

    def __init__(self, path):
        self.path, self.refusals = path, []

    def epoch(self, report, recipe):
        with pytest.raises(ConfigError, match="trained by one process at a time") as caught:
            resume(self.path)
        self.refusals.append(str(caught.value))


def test_a_run_is_trained_by_one_process_at_a_time(folder, tmp_path, hashes):
    more = options("training.checkpoint_seconds=0")
    alone = train("lightgcn", folder, overrides=more, out=tmp_path / "alone")
    tries = Resumes(tmp_path / "run")
    run = train("lightgcn", folder, overrides=more, out=tmp_path / "run", observer=tries)
    assert len(tries.refusals) == 3
    assert str(run.path) in tries.refusals[0]
    assert "\n" not in tries.refusals[0]
    assert hashes(run.path) == hashes(alone.path)
    assert sorted(p.name for p in run.path.iterdir()) == sorted(
        p.name for p in alone.path.iterdir()
    )
    assert not any(path.name == ".lock" for path in run.path.iterdir())
    assert ".lock" not in run.folder.facts()["files"]


def test_a_resumed_run_is_held_too(folder, tmp_path):
    more = options("training.checkpoint_seconds=0")
    with pytest.raises(KeyboardInterrupt):
        train("bpr_mf", folder, overrides=more, out=tmp_path / "run", observer=Refuses(2))
    assert not (tmp_path / "run" / ".lock").exists()
    (tmp_path / "run" / ".lock").touch()  # as a killed process leaves it
    resume(tmp_path / "run", observer=(tries := Resumes(tmp_path / "run")))
    assert len(tries.refusals) == 2
    assert not (tmp_path / "run" / ".lock").exists()


def test_a_run_that_another_process_has_just_finished_is_returned(
    folder, tmp_path, monkeypatch, hashes
):
    """Between the making of its folder and the lock a resume may come in and finish it."""
    training, before = RunFolder.training, []

    def late(run_folder):
        monkeypatch.setattr(RunFolder, "training", training)
        before.append(hashes(resume(run_folder.path).path))
        return run_folder.training()

    monkeypatch.setattr(RunFolder, "training", late)
    run = train("bpr_mf", folder, overrides=options(), out=tmp_path / "run")
    assert before == [hashes(run.path)]
    assert len((run.path / "metrics.jsonl").read_text().splitlines()) == 3


def test_seconds_before_an_interruption_count(folder, tmp_path):
    more = options("training.checkpoint_seconds=0")
    with pytest.raises(KeyboardInterrupt):
        train("bpr_mf", folder, overrides=more, out=tmp_path / "run", observer=Refuses(3))
    (checkpoint,) = (tmp_path / "run" / "checkpoints").iterdir()
    state = json.loads((checkpoint / "state.json").read_text())
    state["progress"]["seconds"] = 5000.0
    (checkpoint / "state.json").write_text(json.dumps(state))
    assert resume(tmp_path / "run").summary["timings"]["total_s"] > 5000


@pytest.mark.cuda
@pytest.mark.parametrize("model", ["lightgcn", "mario"])
def test_a_gpu_run_that_was_interrupted_ends_with_the_same_weights(model, folder, tmp_path):
    """MARIO draws dropout on the device, whose random state has to come back."""
    width = "model.backbone.embedding_dim=8" if model == "mario" else "model.embedding_dim=8"
    more = ["training.max_epochs=5", "graph.k=3", width, "training.checkpoint_seconds=0"]
    where = {"overrides": more, "device": "cuda"}
    before = torch.cuda.get_rng_state()
    straight = train(model, folder, out=tmp_path / "straight", **where)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    with pytest.raises(KeyboardInterrupt):
        train(model, folder, out=tmp_path / "broken", observer=Refuses(3), **where)
    torch.cuda.manual_seed(1)
    weights = [
        run.folder.read_tensors("model.safetensors")
        for run in (straight, resume(tmp_path / "broken"))
    ]
    for name, value in weights[0].items():
        # Sums on a GPU have no fixed order; another state would give other numbers altogether.
        torch.testing.assert_close(weights[1][name], value, rtol=1e-3, atol=1e-4)


def test_a_resumed_run_keeps_its_kernel(folder, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train("lightgcn", folder, overrides=options(), out=tmp_path / "run", observer=Refuses(1))
    facts = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert facts["sparse_backend"] == choose_backend("cpu") != "gather"
    facts["sparse_backend"] = "gather"
    (tmp_path / "run" / "environment.json").write_text(json.dumps(facts))
    resume(tmp_path / "run", observer=(told := Watches()))
    assert set(told.kernels) == {"gather"}
    assert any("begun with the sparse backend 'gather'" in note for note in told.notes)
