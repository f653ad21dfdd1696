"""``mmgraph ablate``: a recipe with and without its parts."""

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
    RecipeArgument,
    SeedsOption,
    ThreadsOption,
    finish,
    place_of,
    print_tested,
    studying,
)
from mmgraph.cli.train import SetOption

EXAMPLE = "Example: mmgraph ablate mm_gef --dataset movielens-small --seeds 5 --jobs 2"


def ablate(
    recipe: RecipeArgument,
    dataset: DatasetOption = None,
    seeds: SeedsOption = 5,
    first_seed: FirstSeedOption = None,
    set_: SetOption = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL",
            help="Only this variant; may be given again. An unknown label lists all.",
        ),
    ] = None,
    by_modality: Annotated[
        bool,
        typer.Option("--by-modality", help="Add each modality alone and, of three, without each."),
    ] = False,
    metric: MetricOption = "recall@20",
    out: OutOption = None,
    jobs: JobsOption = 1,
    threads: ThreadsOption = None,
    device: DeviceOption = "cpu",
    cache: CacheOption = None,
    quiet: QuietFlag = False,
    json: JsonFlag = False,
) -> None:
    """Train a recipe and the variants of its ablation table, and test each against the whole."""
    place = place_of(jobs=jobs, threads=threads, device=device, cache=cache)
    from mmgraph import study

    with studying(quiet=quiet) as observer:
        record = study.ablate(
            recipe,
            dataset,
            seeds=seeds,
            first_seed=first_seed,
            overrides=set_ or [],
            only=only or [],
            by_modality=by_modality,
            metric=metric,
            out=out,
            place=place,
            observer=observer,
        )
    finish(record, partial(print_tested, head=record["recipe"]), json=json)
