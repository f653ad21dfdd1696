"""``mmgraph ablate``: a recipe with and without its parts."""

from typing import Annotated

import typer

from mmgraph.cli.console import JsonFlag, print_json, results
from mmgraph.cli.graph import CacheOption
from mmgraph.cli.study import (
    DatasetOption,
    DeviceOption,
    FirstSeedOption,
    JobsOption,
    MetricOption,
    OutOption,
    QuietOption,
    SeedsOption,
    ThreadsOption,
    end_of,
    place_of,
    print_files,
    print_tested,
    studying,
)
from mmgraph.cli.train import SetOption

EXAMPLE = "Example: mmgraph ablate mm_gef --dataset movielens-small --seeds 5 --jobs 2"


def ablate(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE_OR_MODEL",
            help="A model takes the recipe shipped for the data set, if there is one.",
        ),
    ],
    dataset: DatasetOption = None,
    seeds: SeedsOption = 5,
    first_seed: FirstSeedOption = 2026,
    set_: SetOption = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL", help="Only this variant; may be given again."),
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
    quiet: QuietOption = False,
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
    if json:
        print_json(record)
    else:
        print_tested(results(), record, head=record["recipe"])
        print_files(results(), record)
    end_of(record)
