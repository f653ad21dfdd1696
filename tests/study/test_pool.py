"""Many trials: in order or side by side, failures beside the others, nothing left behind by an interrupt."""

import io
import json
import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from mmgraph.study import Event, Place, StudyObserver, Trial, pool
from mmgraph.study.pool import run_trials

# A worker that does what a label says, without loading torch.
PRETENDER = """
import json, os, sys, time

def say(kind, text=""):
    print(json.dumps({"kind": kind, "text": text, "epoch": 0, "limit": 0, "details": ""}), flush=True)

for line in sys.stdin:
    request = json.loads(line)
    label, folder = request["trial"]["label"], os.path.dirname(request["trial"]["path"])
    say("phase", f"{os.getpid()} {os.environ['OMP_NUM_THREADS']}")
    if label == "killed":
        os.kill(os.getpid(), 9)
    if label == "broken":
        sys.exit("no such thing")
    if label == "cut":
        os.write(1, b'{"kind": "do')
        os.kill(os.getpid(), 9)
    if label == "babbles":
        print("Loading ...", flush=True)
        time.sleep(600)
    if label == "endless":
        time.sleep(600)
    if label == "meets":
        mine = os.path.join(folder, str(os.getpid()))
        open(mine, "w").close()
        begin = time.monotonic()
        while len(os.listdir(folder)) < 2 and time.monotonic() - begin < 60:
            time.sleep(0.01)
        say("note", str(len(os.listdir(folder))))
    say("failed" if label == "fails" else "done", label)
"""


class Listener(StudyObserver):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Event]] = []

    def told(self, trial: Trial, event: Event) -> None:
        self.events.append((trial.label, event))

    def kinds(self, label: str) -> list[str]:
        return [event.kind for name, event in self.events if name == label]

    def processes(self, label: str) -> list[int]:
        said = [
            event.text for name, event in self.events if name == label and event.kind == "phase"
        ]
        return [int(text.split()[0]) for text in said]


def trials(folder: Path, *labels: str) -> list[Trial]:
    return [Trial(label, seed, {}, folder / str(seed)) for seed, label in enumerate(labels)]


@pytest.fixture
def pretending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "worker.py"
    script.write_text(PRETENDER)
    monkeypatch.setattr(pool, "_COMMAND", [sys.executable, str(script)])


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.usefixtures("pretending")
def test_workers_are_side_by_side_and_serve_again(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    listener = Listener()
    both = [Trial("meets", seed, {}, tmp_path / "m" / str(seed)) for seed in (1, 2)]
    later = trials(tmp_path, "a", "b", "c")
    assert run_trials([*both, *later], listener, place=Place(jobs=2)) == {}
    assert [e.text for _, e in listener.events if e.kind == "note"] == ["2", "2"]
    seen = {process for label in ("meets", "a", "b", "c") for process in listener.processes(label)}
    assert len(seen) == 2
    assert all(map(gone, seen))
    assert listener.kinds("a") == ["started", "phase", "done"]
    threads = {e.text.split()[1] for _, e in listener.events if e.kind == "phase"}
    assert threads == {"1"}


@pytest.mark.usefixtures("pretending")
def test_what_fails_or_dies_keeps_nobody_from_their_turn(tmp_path: Path) -> None:
    listener = Listener()
    failures = run_trials(
        trials(tmp_path, "fails", "killed", "a", "broken", "b", "c"),
        listener,
        place=Place(jobs=2, threads=3),
    )
    assert set(failures) == {("fails", 0), ("killed", 1), ("broken", 3)}
    assert failures["fails", 0] == "fails"
    assert failures["killed", 1] == "its process ended (signal 9, perhaps for want of memory)"
    assert failures["broken", 3] == "its process ended (no such thing)"
    for label in ("a", "b", "c"):
        assert listener.kinds(label)[-1] == "done"
    assert {e.text.split()[1] for _, e in listener.events if e.kind == "phase"} == {"3"}


@pytest.mark.usefixtures("pretending")
def test_what_nobody_foresaw_is_a_failure_of_its_trial(tmp_path: Path) -> None:
    listener = Listener()
    odd = Trial(
        "odd", 9, {"model": {"x": np.int64(2)}}, tmp_path / "odd"
    )  # JSON has no such number
    some = trials(tmp_path, "cut", "babbles", "a", "b", "c")
    failures = run_trials([odd, *some], listener, place=Place(jobs=2))
    assert failures["cut", 0] == "its process ended (signal 9, perhaps for want of memory)"
    assert failures["babbles", 1].startswith("JSONDecodeError: ")
    assert failures["odd", 9] == "TypeError: Object of type int64 is not JSON serializable"
    assert len(failures) == 3
    assert all("\n" not in text for text in failures.values())
    (event,) = (e for name, e in listener.events if name == "odd" and e.kind == "failed")
    assert "Traceback" in event.details
    for label in ("a", "b", "c"):
        assert listener.kinds(label)[-1] == "done"
    # What babbled is ended: nobody knows what it does.
    assert all(map(gone, listener.processes("babbles")))


def test_a_worker_is_stopped_while_its_thread_ends_the_process() -> None:
    class Process:
        stdin, stdout = io.StringIO(), io.StringIO()
        killed = 0

        def kill(self) -> None:
            self.killed += 1

        def wait(self) -> None:
            pass

    class Worker(pool._Worker):
        """Its thread ends the process between two looks of another one at it, if it may."""

        threads: ClassVar[list[threading.Thread]] = []
        looked, held = 0, None

        @property
        def process(self) -> Any:
            if threading.current_thread() is threading.main_thread():
                self.looked += 1
                if self.looked == 2:
                    self.threads.append(threading.Thread(target=self._end))
                    self.threads[0].start()
                    self.threads[0].join(0.5)
            return self.held

        @process.setter
        def process(self, value: Any) -> None:
            self.held = value

    worker = Worker(Place())
    worker.process = process = Process()
    worker.stop()
    for thread in worker.threads:
        thread.join()
    assert process.killed >= 1
    worker.complaints.close()


@pytest.mark.usefixtures("pretending")
def test_an_interrupt_ends_all_processes(tmp_path: Path) -> None:
    class Impatient(Listener):
        def told(self, trial: Trial, event: Event) -> None:
            super().told(trial, event)
            if len(self.processes("endless")) == 2:
                raise KeyboardInterrupt

    listener = Impatient()
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_trials(trials(tmp_path, "endless", "endless", "a"), listener, place=Place(jobs=2))
    assert time.monotonic() - begin < 300  # they would sleep for ten minutes
    assert all(map(gone, listener.processes("endless")))
    assert listener.kinds("a") == []


def test_a_process_that_cannot_be_started_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_COMMAND", [str(tmp_path / "missing")])
    failures = run_trials(trials(tmp_path, "a", "b"), StudyObserver(), place=Place(jobs=2))
    assert [text.startswith("its process could not be started") for text in failures.values()] == [
        True,
        True,
    ]


def test_one_job_needs_no_other_process_and_keeps_the_threads(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_COMMAND", ["/no/such/program"])
    bad = replace(trial, label="bad", values={**trial.values, "model": {"name": "lightgnc"}})
    counted = []

    class Counter(Listener):
        def told(self, trial: Trial, event: Event) -> None:
            super().told(trial, event)
            counted.append(torch.get_num_threads())

    before, listener = torch.get_num_threads(), Counter()
    failures = run_trials([bad, trial], listener, place=Place(threads=before + 1))
    assert list(failures) == [("bad", 7)]
    assert "lightgcn" in failures["bad", 7]
    assert listener.kinds("mine")[0] == "started"
    assert listener.kinds("mine")[-1] == "done"
    assert set(counted) == {before + 1}
    assert torch.get_num_threads() == before


def test_the_last_of_several_jobs_has_one_thread_as_the_others_had(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_COMMAND", ["/no/such/program"])
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert run_trials([trial], StudyObserver(), place=Place(jobs=3)) == {}
    finally:
        torch.set_num_threads(before)
    environment = json.loads((trial.path / "environment.json").read_text())
    assert environment["threads"] == 1
