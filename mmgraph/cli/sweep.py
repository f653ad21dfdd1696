"""``mmgraph sweep``: a grid of settings over seeds, chosen on the validation part."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from mmgraph.cli.console import JsonFlag, QuietFlag
from mmgraph.cli.graph import CacheOption
from mmgraph.cli.study import (
    DatasetOption,
    DeviceOption,
    FirstSeedOption,
    JobsOption,
    OutOption,
    RecipeArgument,
    SeedsOption,
    ThreadsOption,
    cost_columns,
    differing_runs,
    finish,
    metric_columns,
    place_of,
    print_columns,
    studying,
)
from mmgraph.cli.train import SetOption

EXAMPLE = (
    "Example: mmgraph sweep lightgcn --dataset movielens-small --grid model.num_layers=1,2,3 "
    "--grid training.learning_rate=0.001,0.01 --write lightgcn.toml"
)


def sweep(
    recipe: RecipeArgument,
    grid: Annotated[
        list[str],
        typer.Option(metavar="KEY=VALUE,VALUE", help="Values to try; may be given again."),
    ],
    dataset: DatasetOption = None,
    trials: Annotated[
        int | None, typer.Option(metavar="N", help="Try so many settings, drawn at random.")
    ] = None,
    seeds: SeedsOption = 3,
    first_seed: FirstSeedOption = None,
    set_: SetOption = None,
    out: OutOption = None,
    write: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the chosen recipe here, as TOML.")
    ] = None,
    jobs: JobsOption = 1,
    threads: ThreadsOption = None,
    device: DeviceOption = "cpu",
    cache: CacheOption = None,
    quiet: QuietFlag = False,
    json: JsonFlag = False,
) -> None:
    """Train a grid of settings with several seeds, and choose one on the validation part; test figures stay shut."""
    place = place_of(jobs=jobs, threads=threads, device=device, cache=cache)
    from mmgraph import study

    with studying(quiet=quiet) as observer:
        record = study.sweep(
            recipe,
            grid,
            dataset,
            trials=trials,
            seeds=seeds,
            first_seed=first_seed,
            overrides=set_ or [],
            out=out,
            write=write,
            place=place,
            observer=observer,
        )
    finish(record, _print, json=json)


def _print(console: Console, record: Mapping[str, Any]) -> None:
    rows, metric = record["rows"], record["metric"]
    part = "" if len(rows) == record["of"] else f" of {record['of']}"
    title = (
        f"{record['recipe']} on {record['dataset']}: validation part, {len(rows)}{part} settings, "
        f"{len(record['seeds'])} seed{'s' if len(record['seeds']) > 1 else ''}, best {metric} first"
    )
    columns = [*metric_columns(rows, "valid", record["metrics"]), *cost_columns(rows)]
    print_columns(console, title, ("setting", [row["label"] for row in rows]), columns)
    chosen = ", ".join(f"{key} = {v}" for key, v in record["chosen"].items())
    console.print(f"Chosen: {chosen}  (from {record['source']})", markup=False, soft_wrap=True)
    for text in differing_runs(record):
        console.print(text, markup=False, soft_wrap=True)
    if record["written"] is not None:
        console.print(f"Recipe: {record['written']}", markup=False, soft_wrap=True)
