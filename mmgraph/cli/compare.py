"""``mmgraph compare``: several recipes over seeds, with tests of the differences."""

from functools import partial
from typing import Annotated

import typer

from mmgraph.cli.console import JsonFlag, QuietFlag
from mmgraph.cli.graph import CacheOption
from mmgraph.cli.study import (
    DatasetOption,
    DeviceOption,
    FirstSeedOption,
    JobsOption,
    MetricOption,
    OutOption,
    SeedsOption,
    ThreadsOption,
    finish,
    place_of,
    print_tested,
    studying,
)
from mmgraph.cli.train import SetOption

EXAMPLE = "Example: mmgraph compare lightgcn mm_gef --dataset movielens-small --seeds 5 --jobs 2"


def compare(
    recipes: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE_OR_MODEL...",
            help="A name takes the data set's shipped recipe, if there is one, else the model's defaults.",
        ),
    ],
    dataset: DatasetOption = None,
    seeds: SeedsOption = 5,
    first_seed: FirstSeedOption = None,
    set_: SetOption = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL", help="Test the others against this row; else the best on validation."
        ),
    ] = None,
    metric: MetricOption = "recall@20",
    out: OutOption = None,
    jobs: JobsOption = 1,
    threads: ThreadsOption = None,
    device: DeviceOption = "cpu",
    cache: CacheOption = None,
    quiet: QuietFlag = False,
    json: JsonFlag = False,
) -> None:
    """Train recipes with several seeds, and test which differences on the test part are more than chance."""
    place = place_of(jobs=jobs, threads=threads, device=device, cache=cache)
    from mmgraph import study

    with studying(quiet=quiet) as observer:
        record = study.compare(
            recipes,
            dataset,
            seeds=seeds,
            first_seed=first_seed,
            overrides=set_ or [],
            against=against,
            metric=metric,
            out=out,
            place=place,
            observer=observer,
        )
    finish(record, partial(print_tested, head="model"), json=json)
