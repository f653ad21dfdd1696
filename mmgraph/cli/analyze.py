"""``mmgraph analyze``: numbers and pictures about trained runs."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast
from urllib.parse import quote

import typer
from rich.console import Console

from mmgraph.cli.console import (
    FAILED,
    JsonFlag,
    QuietFlag,
    print_json,
    print_table,
    report_error,
    results,
)
from mmgraph.errors import ConfigError

if TYPE_CHECKING:
    from mmgraph.analysis.preservation import Final
    from mmgraph.run import Run

app = typer.Typer(
    help="Measure and draw what trained runs have learned.",
    epilog="Example: mmgraph analyze preservation runs/demo/mm_gef",
)

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A complete run folder.")]
DatasetOption = Annotated[
    str | None, typer.Option(help="Where the data set is now, if it has moved.")
]
DeviceOption = Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1.")]

_FOLDER = "analysis"
_FINALS = ("fused", "concat", "per_modality")
_LONGEST_NAME = 100


@app.command(
    epilog="Example: mmgraph analyze preservation runs/demo/mm_gef --high-degree 0.9",
)
def preservation(
    run: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN", help="Run folders of one recipe with different seeds, or one."
        ),
    ],
    final: Annotated[
        str,
        typer.Option(help="Vectors compared with the features: fused, concat or per_modality."),
    ] = "fused",
    high_degree: Annotated[
        float,
        typer.Option(
            help="Items with more interactions than this share of items are of high degree."
        ),
    ] = 0.8,
    dataset: DatasetOption = None,
    device: DeviceOption = "cpu",
    quiet: QuietFlag = False,
    json: JsonFlag = False,
) -> None:
    """Measure how far item similarities have moved from those of the raw features; 0 is not at all.

    Writes numbers and densities to the folder "analysis" of the first run.
    """
    if final not in _FINALS:
        raise ConfigError(
            f"--final must be one of {', '.join(_FINALS)} (got {final!r}); choose one of them"
        )
    runs = _load(run, dataset=dataset, device=device)
    from mmgraph.analysis import analyze_preservation
    from mmgraph.cli.progress import observing
    from mmgraph.report import save_preservation

    with observing(quiet=quiet) as observer:
        found = analyze_preservation(
            runs,
            final=cast("Final", final),
            high_degree=high_degree,
            observer=observer,
        )
    name = "preservation" if final == "fused" else f"preservation-{final.replace('_', '-')}"
    stem = runs[0].path / _FOLDER / name
    _show(print_preservation, found, lambda: save_preservation(stem, found), json=json)


@app.command(
    epilog="Example: mmgraph analyze weights runs/full --against runs/uncalibrated -k 5",
)
def weights(
    run: RunArgument,
    against: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Another run on the same data, drawn beside it."),
    ] = None,
    k: Annotated[int, typer.Option("--k", "-k", help="Length of each list of items.")] = 5,
    min_degree: Annotated[
        int, typer.Option(help="Least training interactions of an item in a list.")
    ] = 5,
    dataset: DatasetOption = None,
    device: DeviceOption = "cpu",
    quiet: QuietFlag = False,
    json: JsonFlag = False,
) -> None:
    """Show how far each modality of an item is trusted, and the most and least reliable items.

    Writes numbers and histograms to the folder "analysis" of the run.
    """
    folders = [run] if against is None else [run, against]
    loaded = _load(folders, dataset=dataset, device=device)
    from mmgraph.analysis import analyze_weights
    from mmgraph.cli.progress import observing
    from mmgraph.report import save_weights

    with observing(quiet=quiet) as observer:
        found = analyze_weights(
            loaded[0],
            against=loaded[1] if against is not None else None,
            k=k,
            min_degree=min_degree,
            observer=observer,
        )
    stem = loaded[0].path / _FOLDER / "weights"
    _show(print_weights, found, lambda: save_weights(stem, found), json=json)


@app.command(
    epilog="Example: mmgraph analyze attention runs/mario --user 15 -k 10",
)
def attention(
    run: RunArgument,
    user: Annotated[str, typer.Option(metavar="ID", help="A user, by external id.")],
    k: Annotated[
        int, typer.Option("--k", "-k", help="Number of recommended items, and of items shown.")
    ] = 20,
    dataset: DatasetOption = None,
    device: DeviceOption = "cpu",
    quiet: QuietFlag = False,
    json: JsonFlag = False,
) -> None:
    """Show which part of an item, interactions or a modality, decided its scores for one user.

    The items are the training items of the user and the recommended ones. Writes numbers and bars to the folder
    "analysis" of the run.
    """
    loaded = _load([run], dataset=dataset, device=device)[0]
    from mmgraph.analysis import analyze_attention
    from mmgraph.cli.progress import observing
    from mmgraph.report import save_attention

    with observing(quiet=quiet) as observer:
        found = analyze_attention(loaded, user, k=k, observer=observer)
    stem = loaded.path / _FOLDER / f"attention-{file_name(user)}"
    _show(print_attention, found, lambda: save_attention(stem, found, rows=k), json=json)


def file_name(user: str) -> str:
    """Return an external id as a part of a file's name; different ids have different ones.

    Example:
        >>> file_name("u7"), file_name("../a b")
        ('u7', '..%2Fa%20b')
    """
    name = quote(user, safe="")
    if len(name) <= _LONGEST_NAME:
        return name
    import hashlib

    return f"{name[:40]}-{hashlib.sha256(user.encode()).hexdigest()[:16]}"


def print_preservation(console: Console, found: Mapping[str, Any]) -> None:
    """Show the means over items of an analysis of preservation."""
    groups = {"all": "all", "high_degree": "high degree"}
    rows = [
        [name, text, values["items"], values["mean"], values["spread"]]
        for name, modality in found["modalities"].items()
        for group, text in groups.items()
        for values in [modality[group]]
    ]
    seeds = f"{len(found['runs'])} seeds" if len(found["runs"]) > 1 else "one seed"
    title = (
        f"Change of item similarities, {found['model']} on {found['dataset']}, "
        f"{found['final']} vectors, {seeds}"
    )
    print_table(console, title, ["modality", "items", "count", "mean", "spread"], rows, left=2)
    if len(found["runs"]) == 1:
        console.print(
            "One seed says little here: this figure varies much between seeds. "
            "Give runs of several seeds for mean and spread."
        )


def print_weights(console: Console, found: Mapping[str, Any]) -> None:
    """Show distributions of weights and the items at both of their ends."""
    rows = [
        [run["label"], name, m["items"], m["mean"], m["std"], m["in_middle"]]
        for run in found["runs"]
        for name, m in run["modalities"].items()
    ]
    low, high = found["middle"]
    columns = ["run", "modality", "items", "mean", "std", f"in [{low:g}, {high:g}]"]
    title = f"Weights of the modalities, {found['model']} on {found['dataset']}"
    print_table(console, title, columns, rows, left=2)
    for name, ends in found["items"].items():
        for end, items in ends.items():
            rows = [[e["item"], e["title"], e["degree"], e["weight"]] for e in items]
            columns = ["item", "title", "interactions", "weight"]
            print_table(console, f"{end.capitalize()} reliable: {name}", columns, rows, left=2)
    if found["mirrored"]:
        first, second = found["items"]
        console.print(
            f"With two modalities the weights sum to 1: the most reliable {first} is the least "
            f"reliable {second}, and the other way round.",
            markup=False,
        )


def print_attention(console: Console, found: Mapping[str, Any]) -> None:
    """Show the first items of both lists with their shares."""
    parts, k = found["parts"], found["k"]
    names = {"history": "training items", "recommended": "recommended items"}
    for name, text in names.items():
        items: Sequence[Mapping[str, Any]] = found[name]
        rows = [
            [item["item"], item["title"], *(item["shares"][part] for part in parts)]
            for item in items[:k]
        ]
        if found["means"][name] is not None:
            mean = [found["means"][name][part] for part in parts]
            rows.append(["mean", f"of all {len(items):,}", *mean])
        more = f", {k} of {len(items):,}" if len(items) > k else ""
        title = f"User {found['user']}, {text}{more}: share of influence"
        print_table(console, title, ["item", "title", *parts], rows, left=2)


def _load(folders: Sequence[Path], *, dataset: str | None, device: str) -> "list[Run]":
    """Load runs, after it is clear that a picture can be drawn and that no file is in the way of it."""
    from mmgraph.report import check_drawing
    from mmgraph.run import load_run

    check_drawing()
    place = folders[0] / _FOLDER
    if place.exists() and not place.is_dir():
        raise ConfigError(f"{place}: must be a folder (got a file); move it away")
    return [load_run(folder, dataset=dataset, device=device) for folder in folders]


def _show(
    show: Callable[[Console, Mapping[str, Any]], None],
    found: Mapping[str, Any],
    save: Callable[[], Sequence[Path]],
    *,
    json: bool,
) -> None:
    """Show what was found and where it was written, or print both as one object.

    What was found is shown also where it cannot be written; no file is named then.
    """
    console = results()
    if not json:
        show(console, found)
    files: Sequence[Path] = ()
    failed: OSError | None = None
    try:
        files = save()
    except OSError as error:
        failed = error
    if json:
        print_json({**found, "files": [str(path) for path in files]})
    for path in () if json else files:
        console.print(f"written: {path}", markup=False, soft_wrap=True)
    if failed is not None:
        report_error(f"the files could not be written ({failed}); the answer is above, try again")
        raise typer.Exit(FAILED)
