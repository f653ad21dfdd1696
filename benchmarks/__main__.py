"""All measurements: ``python -m benchmarks graph`` and ``python -m benchmarks speed``."""

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.evaluation import ranking
from benchmarks.graph import build, memory
from benchmarks.graph import run as graph
from benchmarks.harness import OneLineParser, positive, run_program
from benchmarks.training import epoch
from mmgraph.data import load_dataset

_USAGE = """\
usage: python -m benchmarks COMMAND [options]

  graph     time, memory and recall of building graphs, next to other libraries
  speed     training, ranking and building on one data set, next to the plain way

python -m benchmarks COMMAND --help says more; python -m benchmarks.report writes the pages.
"""


def speed(arguments: Sequence[str] | None = None) -> None:
    """Run the programs one after another; keep their results only where a folder is given."""
    parser = OneLineParser(
        prog="python -m benchmarks speed",
        description="All speed and memory programs on one data set.",
    )
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that is named first."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    commands = {"graph": graph.main, "speed": speed}
    if given[:1] in (["-h"], ["--help"]):
        print(_USAGE, end="")
    elif not given or given[0] not in commands:
        got = f" (got {given[0]!r})" if given else ""
        print(f"name a command: {', '.join(commands)}{got}", file=sys.stderr)
        sys.exit(2)
    else:
        commands[given[0]](given[1:])


if __name__ == "__main__":
    run_program(main)
