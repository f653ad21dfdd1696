"""``mmgraph demo``: the whole toolkit once, on the data set that comes with it."""

import json as json_format
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmgraph import __version__
from mmgraph.cli.console import (
    INTERRUPTED,
    JsonFlag,
    command_line,
    format_seconds,
    messages,
    print_json,
    print_next,
    print_table,
    results,
    say,
)
from mmgraph.cli.graph import print_graph
from mmgraph.cli.recommend import print_lists
from mmgraph.errors import ConfigError, MissingDependency
from mmgraph.files import write_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.console import Console

    from mmgraph.data import MultimodalDataset
    from mmgraph.experiment import Run

EXAMPLE = "Example: mmgraph demo --out runs/demo --max-epochs 20"

DATASET = "movielens-small"
RECIPES = {"lightgcn": "movielens-small/lightgcn", "mm_gef": "movielens-small/mm_gef"}
MODELS = tuple(RECIPES)
METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")

_FACTS, _PICTURE, _MADE_BY = "demo.json", "comparison.png", "mmgraph demo"
_MADE = ("graph", *MODELS, _PICTURE, _FACTS)
_LIST_LENGTH = 10


def demo(
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Where everything is saved; an old demo is replaced."),
    ] = Path("runs/demo"),
    seed: Annotated[int | None, typer.Option(help="Seed instead of the recipes'.")] = None,
    max_epochs: Annotated[
        int | None, typer.Option(help="Train no longer than this; by default as the recipes say.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Run the whole toolkit once: raw files, graphs, two models trained and compared, lists for a user."""
    begin = time.perf_counter()
    overrides = [] if max_epochs is None else [f"training.max_epochs={max_epochs}"]
    # Everything for people; with --json it is not the result and goes to standard error.
    console = messages() if json else results()
    try:
        facts = _run(out, console=console, overrides=overrides, seed=seed)
    except KeyboardInterrupt:
        say(f"interrupted; begin again with: {command_line('mmgraph', 'demo', '--out', out)}")
        raise typer.Exit(INTERRUPTED) from None
    facts["seconds"] = time.perf_counter() - begin
    _write_facts(out, {**facts, "complete": True})
    if json:
        print_json({**facts, "complete": True})
        return
    console.print(
        f"Everything is in {out} ({format_seconds(facts['seconds'])}).",
        markup=False,
        soft_wrap=True,
    )
    print_next(
        console,
        [
            command_line("mmgraph", "recommend", facts["best"], "--user", facts["user"], "-k", 20),
            command_line("mmgraph", "graph", "inspect", out / "graph"),
            command_line("mmgraph", "train", "mm_gef", "--dataset", DATASET, "--set", "graph.k=20"),
        ],
    )


def _run(
    out: Path, *, console: "Console", overrides: Sequence[str], seed: int | None
) -> dict[str, Any]:
    from mmgraph.cli.progress import observing
    from mmgraph.config import resolve_recipe
    from mmgraph.data import load_dataset
    from mmgraph.experiment import train
    from mmgraph.run import check_place

    check_place(out / _FACTS if out.is_dir() else out)  # a folder that is there is written into
    for recipe in RECIPES.values():
        resolve_recipe(recipe, DATASET, overrides=overrides, seed=seed)
    dataset = load_dataset(DATASET)
    prepare(out)
    say(
        f"1. {dataset.name}: {dataset.num_users} users, {dataset.num_items} items, "
        f"{len(dataset.train)} training interactions; modalities {', '.join(dataset.modalities)}"
    )
    say("2. Graphs from the raw ratings and features")
    graph_facts = _build_graph(dataset, out / "graph")
    print_graph(console, graph_facts, title="The graph")
    runs: dict[str, Run] = {}
    for place, (name, recipe) in enumerate(RECIPES.items(), start=3):
        say(f"{place}. {name}: training, stopped by validation")
        with observing() as observer:
            runs[name] = train(
                recipe, dataset, overrides=overrides, seed=seed, out=out / name, observer=observer
            )
    rows = [_figures(run) for run in runs.values()]
    print_comparison(console, rows)
    best = max(runs, key=lambda name: _selected(runs[name]))
    user, liked = pick_user(dataset)
    recommendations = runs[best].recommend(user, k=min(_LIST_LENGTH, dataset.num_items))
    _print_choice(console, best, user=user, liked=liked)
    print_lists(console, recommendations)
    return {
        "made_by": _MADE_BY,
        "mmgraph": __version__,
        "dataset": dataset.name,
        "graph": graph_facts,
        "results": rows,
        "best": str(runs[best].path),
        "user": user,
        "liked": liked,
        "recommendations": [vars(entry) for entry in recommendations],
        "picture": _picture(runs, rows, out / _PICTURE),
    }


def prepare(out: Path) -> None:
    """Make room for a demo: an earlier demo is removed, anything else stays and is refused.

    Raises:
        ConfigError: the folder holds something else.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} must be a folder (got a file); choose another --out")
    if out.is_dir() and any(out.iterdir()):
        if not _is_demo(out):
            raise ConfigError(
                f"{out} must be new, empty or an earlier demo (it has other files); choose another --out"
            )
        for path in out.iterdir():
            if path.name.removeprefix(".partial.") not in _MADE:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    out.mkdir(parents=True, exist_ok=True)
    # From here on the folder can be recognised, also when the demo is interrupted.
    _write_facts(out, {"made_by": _MADE_BY, "mmgraph": __version__, "complete": False})


def _is_demo(out: Path) -> bool:
    try:
        facts = json_format.loads((out / _FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(facts, dict) and facts.get("made_by") == _MADE_BY


def _write_facts(out: Path, facts: Mapping[str, Any]) -> None:
    text = json_format.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False)
    write_file(out / _FACTS, f"{text}\n".encode())


def _build_graph(dataset: "MultimodalDataset", folder: Path) -> dict[str, Any]:
    """Build all edge types, save them, and return what ``inspect_graph`` says of them."""
    from mmgraph.cli.progress import observing
    from mmgraph.graph import (
        BuildRecord,
        GraphConfig,
        build_graph,
        graph_metadata,
        inspect_graph,
        save_graph,
    )

    # A small catalogue has fewer neighbours to offer than the default asks for.
    config = GraphConfig(k=min(GraphConfig().k, dataset.num_items - 1))
    record = BuildRecord()
    with observing() as observer:
        graph = build_graph(dataset, config, record=record, progress=observer.phase)
        save_graph(graph, folder, metadata=graph_metadata(dataset, config, record=record))
        observer.phase("comparing neighbours with chance")
        return inspect_graph(graph)


def _selected(run: "Run") -> float:
    value: float = run.metrics["valid"].get(run.recipe.evaluation.select_by, 0.0)
    return value


def _figures(run: "Run") -> dict[str, Any]:
    summary = run.summary
    return {
        "model": summary["model"],
        "test": {name: summary["test"].get(name) for name in METRICS},
        "best_epoch": summary["best_epoch"],
        "epochs": summary["epochs"],
        "seconds": summary["timings"]["total_s"],
        "run": summary["run"],
    }


def print_comparison(console: "Console", rows: Sequence[Mapping[str, Any]]) -> None:
    """Show the one table of the demo: both models on test."""
    cells = [
        [
            row["model"],
            *row["test"].values(),
            f"{row['best_epoch']} of {row['epochs']}",
            format_seconds(row["seconds"]),
        ]
        for row in rows
    ]
    columns = ["model", *METRICS, "best epoch", "time"]
    print_table(console, "On the test part (one seed)", columns, cells)


def _print_choice(console: "Console", best: str, *, user: str, liked: Sequence[str]) -> None:
    lines = [
        f"{best} did better on validation, so it recommends. User {user} liked, most recently:"
    ]
    for line in [*lines, *(f"  {title}" for title in liked), ""]:
        console.print(line, markup=False, soft_wrap=True)


def pick_user(dataset: "MultimodalDataset") -> tuple[str, list[str]]:
    """Return the user with the most test items, and up to three titles of their training part, latest first."""
    import numpy as np

    user = int(np.bincount(dataset.test.user, minlength=dataset.num_users).argmax())
    mine = np.flatnonzero(dataset.train.user == user)
    if dataset.train.timestamp is not None:
        mine = mine[np.argsort(dataset.train.timestamp[mine], kind="stable")[::-1]]
    items = dataset.train.item[mine[:3]].tolist()
    names = dataset.titles or dataset.items.ids
    return dataset.users.ids[user], [names[item] or dataset.items.ids[item] for item in items]


def _picture(
    runs: Mapping[str, "Run"], rows: Sequence[Mapping[str, Any]], path: Path
) -> str | None:
    from mmgraph.report import drawing, render
    from mmgraph.report.figure import COLOURS

    try:
        with drawing(panels=2, width=5.0, height=4.0) as (figure, (left, right)):
            _draw_epochs(left, runs, COLOURS)
            _draw_metrics(right, rows, COLOURS)
            write_file(path, render(figure)[".png"])
    except MissingDependency as error:
        say(f"No picture: {error}.")
        return None
    return str(path)


def _draw_epochs(axes: "Axes", runs: Mapping[str, "Run"], colours: Sequence[str]) -> None:
    metric = next(iter(runs.values())).recipe.evaluation.select_by
    for (name, run), colour in zip(runs.items(), colours, strict=False):
        lines = (run.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        epochs = [record for record in map(json_format.loads, lines) if record["valid"]]
        x, y = [e["epoch"] for e in epochs], [e["valid"][metric] for e in epochs]
        axes.plot(x, y, color=colour, label=name, marker="." if len(x) < 30 else "")
        if y:
            best = max(range(len(y)), key=y.__getitem__)
            axes.plot(x[best], y[best], marker="o", color=colour, markersize=8)
    axes.set(title=f"Validation {metric} (dot: best epoch)", xlabel="epoch", ylabel=metric)
    axes.locator_params(axis="x", integer=True)
    axes.legend()


def _draw_metrics(axes: "Axes", rows: Sequence[Mapping[str, Any]], colours: Sequence[str]) -> None:
    names = [name for name in METRICS if all(row["test"][name] is not None for row in rows)]
    for place, (row, colour) in enumerate(zip(rows, colours, strict=False)):
        bars = axes.bar(
            [x + 0.4 * place for x in range(len(names))],
            [row["test"][name] for name in names],
            width=0.38,
            color=colour,
            label=row["model"],
        )
        axes.bar_label(bars, fmt="%.3f", fontsize=8)
    axes.set_xticks([x + 0.2 for x in range(len(names))], names)
    axes.set(title="Test, at the best epoch")
    axes.margins(y=0.12)
    axes.grid(visible=False, axis="x")
