"""``mmgraph train``: one recipe, one data set, one run folder; and going on with an interrupted run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from mmgraph.cli.console import (
    INTERRUPTED,
    JsonFlag,
    QuietFlag,
    check_threads,
    command_line,
    format_seconds,
    print_json,
    print_next,
    print_table,
    results,
    say,
)
from mmgraph.cli.graph import CacheOption
from mmgraph.errors import ConfigError

if TYPE_CHECKING:
    from mmgraph.experiment import Run

EXAMPLE = "Example: mmgraph train lightgcn --dataset movielens-small --set model.num_layers=2"

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key, such as graph.k=20."),
]

OutOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Run folder; by default runs/DATASET/MODEL-seedSEED."),
]

ResumeOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Go on with this run; no recipe is needed.")
]

DeviceOption = Annotated[
    str | None, typer.Option(help="Where to train: cpu, cuda, cuda:1; by default cpu.")
]

MaxMemoryOption = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Refuse to train what needs more, such as 4GB.")
]

_KS = (10, 20)


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE_OR_MODEL",
            help="A model, a shipped recipe such as movielens-small/mm_gef, or a .toml file.",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="A data-set folder or a bundled name; by default the recipe's."),
    ] = None,
    set_: SetOption = None,
    seed: Annotated[int | None, typer.Option(help="Seed instead of the recipe's.")] = None,
    out: OutOption = None,
    resume: ResumeOption = None,
    threads: Annotated[int | None, typer.Option(help="Threads of torch.")] = None,
    cache: CacheOption = None,
    max_memory: MaxMemoryOption = None,
    device: DeviceOption = None,
    quiet: QuietFlag = False,
    json: JsonFlag = False,
) -> None:
    """Train a model, evaluate it once on test, and save everything in a run folder."""
    check_threads(threads)
    if recipe is None and resume is None:
        raise ConfigError(
            "a recipe or model is needed (got none); for example: mmgraph train lightgcn"
        )
    from mmgraph import experiment
    from mmgraph.cli.progress import observing

    _set_threads(threads, resume)
    observer = None
    try:
        with observing(quiet=quiet) as observer:
            if resume is not None:
                _check_same(resume, recipe, overrides=set_ or [], seed=seed, out=out, device=device)
                run = experiment.resume(
                    resume, dataset=dataset, cache=cache, max_memory=max_memory, observer=observer
                )
            else:
                assert recipe is not None
                run = experiment.train(
                    recipe,
                    dataset,
                    overrides=set_ or [],
                    seed=seed,
                    out=out,
                    device=device or "cpu",
                    cache=cache,
                    max_memory=max_memory,
                    observer=observer,
                )
    except KeyboardInterrupt:
        if observer is None or observer.folder is None:
            raise
        _say_how_to_resume(observer.folder)
        raise typer.Exit(INTERRUPTED) from None
    print_json(run.summary) if json else print_run(results(), run)


def _say_how_to_resume(folder: Path) -> None:
    say(f"interrupted; go on with: {command_line('mmgraph', 'train', '--resume', folder)}")


def _set_threads(threads: int | None, resume: Path | None) -> None:
    """Use the threads asked for; a resumed run keeps its own, since with others its last bits may differ."""
    import torch

    if threads is None:
        return
    if resume is not None:
        raise ConfigError(
            f"--resume goes on with the threads the run began with (got --threads {threads}); leave it out"
        )
    torch.set_num_threads(threads)


def print_run(console: Console, run: "Run") -> None:
    """Show the figures of a run, where it is, and what to type next."""
    from mmgraph.export.recommendations import read_vocabulary

    summary, users = run.summary, read_vocabulary(run.folder)[0]
    print_metrics(console, summary, title=f"{summary['model']} on {summary['dataset']}")
    seconds = summary["timings"].get("total_s")
    facts = [
        f"best epoch {summary['best_epoch']} of {summary['epochs']}"
        if summary["epochs"]
        else "nothing to train",
        *([format_seconds(seconds)] if seconds is not None else []),
        f"{summary['num_parameters']:,} parameters",
        f"seed {summary['seed']}",
    ]
    console.print("  ".join(facts), markup=False)
    console.print(f"run folder {run.path}", markup=False, soft_wrap=True)
    recommend = command_line("mmgraph", "recommend", run.path, "--user", users[0])
    print_next(console, [command_line("mmgraph", "evaluate", run.path), recommend])


def print_metrics(console: Console, summary: Mapping[str, Any], *, title: str) -> None:
    """Show validation and test metrics side by side, at 10 and 20 where they were computed."""
    test, valid = summary["test"], summary["valid"]
    names = [name.partition("@")[0] for name in test]
    lengths = sorted({int(name.partition("@")[2]) for name in test})
    ks = [k for k in lengths if k in _KS] or lengths
    columns = ["metric", *(f"{part} @{k}" for part in ("valid", "test") for k in ks)]
    rows = [
        [name, *(part.get(f"{name}@{k}") for part in (valid, test) for k in ks)]
        for name in dict.fromkeys(names)
    ]
    print_table(console, title, columns, rows)


def _check_same(
    resume: Path,
    recipe: str | None,
    *,
    overrides: Sequence[str],
    seed: int | None,
    out: Path | None,
    device: str | None,
) -> None:
    """Refuse to resume with other settings than those the run was begun with; the same ones may be repeated.

    Raises:
        ConfigError: a setting or the device differs, or ``--out`` names another folder.
    """
    from mmgraph.config import resolve_recipe
    from mmgraph.experiment import load_run
    from mmgraph.export import run_folder as names

    if out is not None and out.resolve() != resume.resolve():
        raise ConfigError(f"--resume writes into {resume} (got --out {out}); leave --out out")
    run = load_run(resume)
    here = str(run.folder.facts().get("device", "cpu"))
    if device is not None and device != here:
        raise ConfigError(
            f"--resume goes on with {resume} on the device it was begun on, {here!r} (got --device {device}); "
            "leave --device out"
        )
    asked = resolve_recipe(recipe or run.recipe, overrides=overrides, seed=seed)
    differing = _flatten(asked.settings(exclude_unset=True))
    begun = _flatten(run.recipe.settings())
    if asked.data.split is not None:
        # It stands for all of the card's. What it was, of the card or of the recipe, is kept beside the rows.
        split = run.folder.read_json(f"{names.SPLIT}/split.json").get("config", {})
        begun |= _flatten({"data": {"split": split}})
        differing |= _flatten({"data": {"split": asked.data.split.model_dump(mode="json")}})
    # The model first: with another one, keys that follow it differ too.
    for key, value in sorted(differing.items(), key=lambda entry: entry[0] != "model.name"):
        if value != begun.get(key):
            raise ConfigError(
                f"--resume goes on with {resume} as it was begun: {key} is {begun.get(key)!r} there "
                f"(got {value!r}); leave it out, or start a new run"
            )


def _flatten(values: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flatten(value, f"{path}{key}.") if isinstance(value, dict) else {path + key: value}
    return flat
