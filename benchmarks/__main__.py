"""All measurements of speed and memory: ``python -m benchmarks graph``, ``training``, ``evaluation``."""

import sys
from collections.abc import Sequence

from benchmarks.benchmark import NAMES, load_benchmark
from benchmarks.harness import run_program
from benchmarks.program import run

_USAGE = """\
usage: python -m benchmarks COMMAND [options]

  graph       time, memory and recall of building graphs, next to other libraries
  training    seconds and memory of training, next to the plain way; sparse products; growth
  evaluation  seconds and memory of full ranking, next to the plain way

python -m benchmarks COMMAND --help says more; python -m benchmarks.report writes the pages.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that is named first."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] in (["-h"], ["--help"]):
        print(_USAGE, end="")
    elif not given or given[0] not in NAMES:
        got = f" (got {given[0]!r})" if given else ""
        print(f"name a command: {', '.join(NAMES)}{got}", file=sys.stderr)
        sys.exit(2)
    else:
        run(load_benchmark(given[0]), given[1:])


if __name__ == "__main__":
    run_program(main)
