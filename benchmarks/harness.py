"""What all programs measure with: peak memory, quartiles, the record of the machine, options."""

import argparse
import ctypes
import gc
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import faiss
import torch

from mmgraph.errors import MmgraphError
from mmgraph.export import environment

REPOSITORY = Path(__file__).resolve().parents[1]

_QUIET_S, _QUIET_MIB = 1.0, 0.1


def peak_memory(work: Callable[[], object]) -> float | None:
    """Return by how many MiB the resident memory rises at most during a call.

    Memory kept from earlier calls is given back first, or the call would seem to need none: what the
    C library keeps at once, what allocators of other libraries keep after a while.
    """
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
    try:
        _wait_for_late_givers()
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return None
    before = process_memory("VmRSS")
    work()
    return process_memory("VmHWM") - before


def _wait_for_late_givers() -> None:
    """Wait until no memory is given back any more.

    The allocator of polars gives back half a second after it was freed. Given back during a call, it
    would make room for memory of the call, which would then not be seen.
    """
    least, since = process_memory("VmRSS"), time.monotonic()
    while time.monotonic() - since < _QUIET_S:
        time.sleep(0.05)
        present = process_memory("VmRSS")
        if present < least - _QUIET_MIB:
            least, since = present, time.monotonic()


def process_memory(key: str) -> float:
    """Return a memory figure of this process in MiB: ``VmRSS`` is the present, ``VmHWM`` the peak."""
    for line in (
        Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    ):
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) / 1024
    raise OSError(f"/proc/self/status has no {key}")


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the first quartile, the median and the third quartile.

    Example:
        >>> quartiles([4.0, 1.0, 3.0, 2.0, 5.0])
        (2.0, 3.0, 4.0)
    """
    if len(values) == 1:
        return values[0], values[0], values[0]
    q25, median, q75 = statistics.quantiles(values, n=4, method="inclusive")
    return q25, median, q75


def machine(device: str = "cpu") -> dict[str, Any]:
    """Return versions, processor, threads, commit and load: a number means nothing without them.

    Args:
        device: Where the sparse products are computed whose backend is named.
    """
    return {
        **environment(device),
        "faiss_threads": faiss.omp_get_max_threads(),
        "processor": _processor(),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "commit": _commit(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _commit() -> str | None:
    command = ["git", "rev-parse", "--short", "HEAD"]
    try:
        answer = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    except OSError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def positive(text: str) -> int:
    """Read an option that is a whole number from one on."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1 (got {number})")
    return number


class OneLineParser(argparse.ArgumentParser):
    """A parser that answers wrong usage with one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where help is."""
        self.exit(2, f"{self.prog}: {message}; see --help\n")


def set_threads(threads: int) -> None:
    """Give torch and FAISS the same number of threads."""
    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)


def run_program(program: Callable[[Sequence[str] | None], object]) -> None:
    """Run a program's ``main``; bad usage or data ends in one line and exit code 2.

    Being told to end is an exit like any other, so that no process it started is left behind.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        program(None)
    except MmgraphError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
