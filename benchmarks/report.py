"""Pictures and tables of what was measured: ``python -m benchmarks.report``.

From ``benchmarks/results/BENCHMARK/*.jsonl`` it makes ``docs/benchmarks/BENCHMARK.md`` and, where
matplotlib is installed, its pictures, for each of the benchmarks; from ``benchmarks/results/*.json``,
which ``mmgraph compare``, ``ablate`` and ``sweep`` write, ``docs/benchmarks/results.md`` with theirs.
"""

import argparse
import importlib
import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks import quality
from benchmarks.benchmark import NAMES
from benchmarks.figures import by_machine
from benchmarks.harness import REPOSITORY
from benchmarks.lines import read_lines

RESULTS = REPOSITORY / "benchmarks" / "results"
DOCS = REPOSITORY / "docs" / "benchmarks"


def write_benchmark_page(name: str, folder: Path, out: Path, *, pictures: bool) -> None:
    """Write the page of a benchmark from the result files of a folder."""
    lines = [line for path in sorted(folder.glob("*.jsonl")) for line in read_lines(path)]
    machines = by_machine(line for line in lines if line["benchmark"] == name)
    drawn = {}
    for machine, members in machines.items():
        prefix = "_".join([name, *re.findall("[a-z0-9]+", machine.lower())])
        draw = importlib.import_module(f"benchmarks.{name}.pictures").draw_all
        drawn[machine] = draw(members, out, prefix) if pictures else []
    others = [line for line in lines if line["benchmark"] != name]
    text = importlib.import_module(f"benchmarks.{name}.page").page(machines, drawn, others)
    target = out / f"{name}.md"
    target.write_text(text, encoding="utf-8")
    print(f"{target.name}: {len(lines)} lines")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read, draw, write."""
    parser = argparse.ArgumentParser(description="Pictures and tables of what was measured.")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of the pages and pictures")
    options = parser.parse_args(arguments)
    studies = quality.read_studies(options.results)
    pictures = importlib.util.find_spec("matplotlib") is not None
    options.out.mkdir(parents=True, exist_ok=True)
    if not pictures:
        print("matplotlib is not installed: no pictures")
    target = options.out / "results.md"
    target.write_text(quality.page(studies), encoding="utf-8")
    if pictures:
        quality.draw(studies, options.out)
    print(f"{target.name}: {len(studies)} studies")
    for name in NAMES:
        write_benchmark_page(name, options.results / name, options.out, pictures=pictures)


if __name__ == "__main__":
    main()
