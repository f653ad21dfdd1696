"""The benchmark of full ranking: ``python -m benchmarks evaluation``."""

import argparse
from collections.abc import Mapping
from typing import Any

from benchmarks.benchmark import Benchmark
from benchmarks.columns import Column
from benchmarks.evaluation.cells import SECTIONS, EvaluationCell
from benchmarks.evaluation.methods import BASELINES, METHODS
from benchmarks.evaluation.profiles import PROFILES, EvaluationChoice
from benchmarks.evaluation.tasks import make_task
from benchmarks.harness import positive

_EXAMPLES = """\
profiles
  fast      one data set, four block sizes; about a minute
  regular   medians of five, every block size from 64 to 8,192; about ten minutes on amazon-baby

examples
  python -m benchmarks evaluation
  python -m benchmarks evaluation --profile regular --dataset my/folder other/folder --json out.jsonl
  python -m benchmarks evaluation --profile regular --json out.jsonl --resume
  python -m benchmarks evaluation --section duel --repeats 5 --dim 128
  python -m benchmarks evaluation --profile regular --section blocks --blocks 64 8192
"""

COLUMNS = (
    Column(("difference",), "difference", ".1e"),
    Column(("digest",), "digest", ""),
)


def _add_options(few: argparse._ArgumentGroup, own: argparse._ArgumentGroup) -> None:
    few.add_argument("--blocks", nargs="+", type=positive, default=[], help="blocks so large")
    own.add_argument("--dim", type=positive, help="width of the vectors (64)")


def _choice(general: Mapping[str, Any], options: argparse.Namespace) -> EvaluationChoice:
    return EvaluationChoice(**general, dim=options.dim, blocks=options.blocks)


BENCHMARK = Benchmark(
    name="evaluation",
    summary="Seconds and memory of full ranking, next to the plain way.",
    examples=_EXAMPLES,
    cell=EvaluationCell,
    methods=METHODS,
    baselines=BASELINES,
    sections=SECTIONS,
    made=(),
    columns=COLUMNS,
    make_task=make_task,
    profiles=PROFILES,
    add_options=_add_options,
    choice=_choice,
)
