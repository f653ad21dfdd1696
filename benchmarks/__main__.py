"""All speed and memory programs on one data set, then the page: ``python -m benchmarks``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.evaluation import ranking
from benchmarks.graph import build, memory
from benchmarks.harness import positive, run_program
from benchmarks.training import epoch
from mmgraph.data import load_dataset


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the programs one after another; keep their results only where a folder is given."""
    parser = argparse.ArgumentParser(description="All speed and memory programs on one data set.")
    parser.add_argument("--dataset", default="movielens-small", help="bundled name or folder")
    parser.add_argument("--repeats", type=positive, default=5, help="timed calls of each way (5)")
    parser.add_argument("--threads", type=positive, default=2, help="threads of both ways (2)")
    parser.add_argument(
        "--results", type=Path, help="folder for the JSON lines; the page is written from it"
    )
    options = parser.parse_args(arguments)
    name = load_dataset(options.dataset, modalities=[]).name
    chosen = ["--dataset", options.dataset, "--threads", str(options.threads)]

    def out(benchmark: str) -> list[str]:
        return (
            ["--out", str(options.results / f"{benchmark}-{name}.jsonl")] if options.results else []
        )

    repeats = ["--repeats", str(options.repeats)]
    epoch.main([*chosen, *repeats, *out("epoch")])
    ranking.main([*chosen, *repeats, *out("ranking")])
    build.main([*chosen, *repeats, *out("build")])
    memory.main([*chosen, *out("memory")])
    if options.results:
        report.main(["--results", str(options.results)])


if __name__ == "__main__":
    run_program(main)
