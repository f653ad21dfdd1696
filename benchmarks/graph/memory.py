"""Peak memory of building graphs beside a wide feature matrix: ``python -m benchmarks.graph.memory``.

The graphs of a data set are built with one more modality, random numbers of shape (num_items, dim).
It happens in a process of its own, so that nothing measured before is counted. Two figures come out:
what the process needs at its peak besides the matrix, libraries and data set included, which is what
the limit is for; and what the building adds to what was there before it.
"""

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import (
    REPOSITORY,
    machine,
    positive,
    process_memory,
    run_program,
    set_threads,
    write_cells,
)
from mmgraph.data import ModalityFeatures, MultimodalDataset, load_dataset
from mmgraph.errors import MmgraphError
from mmgraph.graph import BuildRecord, build_graph
from mmgraph.testing import checkerboard_dataset

LIMIT_GB = 1.5
SAMPLE_EVERY_S = 0.05

_MIB = 2**20 / 1e9
_KIB = 2**10 / 1e9


@dataclass(frozen=True)
class MemoryCell:
    """What one build needed; all sizes in GB (10^9 bytes).

    Attributes:
        before: Resident before the build: libraries, data set, matrix.
        peak: Largest resident size of the process.
        above_matrix: ``peak - matrix``: libraries and data set count.
        added: ``peak - before``: what the building itself took, its result included.
        phase_peaks: Largest resident size in each phase, sampled.
    """

    benchmark: str
    dataset: str
    num_items: int
    dim: int
    matrix: float
    before: float
    peak: float
    above_matrix: float
    added: float
    limit: float
    seconds: float
    phase_peaks: dict[str, float]
    phase_seconds: dict[str, float]
    command: str
    environment: dict[str, Any]


class PeakSampler(threading.Thread):
    """Notes the largest resident size of each phase while the build runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.phase = "start"
        self.peaks: dict[str, float] = {}
        self.done = threading.Event()

    def enter(self, line: str) -> None:
        """Be told the line that the build says at the start of a phase."""
        self.note()
        self.phase = line.partition(":")[0]

    def note(self) -> None:
        """Look once."""
        present = process_memory("VmRSS") * _MIB
        self.peaks[self.phase] = max(self.peaks.get(self.phase, 0.0), present)

    def run(self) -> None:
        """Look until told that all is done."""
        while not self.done.wait(SAMPLE_EVERY_S):
            self.note()


def with_random_features(dataset: MultimodalDataset, dim: int) -> MultimodalDataset:
    """Return the data set with one more modality, ``random``; the data set itself is not changed."""
    x = np.random.default_rng(0).standard_normal((dataset.num_items, dim), dtype=np.float32)
    present = np.ones(dataset.num_items, dtype=bool)
    extra = ModalityFeatures("random", x, present, {"encoder": "random numbers"})
    return dataclasses.replace(dataset, features={**dataset.features, "random": extra})


def measure_here(path: str, *, dim: int, threads: int) -> MemoryCell:
    """Build in this process, which should have done nothing else, and say what it took."""
    set_threads(threads)
    build_graph(checkerboard_dataset())  # loads what is loaded on first use
    dataset = with_random_features(load_dataset(path), dim)
    matrix = dataset.features["random"].x.nbytes / 1e9
    before = process_memory("VmRSS") * _MIB
    sampler = PeakSampler()
    sampler.start()
    record = BuildRecord()
    begin = time.perf_counter()
    graph = build_graph(dataset, record=record, progress=sampler.enter)
    seconds = time.perf_counter() - begin
    sampler.note()
    sampler.done.set()
    sampler.join()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB
    assert graph["item"].num_nodes == dataset.num_items
    return MemoryCell(
        benchmark="graph memory",
        dataset=dataset.name,
        num_items=dataset.num_items,
        dim=dim,
        matrix=matrix,
        before=before,
        peak=peak,
        above_matrix=peak - matrix,
        added=peak - before,
        limit=LIMIT_GB,
        seconds=seconds,
        phase_peaks=sampler.peaks,
        phase_seconds=record.seconds,
        command=(
            f"python -m benchmarks.graph.memory --dataset {dataset.name} --dim {dim} "
            f"--threads {threads}"
        ),
        environment=machine(),
    )


def measure_apart(path: str, *, dim: int, threads: int) -> MemoryCell:
    """Build in a new process and return what it says.

    Raises:
        MmgraphError: the process failed; its own complaint is the message.
    """
    command = [sys.executable, "-m", "benchmarks.graph.memory", "--here", "--dataset", path]
    command += ["--dim", str(dim), "--threads", str(threads)]
    answer = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    if answer.returncode:
        lines = answer.stderr.strip().splitlines() or [f"exit code {answer.returncode}"]
        raise MmgraphError(lines[-1])
    return MemoryCell(**json.loads(answer.stdout))


def main(arguments: Sequence[str] | None = None) -> MemoryCell:
    """Measure and print; return the cell."""
    parser = argparse.ArgumentParser(description="Peak memory of building the graphs.")
    parser.add_argument("--dataset", default="movielens-small", help="bundled name or folder")
    parser.add_argument(
        "--dim", type=positive, default=4096, help="width of the random matrix (4096)"
    )
    parser.add_argument("--threads", type=positive, default=2, help="threads (2)")
    parser.add_argument("--out", type=Path, help="file for the JSON line; none by default")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.here:
        cell = measure_here(options.dataset, dim=options.dim, threads=options.threads)
        print(json.dumps(dataclasses.asdict(cell)))
        return cell
    path = Path(options.dataset)
    place = str(path.resolve()) if path.is_dir() else options.dataset
    cell = measure_apart(place, dim=options.dim, threads=options.threads)
    verdict = "within" if cell.above_matrix <= cell.limit else "ABOVE"
    print(
        f"{cell.dataset}: {cell.num_items:,} items, random matrix of {cell.num_items:,} x {cell.dim:,} "
        f"= {cell.matrix:.3f} GB, {cell.seconds:.1f} s\n"
        f"peak of the process      {cell.peak:7.3f} GB\n"
        f"  above the matrix       {cell.above_matrix:7.3f} GB, {verdict} the limit of {cell.limit} GB\n"
        f"  added by the building  {cell.added:7.3f} GB"
    )
    for phase, peak in cell.phase_peaks.items():
        seconds = cell.phase_seconds.get(phase)
        took = f"{seconds:8.2f} s" if seconds is not None else ""
        print(f"    {phase:<14} peak {peak:7.3f} GB {took}")
    if options.out is not None:
        write_cells([cell], options.out)
    return cell


if __name__ == "__main__":
    run_program(main)
