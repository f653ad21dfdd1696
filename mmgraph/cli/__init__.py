"""The command line: a thin skin over the library, one command a file.

Results go to standard output, everything else to standard error. Commands import what is heavy when they run, so that
``mmgraph --help`` answers at once.
"""

import os
from collections.abc import Sequence
from typing import Annotated

import typer

from mmgraph import __version__
from mmgraph.cli import (
    ablate,
    analyze,
    compare,
    data,
    demo,
    doctor,
    evaluate,
    graph,
    models,
    recommend,
    sweep,
    train,
    unlearn,
)
from mmgraph.cli.console import run_app

__all__ = ["app", "main"]

app = typer.Typer(
    name="mmgraph",
    help="Graphs from raw multimodal features, graph recommenders on them, honest measurements of both.",
    epilog="Start with: mmgraph demo",
    add_completion=False,
    pretty_exceptions_enable=False,
)
_START, _DATA, _RUN, _STUDY = "Start", "Data and graphs", "One run", "Many runs"

app.command("demo", epilog=demo.EXAMPLE, rich_help_panel=_START)(demo.demo)
app.command("doctor", epilog=doctor.EXAMPLE, rich_help_panel=_START)(doctor.doctor)
app.command("models", epilog=models.EXAMPLE, rich_help_panel=_START)(models.models)
app.add_typer(data.app, name="data", rich_help_panel=_DATA)
app.add_typer(graph.app, name="graph", rich_help_panel=_DATA)
app.command("train", epilog=train.EXAMPLE, rich_help_panel=_RUN)(train.train)
app.command("evaluate", epilog=evaluate.EXAMPLE, rich_help_panel=_RUN)(evaluate.evaluate)
app.command("recommend", epilog=recommend.EXAMPLE, rich_help_panel=_RUN)(recommend.recommend)
app.command("unlearn", epilog=unlearn.EXAMPLE, rich_help_panel=_RUN)(unlearn.unlearn)
app.add_typer(analyze.app, name="analyze", rich_help_panel=_RUN)
app.command("compare", epilog=compare.EXAMPLE, rich_help_panel=_STUDY)(compare.compare)
app.command("ablate", epilog=ablate.EXAMPLE, rich_help_panel=_STUDY)(ablate.ablate)
app.command("sweep", epilog=sweep.EXAMPLE, rich_help_panel=_STUDY)(sweep.sweep)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"mmgraph {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    del version
    if context.invoked_subcommand is None:
        print(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: What follows ``mmgraph``; by default that of this process.

    Returns:
        0 done; 1 the run failed; 2 bad usage, configuration or data; 130 interrupted.

    Example:
        >>> main(["--version"])
        mmgraph 0.1.0
        0
    """
    # Torch's threads would spin while they wait; on a machine that others use too, that stalls everybody.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return run_app(app, arguments)
