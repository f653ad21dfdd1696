"""What the commands that train many runs share: their options, and how they show tables of rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median, stdev
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from mmgraph.cli.console import (
    INTERRUPTED,
    check_threads,
    format_cell,
    format_seconds,
    print_json,
    print_table,
    results,
    say,
)
from mmgraph.errors import ConfigError
from mmgraph.report.study import row_name

if TYPE_CHECKING:
    from mmgraph.study import Place, StudyObserver

Record = Mapping[str, Any]
Column = tuple[str, list[str]]
"""A heading and its cells."""

RecipeArgument = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE_OR_MODEL",
        help="A name takes the data set's shipped recipe, if there is one, else the model's defaults.",
    ),
]
DatasetOption = Annotated[
    str | None, typer.Option(help="A data-set folder or a bundled name; by default the recipe's.")
]
SeedsOption = Annotated[int, typer.Option(help="Runs of each setting.")]
FirstSeedOption = Annotated[
    int | None, typer.Option(help="Seed of the first of them; by default that of recipes.")
]
JobsOption = Annotated[
    int, typer.Option("--jobs", "-j", help="Runs at a time, each a process of its own.")
]
ThreadsOption = Annotated[
    int | None, typer.Option(help="Threads of each run; by default one with several jobs.")
]
DeviceOption = Annotated[str, typer.Option(help="Where to train: cpu, cuda, cuda:1.")]
MetricOption = Annotated[
    str, typer.Option(help="Test metric that is compared and drawn, such as ndcg@10.")
]
OutOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Runs and results; the same folder goes on where it stopped."),
]

_FILE_WIDTH = 200
_GAP = 2
_LEAST_P = 1e-300  # far below it numbers become 0, which no p-value is


def place_of(*, jobs: int, threads: int | None, device: str, cache: Path | None) -> "Place":
    """Return where and how runs are computed.

    Raises:
        ConfigError: a number is below one, or the device cannot be used.
    """
    check_threads(threads)
    if jobs < 1:
        raise ConfigError(f"--jobs must be at least 1 (got {jobs}); leave it out for one")
    from mmgraph.run import usable_device
    from mmgraph.study import Place

    usable_device(device)
    return Place(jobs, threads, device, None if cache is None else str(cache.resolve()))


@contextmanager
def studying(*, quiet: bool) -> Iterator["StudyObserver"]:
    """Give an observer for a study; an interrupt ends in a line that says how to go on."""
    from mmgraph.cli.study_progress import observing_study

    try:
        with observing_study(quiet=quiet) as observer:
            yield observer
    except KeyboardInterrupt:
        say("interrupted; the same command goes on where it stopped")
        raise typer.Exit(INTERRUPTED) from None


def spread(values: Sequence[float]) -> str:
    """Return mean and standard deviation over seeds.

    Example:
        >>> spread([0.1, 0.3]), spread([0.25])
        ('0.2000 ± 0.1414', '0.2500')
    """
    return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


def metric_columns(rows: Sequence[Record], part: str, metrics: Sequence[str]) -> list[Column]:
    """Return a column for each metric of the ``valid`` or ``test`` part."""
    return [(name, [spread(row[part][name]) for row in rows]) for name in metrics]


def cost_columns(rows: Sequence[Record]) -> list[Column]:
    """Return what training took: the medians over seeds of epochs and seconds, and the parameters."""
    return [
        ("epochs", [f"{median(row['epochs']):.0f}" for row in rows]),
        ("parameters", [format_cell(row["num_parameters"]) for row in rows]),
        ("time", [format_seconds(median(row["seconds"])) for row in rows]),
    ]


def print_columns(console: Console, title: str, head: Column, columns: Sequence[Column]) -> None:
    """Show columns beside a first one; where the terminal is too narrow they go on in another table below.

    Args:
        console: Where to.
        title: Of the table.
        head: The first column, repeated in each table.
        columns: The others; there must be one at least.
    """
    if not console.is_terminal:
        console.width = max(console.width, _FILE_WIDTH)
    room = console.width - _width(head)
    parts: list[list[Column]] = [[]]
    left = room
    for column in columns:
        if parts[-1] and _width(column) > left:
            parts.append([])
            left = room
        parts[-1].append(column)
        left -= _width(column)
    for part in parts:
        cells = zip(head[1], *(column[1] for column in part), strict=True)
        print_table(console, title, [head[0], *(column[0] for column in part)], cells)


def _width(column: Column) -> int:
    return max(map(len, [column[0], *column[1]])) + _GAP


def print_sources(console: Console, rows: Sequence[Record]) -> None:
    """Show where the settings of each row come from."""
    for row in rows:
        changes = ", ".join(f"{key} = {value}" for key, value in row["changes"].items())
        seeds = f"{len(row['seeds'])} seeds" if len(row["seeds"]) > 1 else f"seed {row['seeds'][0]}"
        text = f"{row['label']}: {row['source']}{f' with {changes}' if changes else ''}, {seeds}"
        console.print(text, markup=False, soft_wrap=True)


def print_tested(console: Console, record: Record, *, head: str) -> None:
    """Show a study whose rows were tested against one of them."""
    rows, metric, against = record["rows"], record["metric"], record["against"]
    tests = {test["label"]: test for test in record["tests"] if test["metric"] == metric}
    columns = [*metric_columns(rows, "test", record["metrics"]), *cost_columns(rows)]
    if tests:
        labels = [row["label"] for row in rows]
        columns += [
            (f"{metric} - {against}", [difference(tests.get(label)) for label in labels]),
            ("p (Holm)", [p_value(tests.get(label)) for label in labels]),
        ]
    many = len(record["seeds"]) > 1
    title = f"{record['dataset']}: test part, {len(record['seeds'])} seed{'s' if many else ''}"
    title += ", mean ± standard deviation" if many else ""
    names = [row_name(row, record["seeds"]) for row in rows]
    print_columns(console, title, (head, names), columns)
    print_sources(console, rows)
    said = [*_explained(record, tests), *differing_runs(record)]
    for text in said:
        console.print(text, markup=False, soft_wrap=True)


def _explained(record: Record, tests: Mapping[str, Record]) -> Iterator[str]:
    """Yield what a reader must know of the tests in a table."""
    if not tests:
        return
    users, against = next(iter(tests.values()))["num_users"], record["against"]
    yield (
        f"Differences of {record['metric']} to {against} with their 95 % interval; paired t-test over {users:,} users, "
        "each averaged over seeds. The p-values are corrected for the number of rows tested, the intervals are not."
    )
    yield from chosen_reference(record)


def chosen_reference(record: Record) -> Iterator[str]:
    """Yield how the row that the others are tested against was chosen, if it was not named.

    Example:
        >>> found = {"against_by": "validation", "against": "lightgcn", "metric": "recall@20"}
        >>> [*chosen_reference(found), *chosen_reference({"against": "lightgcn"})]
        ['Tested against lightgcn, which has the best mean recall@20 on the validation part.']
    """
    if record.get("against_by") == "validation":
        yield (
            f"Tested against {record['against']}, which has the best mean {record['metric']} on the validation part."
        )


def differing_runs(record: Record) -> Iterator[str]:
    """Yield in what the environments of a study's runs differ, if they do.

    Example:
        >>> list(differing_runs({"environment_differs": {"threads": [1, 2]}}))
        ['The runs were not all made with the same: threads 1 and 2.']
    """
    differing = record.get("environment_differs") or {}
    if differing:
        told = (f"{key} {' and '.join(map(str, values))}" for key, values in differing.items())
        yield f"The runs were not all made with the same: {'; '.join(told)}."


def difference(test: Record | None) -> str:
    """Return the difference of a test with its interval, and a dash for the row that is the reference.

    Example:
        >>> difference({"difference": 0.02, "low": 0.01, "high": 0.03}), difference(None)
        ('+0.0200 [+0.0100, +0.0300]', '-')
    """
    if test is None:
        return "-"
    if test["low"] is None:
        return f"{test['difference']:+.4f}"
    return f"{test['difference']:+.4f} [{test['low']:+.4f}, {test['high']:+.4f}]"


def p_value(test: Record | None) -> str:
    """Return the corrected p-value of a test, and a dash where there is none.

    Example:
        >>> p_value({"p_holm": 0.0312}), p_value({"p_holm": 0.0}), p_value(None)
        ('0.031', '<1e-300', '-')
    """
    if test is None or test["p_holm"] is None:
        return "-"
    if test["p_holm"] < _LEAST_P:
        return f"<{_LEAST_P:g}"
    return f"{test['p_holm']:.2g}"


def finish(record: Record, show: Callable[[Console, Record], None], *, json: bool) -> None:
    """Show a study and where its files are, or print it as JSON; then end as :func:`end_of` does."""
    if json:
        print_json(record)
    else:
        console = results()
        show(console, record)
        console.print(f"Written: {', '.join(record['files'])}", markup=False, soft_wrap=True)
    end_of(record)


def end_of(record: Record) -> None:
    """Say what failed and end with exit code 1 if something did."""
    for failure in record["failed"]:
        say(f"failed: {failure['label']}, seed {failure['seed']}: {failure['message']}")
    if record["failed"]:
        raise typer.Exit(1)
