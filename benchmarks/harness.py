"""The measuring itself: ways that alternate in one run, medians and quartiles, peak memory, JSON lines."""

import argparse
import ctypes
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import faiss
import torch

from mmgraph.errors import MmgraphError
from mmgraph.export import environment

REPOSITORY = Path(__file__).resolve().parents[1]
OURS, PLAIN = "mmgraph", "plain"
TOTAL = "total"

Way = Callable[[], Mapping[str, float]]
"""Does the whole work once and returns the seconds of its phases, in order."""


@dataclass
class Samples:
    """What was measured of one way.

    Attributes:
        seconds: Seconds of every timed call, for each phase and for ``total``.
        cpu_seconds: Processor seconds of every timed call, all threads together; other programs on
            the machine disturb them less than the seconds on the clock.
        peak_mib: Largest resident memory of one call above what was there before it; None where
            the system does not tell.
    """

    seconds: dict[str, list[float]] = field(default_factory=dict)
    cpu_seconds: list[float] = field(default_factory=list)
    peak_mib: float | None = None


@dataclass(frozen=True)
class Cell:
    """One way of doing one phase on one data set: one line of a result file.

    Attributes:
        ratio: Median over the repeats of (seconds of the plain way / ours), on our line only: above
            one, ours is faster. Both sides of each quotient ran next to each other.
        best_s: The shortest call: what the machine can do when nothing else disturbs it.
        cpu_median_s: Processor seconds, on the lines of ``total`` only.
        peak_mib: Of the whole work, on the lines of ``total`` only.
        quality: Evidence that both ways computed the same.
    """

    benchmark: str
    dataset: str
    way: str
    phase: str
    median_s: float
    q25_s: float
    q75_s: float
    best_s: float
    cpu_median_s: float | None
    seconds: list[float]
    ratio: float | None
    peak_mib: float | None
    quality: dict[str, float]
    settings: dict[str, Any]
    command: str
    measured_at: str
    environment: dict[str, Any]


def measure(
    ways: Mapping[str, Way], *, repeats: int, say: Callable[[str], None] | None = None
) -> dict[str, Samples]:
    """Warm every way up once, time them in turn, then measure the memory of one more call each.

    The order is turned round after every repeat, so that neither way always runs first.

    Args:
        ways: Name to way.
        repeats: Timed calls of each.
        say: Called with a line after each round.

    Returns:
        The samples of each way.
    """
    say = say or (lambda line: None)
    samples = {name: Samples() for name in ways}
    for name, way in ways.items():
        begin = time.perf_counter()
        way()
        say(f"  warm-up     {name:<8} {time.perf_counter() - begin:9.3f} s")
    for repeat in range(repeats):
        for name in list(ways) if repeat % 2 == 0 else list(ways)[::-1]:
            gc.collect()
            begin, cpu_begin = time.perf_counter(), time.process_time()
            phases = dict(ways[name]())
            phases[TOTAL] = time.perf_counter() - begin
            samples[name].cpu_seconds.append(time.process_time() - cpu_begin)
            for phase, seconds in phases.items():
                samples[name].seconds.setdefault(phase, []).append(seconds)
            say(f"  repeat {repeat + 1:>2}/{repeats:<2} {name:<8} {phases[TOTAL]:9.3f} s")
    for name, way in ways.items():
        samples[name].peak_mib = peak_memory(way)
    return samples


def peak_memory(work: Callable[[], object]) -> float | None:
    """Return by how many MiB the resident memory rises at most during a call.

    Memory that the allocator keeps from earlier calls is given back first, or the call would seem to
    need none.
    """
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return None
    before = process_memory("VmRSS")
    work()
    return process_memory("VmHWM") - before


def process_memory(key: str) -> float:
    """Return a memory figure of this process in MiB: ``VmRSS`` is the present, ``VmHWM`` the peak."""
    for line in (
        Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    ):
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) / 1024
    raise OSError(f"/proc/self/status has no {key}")


def to_cells(
    samples: Mapping[str, Samples],
    *,
    benchmark: str,
    dataset: str,
    settings: Mapping[str, Any],
    quality: Mapping[str, float],
    command: str,
) -> list[Cell]:
    """Summarise samples as cells, phase by phase, ``total`` last."""
    record = machine()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    phases = [phase for phase in samples[OURS].seconds if phase != TOTAL]
    cells = []
    for phase in [*phases, TOTAL]:
        for way, sample in samples.items():
            seconds = sample.seconds[phase]
            q25, median, q75 = quartiles(seconds)
            ratio = None
            if way == OURS and PLAIN in samples:
                pairs = zip(samples[PLAIN].seconds[phase], seconds, strict=True)
                ratio = statistics.median(plain / max(ours, 1e-9) for plain, ours in pairs)
            cells.append(
                Cell(
                    benchmark=benchmark,
                    dataset=dataset,
                    way=way,
                    phase=phase,
                    median_s=median,
                    q25_s=q25,
                    q75_s=q75,
                    best_s=min(seconds),
                    cpu_median_s=(
                        statistics.median(sample.cpu_seconds) if phase == TOTAL else None
                    ),
                    seconds=seconds,
                    ratio=ratio,
                    peak_mib=sample.peak_mib if phase == TOTAL else None,
                    quality=dict(quality),
                    settings=dict(settings),
                    command=command,
                    measured_at=now,
                    environment=record,
                )
            )
    return cells


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


def machine() -> dict[str, Any]:
    """Return versions, processor, threads, commit and load: a number means nothing without them."""
    return {
        **environment(),
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


def write_cells(cells: Sequence[Any], path: Path) -> None:
    """Write records as JSON lines, replacing the file only when the new one is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    lines = (json.dumps(asdict(cell), allow_nan=False) for cell in cells)
    partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    partial.replace(path)


def format_table(cells: Sequence[Cell]) -> str:
    """Return a table with a row for each phase: ours, the plain way, how many times faster ours is."""
    by_phase: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        by_phase.setdefault(cell.phase, {})[cell.way] = cell
    rows = [("phase", "ours [s]", "plain way [s]", "ratio", "best/best")]
    for phase, ways in by_phase.items():
        ours, plain = ways[OURS], ways[PLAIN]
        best = plain.best_s / max(ours.best_s, 1e-9)
        rows.append((phase, _seconds(ours), _seconds(plain), f"{ours.ratio:.2f}x", f"{best:.2f}x"))
    ours, plain = by_phase[TOTAL][OURS], by_phase[TOTAL][PLAIN]
    assert ours.cpu_median_s is not None
    assert plain.cpu_median_s is not None
    cpu = plain.cpu_median_s / max(ours.cpu_median_s, 1e-9)
    rows.append(
        (
            "processor s",
            f"{ours.cpu_median_s:.4f}",
            f"{plain.cpu_median_s:.4f}",
            f"{cpu:.2f}x",
            "",
        )
    )
    if ours.peak_mib is not None and plain.peak_mib is not None:
        rows.append(("peak MiB", f"{ours.peak_mib:.0f}", f"{plain.peak_mib:.0f}", "", ""))
    lines = [
        f"{phase:<13}{mine:>25}{other:>25}{ratio:>10}{best:>11}"
        for phase, mine, other, ratio, best in rows
    ]
    return "\n".join([*lines, *(f"{name}: {value:.6g}" for name, value in ours.quality.items())])


def _seconds(cell: Cell) -> str:
    return f"{cell.median_s:.4f} ({cell.q25_s:.3f}-{cell.q75_s:.3f})"


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


def benchmark_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all speed programs have."""
    parser = OneLineParser(description=description)
    parser.add_argument(
        "--dataset", default="movielens-small", help="bundled name or folder (movielens-small)"
    )
    parser.add_argument("--repeats", type=positive, default=5, help="timed calls of each way (5)")
    parser.add_argument("--threads", type=positive, default=2, help="threads of both ways (2)")
    parser.add_argument("--out", type=Path, help="file for the JSON lines; none by default")
    return parser


def set_threads(threads: int) -> None:
    """Give torch and FAISS the same number of threads."""
    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)


def finish(
    samples: Mapping[str, Samples],
    options: argparse.Namespace,
    *,
    benchmark: str,
    module: str,
    dataset: str,
    settings: Mapping[str, Any],
    quality: Mapping[str, float],
) -> list[Cell]:
    """Print the table of a speed program and write its JSON lines if a file was asked for.

    The command that is kept names the data set, never the folder it was read from.
    """
    command = (
        f"python -m {module} --dataset {dataset} --repeats {options.repeats} "
        f"--threads {options.threads}"
    )
    cells = to_cells(
        samples,
        benchmark=benchmark,
        dataset=dataset,
        settings={"repeats": options.repeats, "threads": options.threads, **settings},
        quality=quality,
        command=command,
    )
    print(format_table(cells))
    if options.out is not None:
        write_cells(cells, options.out)
    return cells


def run_program(program: Callable[[Sequence[str] | None], object]) -> None:
    """Run a program's ``main``; bad usage or data ends in one line and exit code 2."""
    try:
        program(None)
    except MmgraphError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
