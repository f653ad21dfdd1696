"""The program of a benchmark: options, cells one after another in processes of their own, tables."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.benchmark import Benchmark
from benchmarks.cells import FAILED, TIMEOUT, Cell, identity
from benchmarks.choice import Choice
from benchmarks.harness import OneLineParser, positive, set_threads
from benchmarks.lines import finished, read_lines
from benchmarks.spawn import describe, measure_cell
from benchmarks.table import print_tables
from mmgraph.data import load_dataset
from mmgraph.errors import ConfigError, nearest

_RULES = """
Methods that take turns in one process can be divided by each other; memory is measured where a
method has a process for itself. A cell that fails or runs out of time is a line of the result.
"""


def make_parser(benchmark: Benchmark) -> argparse.ArgumentParser:
    """Return the parser of the program of a benchmark."""
    names = benchmark.method_names()
    parser = OneLineParser(
        prog=f"python -m benchmarks {benchmark.name}",
        description=benchmark.summary,
        epilog=benchmark.examples + _RULES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--profile", choices=list(benchmark.profiles), default="fast", help="which cells (fast)")
    add("--json", type=Path, metavar="OUT", help="file for the JSON lines, written cell by cell")
    add("--resume", action="store_true", help="leave out what OUT already has; add to it")
    add("--list", action="store_true", help="show the cells and measure nothing")
    few = parser.add_argument_group("what of the profile")
    whats = list(benchmark.methods)
    few.add_argument("--only", nargs="+", choices=whats, default=[], help="kinds of work")
    few.add_argument(
        "--section", nargs="+", choices=benchmark.sections, default=[], help="parts of the profile"
    )
    few.add_argument(
        "--methods",
        nargs="+",
        type=_method_reader(names),
        default=[],
        metavar="METHOD",
        help=", ".join(names),
    )
    own = parser.add_argument_group("in place of what the profile says")
    own.add_argument(
        "--dataset",
        nargs="+",
        default=["movielens-small"],
        help="bundled names or folders, for the work that is about a data set (movielens-small)",
    )
    own.add_argument("--repeats", type=positive, help="timed calls of each method")
    own.add_argument("--threads", type=positive, default=2, help="threads of each method (2)")
    own.add_argument("--device", default="cpu", help="cpu, or cuda for what can use it (cpu)")
    own.add_argument("--seed", type=int, default=0, help="seed of made data and methods (0)")
    own.add_argument("--time-limit", type=positive, metavar="S", help="seconds of each cell")
    benchmark.add_options(few, own)
    return parser


def _method_reader(names: Sequence[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(
                f"method {text!r} does not exist{nearest(text, names)}"
            )
        return text

    return read


def read_choice(benchmark: Benchmark, options: argparse.Namespace) -> Choice:
    """Turn options into a choice.

    Raises:
        MmgraphError: A data set cannot be read, or the device is not there.
    """
    if options.device != "cpu":
        _check_device(options.device)
    datasets: dict[str, str] = {}
    if not options.only or not set(options.only) <= set(benchmark.made):
        for place in options.dataset:
            full = str(Path(place).resolve()) if Path(place).is_dir() else place
            datasets[load_dataset(place, modalities=[]).name] = full
    general = {
        "datasets": datasets,
        "only": options.only,
        "sections": options.section,
        "methods": options.methods,
        "repeats": options.repeats,
        "threads": options.threads,
        "device": options.device,
        "seed": options.seed,
        "time_limit": options.time_limit,
    }
    return benchmark.choice(general, options)


def _check_device(device: str) -> None:
    import torch

    if not device.startswith("cuda") or not torch.cuda.is_available():
        found = "cpu, cuda" if torch.cuda.is_available() else "cpu"
        raise ConfigError(f"--device must be one of {found} on this machine (got {device!r})")


def choose_cells(benchmark: Benchmark, profile: str, choice: Choice) -> list[Cell]:
    """Return the cells of a profile that the choice leaves, each once, in order."""
    return choice.select(benchmark.profiles[profile](list(choice.datasets)))


def measure_all(
    benchmark: Benchmark,
    cells: Sequence[Cell],
    places: dict[str, str],
    out: Path | None,
    console: Console,
) -> list[dict[str, Any]]:
    """Measure the cells one after another, under a bar; keep each as soon as it is done."""
    lines: list[dict[str, Any]] = []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(cells))
        for number, cell in enumerate(cells, start=1):
            title = f"{cell.what} {cell.title()}"
            bar.update(task, description=title)
            if not console.is_terminal:
                named = ", ".join(cell.methods)
                console.print(f"{number}/{len(cells)} {title}: {named}", highlight=False)

            def heard(event: dict[str, Any], title: str = title) -> None:
                said = f"{title}: {event['method']}, {describe(event)}"
                bar.update(task, description=said)

            found = measure_cell(benchmark.name, cell, places.get(cell.data, ""), heard=heard)
            lines += found
            if out is not None:
                with out.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(line, allow_nan=False) + "\n" for line in found)
            for line in found:
                if line["status"] in (FAILED, TIMEOUT):
                    console.print(
                        f"{title}: {line['method']} {line['status']}: {line['reason']}",
                        highlight=False,
                        markup=False,
                    )
            bar.advance(task)
    return lines


def run(benchmark: Benchmark, arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Measure the cells of a profile; return the lines of the result.

    Raises:
        MmgraphError: An option does not fit the others, or a data set cannot be read.
    """
    options = make_parser(benchmark).parse_args(arguments)
    out: Path | None = options.json
    if options.resume and out is None:
        raise ConfigError("--resume needs the file to go on with; add --json OUT")
    earlier: list[dict[str, Any]] = []
    if out is not None and out.exists():
        if not options.resume:
            raise ConfigError(f"{out} exists; add --resume to go on with it, or name another file")
        earlier = read_lines(out)
    choice = read_choice(benchmark, options)
    set_threads(options.threads)  # what the record of the machine shows
    cells = choose_cells(benchmark, options.profile, choice)
    if not cells:
        raise ConfigError(
            f"no cell of profile {options.profile} fits these options; see --list without them"
        )
    done = finished(earlier)
    left = [cell for cell in cells if identity(cell.to_json()) not in done]
    if options.list:
        for cell in cells:
            mark = "done " if cell not in left else ""
            print(f"{mark}{cell.section} {cell.what} {cell.title()}: {', '.join(cell.methods)}")
        return []
    console = Console(stderr=True)
    if len(left) < len(cells):
        console.print(f"{len(cells) - len(left)} of {len(cells)} cells are in {out} already")
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
    try:
        lines = measure_all(benchmark, left, choice.datasets, out, console)
    except KeyboardInterrupt:
        kept = f"; what is done is in {out}, go on with --resume" if out is not None else ""
        console.print(f"stopped{kept}")
        sys.exit(130)
    print_tables(benchmark, lines, Console(width=None if sys.stdout.isatty() else 120))
    if out is not None:
        print(f"\n{len(lines)} lines in {out}")
    return lines
