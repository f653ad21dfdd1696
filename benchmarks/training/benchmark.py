"""The benchmark of training: ``python -m benchmarks training``."""

import argparse
from collections.abc import Mapping
from typing import Any

from benchmarks.benchmark import Benchmark
from benchmarks.columns import Column
from benchmarks.harness import positive
from benchmarks.training.cells import SECTIONS, TrainingCell
from benchmarks.training.methods import BASELINES, METHODS
from benchmarks.training.profiles import PROFILES, TrainingChoice, systems
from benchmarks.training.tasks import make_task

_EXAMPLES = """\
profiles
  fast      an epoch, steps on wide features, backends, growth at small sizes; about two minutes
  regular   the same at full size, every system, growth to 10^7, bfloat16; half an hour, more on large data

examples
  python -m benchmarks training
  python -m benchmarks training --profile regular --dataset my/folder other/folder --json out.jsonl
  python -m benchmarks training --profile regular --json out.jsonl --resume
  python -m benchmarks training --only epoch --repeats 5 --batch 1024
  python -m benchmarks training --profile regular --section scaling --edges 10000000
  python -m benchmarks training --profile regular --section systems --models mgcn maml
  python -m benchmarks training --profile regular --list
"""

COLUMNS = (
    Column(("loss",), "loss", ".4f"),
    Column(("valid_recall",), "recall@20", ".4f"),
    Column(("difference",), "difference", ".1e"),
    Column(("epoch_s",), "epoch [s]", ",.1f"),
)


def _add_options(few: argparse._ArgumentGroup, own: argparse._ArgumentGroup) -> None:
    few.add_argument("--edges", nargs="+", type=positive, default=[], help="made data so large")
    few.add_argument("--dim", nargs="+", type=positive, default=[], help="vectors so wide")
    few.add_argument("--layers", nargs="+", type=positive, default=[], help="so many layers")
    few.add_argument("--models", nargs="+", choices=systems(), default=[], help="systems")
    own.add_argument("--batch", type=positive, help="triples a step (2048)")
    own.add_argument("--epochs", type=positive, help="epochs of fit (20)")


def _choice(general: Mapping[str, Any], options: argparse.Namespace) -> TrainingChoice:
    return TrainingChoice(
        **general,
        edges=options.edges,
        dim=options.dim,
        layers=options.layers,
        models=options.models,
        batch=options.batch,
        epochs=options.epochs,
    )


BENCHMARK = Benchmark(
    name="training",
    summary="Seconds and memory of training, next to the plain way.",
    examples=_EXAMPLES,
    cell=TrainingCell,
    methods=METHODS,
    baselines=BASELINES,
    sections=SECTIONS,
    made=("step", "product"),
    columns=COLUMNS,
    make_task=make_task,
    profiles=PROFILES,
    add_options=_add_options,
    choice=_choice,
)
