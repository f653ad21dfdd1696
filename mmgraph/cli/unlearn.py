"""``mmgraph unlearn``: a run without some users, items or interactions, from one with them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from mmgraph.cli.console import (
    INTERRUPTED,
    JsonFlag,
    QuietFlag,
    command_line,
    format_seconds,
    print_json,
    print_next,
    print_table,
    results,
    say,
)
from mmgraph.cli.graph import CacheOption

EXAMPLE = "Example: mmgraph unlearn runs/demo/mm_gef --users leaving.csv --gold"

_FILE = "A .csv, .tsv, .inter or .parquet file with the column"
_ROWS = ("original", "unlearned", "gold")


UsersOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help=f"{_FILE} user, or a .txt with an id a line."),
]

ItemsOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help=f"{_FILE} item, or a .txt with an id a line."),
]

InteractionsOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help=f"{_FILE}s user and item.")
]


def unlearn(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A complete run folder.")],
    users: UsersOption = None,
    items: ItemsOption = None,
    interactions: InteractionsOption = None,
    gold: Annotated[
        bool, typer.Option("--gold", help="Also train anew on what is retained, and compare.")
    ] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change how to unlearn, such as mix=0.3."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of the draws of unlearning; by default the run's.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the new run; by default RUN-unlearned."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Where the data set is now, if it has moved.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1.")] = "cpu",
    cache: CacheOption = None,
    quiet: QuietFlag = False,
    json: JsonFlag = False,
) -> None:
    """Make a run without some users, items or interactions from one with them, without training anew.

    The new run is an ordinary one; what is forgotten is in none of its files, only in the report printed here.
    """
    from mmgraph import unlearning
    from mmgraph.cli.progress import observing

    observer, first = None, _First(json=json)
    try:
        with first, observing(quiet=quiet) as observer:
            made = unlearning.unlearn(
                run,
                users=users,
                items=items,
                interactions=interactions,
                gold=gold,
                overrides=set_ or [],
                seed=seed,
                out=out,
                dataset=dataset,
                device=device,
                cache=cache,
                observer=observer,
                on_unlearned=first.show,
            )
    except KeyboardInterrupt:
        if observer is None or observer.folder is None:
            raise
        # Only the retrained run can be gone on with; the unlearned one was written before.
        say(
            f"interrupted; go on with: {command_line('mmgraph', 'train', '--resume', observer.folder)}"
        )
        raise typer.Exit(INTERRUPTED) from None
    print_json(made.report) if json else print_report(results(), made.report)


class _First:
    """The report without the retrained run: it is in no file, and would be lost if that run were not made."""

    def __init__(self, *, json: bool) -> None:
        self.json, self.report = json, dict[str, Any]()

    def show(self, report: dict[str, Any]) -> None:
        """Show it, or keep it for the one object that is printed."""
        self.report = report
        if not self.json:
            print_report(results(), report)

    def __enter__(self) -> None:
        """Wait for the report."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Print what was kept if there will be no other report."""
        if kind is not None and self.json and self.report:
            print_json(self.report)


def print_report(console: Console, report: Mapping[str, Any]) -> None:
    """Show the figures of the models next to each other, the seconds, and what to type next."""
    figures, distance = report["figures"], report.get("distance", {})
    rows = [name for name in _ROWS if name in figures]
    columns = ["figure", *rows, *(["nearer to gold"] if distance else [])]
    lines = [
        [
            name,
            *(figures[row][name] for row in rows),
            *([distance[name]["closer"]] if distance else []),
        ]
        for name in figures[rows[-1]]
    ]
    title = (
        f"{report['model']} on {report['dataset']}, {report['request']} to be forgotten: "
        f"{report['forgotten_interactions']:,} training interactions"
    )
    print_table(console, title, columns, lines)
    seconds = report["seconds"]
    text = f"{report['epochs']} epochs of unlearning, {format_seconds(seconds['unlearned'])}"
    if "gold" in seconds:
        text += f"; trained anew in {format_seconds(seconds['gold'])}, {seconds['speedup']:.1f} times as long"
    console.print(text, markup=False, soft_wrap=True)
    if not report["reached_target"]:
        console.print(
            f"The mean margin of the forgotten pairs is still {report['margin_above_target']:.3f} above its target; "
            "more max_epochs or a larger learning_rate bring it down, and cost accuracy.",
            markup=False,
            soft_wrap=True,
        )
    console.print(f"run folder {report['unlearned']}", markup=False, soft_wrap=True)
    print_next(console, [command_line("mmgraph", "evaluate", report["unlearned"])])
