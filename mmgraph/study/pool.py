"""All trials of a study, one after the other here or several at a time in processes of their own."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial

import torch

from mmgraph.study.trial import Event, Place, Trial, defect, run_trial

_COMMAND = [sys.executable, "-m", "mmgraph.study.worker"]
_LAST = ("done", "failed")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class StudyObserver:
    """Is told how a study gets on; this one stays silent. The command line shows bars and lines."""

    def begins(self, total: int, complete: int) -> None:
        """Be told how many trials there are, and how many of them need no more work."""

    def told(self, trial: Trial, event: Event) -> None:
        """Be told what a trial says of itself."""


def run_trials(
    trials: Sequence[Trial], observer: StudyObserver, *, place: Place
) -> dict[tuple[str, int], str]:
    """Do the trials; one that fails does not keep the others from their turn.

    Interrupted, it ends its processes at once and leaves runs that can be gone on with.

    Args:
        trials: What is missing, in the order of its doing.
        observer: Is told how it goes, always from the thread of the caller.
        place: Where, and how many at a time.

    Returns:
        Why trials failed, by label and seed.
    """
    failures = {}

    def told(trial: Trial, event: Event) -> None:
        if event.kind == "failed":
            failures[trial.label, trial.seed] = event.text
        observer.told(trial, event)

    if place.jobs > 1 and len(trials) > 1:
        with _pool(trials, place) as said:
            for _ in trials:
                while True:
                    trial, event = said.get()
                    told(trial, event)
                    if event.kind in _LAST:
                        break
        return failures
    with _threads(place.threads or (1 if place.jobs > 1 else None)):
        for trial in trials:
            told(trial, Event("started"))
            run_trial(trial, partial(told, trial), place=place)
    return failures


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


Said = queue.Queue[tuple[Trial, Event]]


@contextmanager
def _pool(trials: Sequence[Trial], place: Place) -> Iterator[Said]:
    """Give the events of all trials while processes do them; whatever still runs at the end is ended."""
    todo: queue.Queue[Trial] = queue.Queue()
    for trial in trials:
        todo.put(trial)
    said: Said = queue.Queue()
    workers = [_Worker(place) for _ in range(min(place.jobs, len(trials)))]
    threads = [threading.Thread(target=w.serve, args=(todo, said), daemon=True) for w in workers]
    for thread in threads:
        thread.start()
    try:
        yield said
    finally:
        for worker in workers:
            worker.stop()
        for thread in threads:
            thread.join()
        for worker in workers:
            worker.complaints.close()


class _Worker:
    """One process at a time that does trials; a new one takes the place of one that died."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.lock = threading.Lock()
        self.stopped = False
        self.process: subprocess.Popen[str] | None = None
        self.complaints = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")

    def serve(self, todo: "queue.Queue[Trial]", said: Said) -> None:
        """Do trials until there are none; the process and its streams belong to this thread."""
        with suppress(queue.Empty):
            while not self.stopped:
                trial = todo.get_nowait()
                said.put((trial, Event("started")))
                try:
                    for event in self._events(trial):
                        said.put((trial, event))
                # Nobody else would hear of it, and the study would wait for ever.
                except Exception as error:
                    said.put((trial, defect(error)))
                    self._end()  # it may still be at that trial
        self._end()

    def stop(self) -> None:
        """End the process, if there is one, and start no other."""
        with self.lock:
            self.stopped = True
            if self.process is not None:
                self.process.kill()

    def _events(self, trial: Trial) -> Iterator[Event]:
        """Send a trial to the process and yield what it says; the last event is always one of ``_LAST``."""
        try:
            process = self._running()
        except OSError as error:
            yield Event("failed", f"its process could not be started ({error})")
            return
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        request = {"trial": trial.to_json(), "place": asdict(self.place)}
        with suppress(BrokenPipeError):  # it has died: there will be no events either
            process.stdin.write(f"{json.dumps(request)}\n")
            process.stdin.flush()
        for line in process.stdout:
            if not line.endswith("\n"):  # it has died while it spoke
                break
            event = Event(**json.loads(line))
            yield event
            if event.kind in _LAST:
                return
        yield Event("failed", f"its process ended ({self._cause(process.wait())})")

    def _running(self) -> "subprocess.Popen[str] | None":
        """Return the process, started if there is none, or None once the pool has been stopped."""
        with self.lock:
            if self.stopped:
                return None
            if self.process is None or self.process.poll() is not None:
                self._close()
                count = str(self.place.threads or 1)
                self.complaints.seek(0)
                self.complaints.truncate()
                self.process = subprocess.Popen(
                    _COMMAND,
                    env={**os.environ, **dict.fromkeys(_THREAD_VARIABLES, count)},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self.complaints,
                    text=True,
                    encoding="utf-8",
                    # The interrupt of a terminal is for the command, which then ends its processes itself.
                    start_new_session=True,
                )
            return self.process

    def _end(self) -> None:
        """End the process, if there is one; the next trial gets another."""
        with self.lock:
            self._close()

    def _close(self) -> None:
        """Do what :meth:`_end` does; the lock is held."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(OSError):  # what was not read before it died
                assert stream is not None
                stream.close()
        self.process = None

    def _cause(self, code: int) -> str:
        if code < 0:
            return f"signal {-code}" + (", perhaps for want of memory" if code == -9 else "")
        self.complaints.seek(0)
        lines = self.complaints.read().strip().splitlines()
        return " ".join(lines[-1].split()) if lines else f"exit code {code}"
