"""The benchmark of building graphs: ``python -m benchmarks graph``."""

import argparse
from collections.abc import Mapping
from typing import Any

from benchmarks.benchmark import Benchmark
from benchmarks.columns import Column
from benchmarks.graph.cells import SECTIONS, GraphCell
from benchmarks.graph.features import KINDS
from benchmarks.graph.methods import BASELINES, METHODS
from benchmarks.graph.profiles import PROFILES, GraphChoice
from benchmarks.graph.tasks import make_task
from benchmarks.harness import positive

_EXAMPLES = """\
profiles
  fast      small sizes, about a minute: what to expect on this machine
  regular   the exact ways at four sizes, counts, whole builds, growth to 100,000 items; about an hour
  large     a million items: approximate ways, features on disk, the exact ways once; about five hours

examples
  python -m benchmarks graph
  python -m benchmarks graph --profile regular --only knn --rows 7050 --json out.jsonl
  python -m benchmarks graph --profile regular --json out.jsonl --resume
  python -m benchmarks graph --only knn --shape 20000x256 --methods mmgraph faiss-flat --repeats 5
  python -m benchmarks graph --only cointeraction build --dataset my/folder
  python -m benchmarks graph --profile large --list
"""

COLUMNS = (
    Column(("recall", "shared"), "recall", ".4f"),
    Column(("share_of_peak",), "GEMM share", ".2f"),
)


def read_shape(text: str) -> tuple[int, int]:
    """Read ``ROWSxDIM``.

    Example:
        >>> read_shape("20000x256")
        (20000, 256)
    """
    rows, cross, dim = text.lower().partition("x")
    if not (cross and rows.isdecimal() and dim.isdecimal() and int(rows) > 2 and int(dim) > 0):
        raise argparse.ArgumentTypeError(f"must be ROWSxDIM, as 20000x256 (got {text!r})")
    return int(rows), int(dim)


def _add_options(few: argparse._ArgumentGroup, own: argparse._ArgumentGroup) -> None:
    few.add_argument("--rows", nargs="+", type=positive, default=[], help="knn of so many items")
    few.add_argument("--dim", nargs="+", type=positive, default=[], help="knn of so many columns")
    few.add_argument("--data", nargs="+", choices=KINDS, default=[], help="kinds of features")
    own.add_argument(
        "--shape", nargs="+", type=read_shape, default=[], metavar="ROWSxDIM", help="sizes of knn"
    )
    own.add_argument("--k", type=positive, help="neighbours of each item (10)")


def _choice(general: Mapping[str, Any], options: argparse.Namespace) -> GraphChoice:
    return GraphChoice(
        **general,
        rows=options.rows,
        dim=options.dim,
        data=options.data,
        shapes=options.shape,
        k=options.k,
    )


BENCHMARK = Benchmark(
    name="graph",
    summary="Time, memory and recall of building graphs, next to other libraries.",
    examples=_EXAMPLES,
    cell=GraphCell,
    methods=METHODS,
    baselines=BASELINES,
    sections=SECTIONS,
    made=("knn",),
    columns=COLUMNS,
    make_task=make_task,
    profiles=PROFILES,
    add_options=_add_options,
    choice=_choice,
)
