"""Starts the process of a cell, listens to it, ends it when its time is up."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from benchmarks.cells import FAILED, TIMEOUT, Cell, outcome_line
from benchmarks.harness import REPOSITORY, machine
from mmgraph.versions import installed_versions

MODULE = "benchmarks.process"
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
_RIVAL_PACKAGES = ("pynndescent", "numba", "usearch", "scikit-learn", "sparse-dot-topn")

Event = dict[str, Any]


def measure_cell(
    benchmark: str, cell: Cell, place: str = "", *, heard: Callable[[Event], None] | None = None
) -> list[dict[str, Any]]:
    """Measure a cell in a new process.

    Args:
        benchmark: Whose cell it is.
        cell: What to measure.
        place: Folder or bundled name of the data set, where the cell is about one.
        heard: Called with each sign of life.

    Returns:
        A line for each method, also when the process failed or ran out of time.
    """
    lines = _lines(benchmark, cell, place, heard)
    record = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": {**machine(cell.device), **_more_of_the_machine()},
    }
    return [{**line, **record} for line in lines]


def _lines(
    benchmark: str, cell: Cell, place: str, heard: Callable[[Event], None] | None
) -> list[dict[str, Any]]:
    heard = heard or (lambda event: None)
    with tempfile.TemporaryDirectory(prefix="mmgraph-bench-") as folder:
        complaint = Path(folder) / "stderr"
        with complaint.open("wb") as stderr:
            process = _start(benchmark, cell, place, folder, stderr)
            try:
                lines, calls, in_time = _listen(process, cell, heard)
            finally:
                _end(process)
        if lines is not None:
            return lines
        last = calls[-1] if calls else "start"
        if not in_time:
            reason = f"not done after {cell.time_limit:,.0f} s; it ended during {last}"
            return [outcome_line(benchmark, cell, name, TIMEOUT, reason) for name in cell.methods]
        reason = f"{_cause(process.returncode, complaint)}; it ended during {last}"
        return [outcome_line(benchmark, cell, name, FAILED, reason) for name in cell.methods]


def _more_of_the_machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {"rival_packages": installed_versions(_RIVAL_PACKAGES), "memory_gb": round(memory, 1)}


def _start(
    benchmark: str, cell: Cell, place: str, folder: str, stderr: IO[bytes]
) -> "subprocess.Popen[bytes]":
    variables = {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(cell.threads))}
    process = subprocess.Popen(
        [sys.executable, "-m", MODULE],
        cwd=REPOSITORY,
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
    )
    assert process.stdin is not None
    request = {"benchmark": benchmark, "cell": cell.to_json(), "place": place, "folder": folder}
    with contextlib.suppress(BrokenPipeError):  # it died already; its exit code is reported
        process.stdin.write(json.dumps(request).encode())
        process.stdin.close()
    return process


def _listen(
    process: "subprocess.Popen[bytes]", cell: Cell, heard: Callable[[Event], None]
) -> tuple[list[dict[str, Any]] | None, list[str], bool]:
    """Return the lines if there are any, what was begun, and whether the process ended in time."""
    said: queue.Queue[bytes | None] = queue.Queue()
    threading.Thread(target=_read, args=(process, said), daemon=True).start()
    deadline = time.monotonic() + cell.time_limit
    calls: list[str] = []
    lines: list[dict[str, Any]] | None = None
    while True:
        try:
            line = said.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return lines, calls, False
        if line is None:
            process.wait()
            return lines, calls, True
        event = json.loads(line)
        if event["event"] == "lines":
            lines = event["lines"]
        else:
            calls.append(f"{event['method']} {describe(event)}")
            heard(event)


def describe(event: Event) -> str:
    """Return what an event says about how far a cell is.

    Example:
        >>> describe({"event": "call", "method": "mmgraph", "repeat": 0, "of": 5})
        'repeat 1/5'
    """
    return "warm-up" if event["repeat"] < 0 else f"repeat {event['repeat'] + 1}/{event['of']}"


def _read(process: "subprocess.Popen[bytes]", said: "queue.Queue[bytes | None]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        said.put(line)
    said.put(None)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the process and what it started; it leads a group of its own."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _cause(code: int, complaint: Path) -> str:
    if code < 0:
        hint = ", perhaps for want of memory" if -code == signal.SIGKILL else ""
        return f"ended by signal {-code}{hint}"
    lines = complaint.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return " ".join(lines[-1].split()) if lines else f"exit code {code}"
