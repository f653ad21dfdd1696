"""The benchmark of building graphs: ``python -m benchmarks graph``; each cell in a process of its own."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.graph.cells import (
    FAILED,
    SECTIONS,
    TIMEOUT,
    WHATS,
    GraphCell,
    identity,
    to_json,
)
from benchmarks.graph.features import KINDS
from benchmarks.graph.lines import finished, read_lines
from benchmarks.graph.methods import method_names
from benchmarks.graph.profiles import PROFILES, Choice, choose_cells
from benchmarks.graph.spawn import describe, measure_cell
from benchmarks.graph.table import print_tables
from benchmarks.harness import OneLineParser, positive, set_threads
from mmgraph.data import load_dataset
from mmgraph.errors import ConfigError, nearest

_EXAMPLES = """\
profiles
  fast      small sizes, about a minute: what to expect on this machine
  regular   the exact ways at four sizes, counts, whole builds, growth to 100,000 items; about an hour
  large     a million items: approximate ways, features on disk, the exact ways once; about five hours

examples
  python -m benchmarks graph
  python -m benchmarks graph --profile regular --only knn --rows 7050 --json out.jsonl
  python -m benchmarks graph --profile regular --json out.jsonl --resume
  python -m benchmarks graph --only knn --shape 20000x256 --methods mmgraph faiss-flat --repeats 5
  python -m benchmarks graph --only cointeraction build --dataset my/folder
  python -m benchmarks graph --profile large --list

Methods that take turns in one process can be divided by each other; memory is measured where a
method has a process for itself. A cell that fails or runs out of time is a line of the result.
"""


def read_shape(text: str) -> tuple[int, int]:
    """Read ``ROWSxDIM``.

    Example:
        >>> read_shape("20000x256")
        (20000, 256)
    """
    rows, cross, dim = text.lower().partition("x")
    if not (cross and rows.isdecimal() and dim.isdecimal() and int(rows) > 2 and int(dim) > 0):
        raise argparse.ArgumentTypeError(f"must be ROWSxDIM, as 20000x256 (got {text!r})")
    return int(rows), int(dim)


def read_method(text: str) -> str:
    """Read the name of a method."""
    if text not in method_names():
        raise argparse.ArgumentTypeError(
            f"method {text!r} does not exist{nearest(text, method_names())}"
        )
    return text


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the program."""
    parser = OneLineParser(
        prog="python -m benchmarks graph",
        description="Time, memory and recall of building graphs, next to other libraries.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--profile", choices=list(PROFILES), default="fast", help="which cells (fast)")
    add("--json", type=Path, metavar="OUT", help="file for the JSON lines, written cell by cell")
    add("--resume", action="store_true", help="leave out what OUT already has; add to it")
    add("--list", action="store_true", help="show the cells and measure nothing")
    few = parser.add_argument_group("what of the profile")
    few.add_argument("--only", nargs="+", choices=WHATS, default=[], help="kinds of work")
    few.add_argument(
        "--section", nargs="+", choices=SECTIONS, default=[], help="parts of the profile"
    )
    few.add_argument("--rows", nargs="+", type=positive, default=[], help="knn of so many items")
    few.add_argument("--dim", nargs="+", type=positive, default=[], help="knn of so many columns")
    few.add_argument("--data", nargs="+", choices=KINDS, default=[], help="kinds of features")
    few.add_argument(
        "--methods",
        nargs="+",
        type=read_method,
        default=[],
        metavar="METHOD",
        help=", ".join(method_names()),
    )
    own = parser.add_argument_group("in place of what the profile says")
    own.add_argument(
        "--shape", nargs="+", type=read_shape, default=[], metavar="ROWSxDIM", help="sizes of knn"
    )
    own.add_argument(
        "--dataset",
        nargs="+",
        default=["movielens-small"],
        help="bundled names or folders of cointeraction and build (movielens-small)",
    )
    own.add_argument("--k", type=positive, help="neighbours of each item (10)")
    own.add_argument("--repeats", type=positive, help="timed calls of each method")
    own.add_argument("--threads", type=positive, default=2, help="threads of each method (2)")
    own.add_argument("--device", default="cpu", help="cpu, or cuda for what can use it (cpu)")
    own.add_argument("--seed", type=int, default=0, help="seed of features and methods (0)")
    own.add_argument("--time-limit", type=positive, metavar="S", help="seconds of each cell")
    return parser


def read_choice(options: argparse.Namespace) -> Choice:
    """Turn options into a choice.

    Raises:
        MmgraphError: A data set cannot be read, or the device is not there.
    """
    if options.device != "cpu":
        _check_device(options.device)
    datasets: dict[str, str] = {}
    if not options.only or set(options.only) != {"knn"}:
        for place in options.dataset:
            full = str(Path(place).resolve()) if Path(place).is_dir() else place
            datasets[load_dataset(place, modalities=[]).name] = full
    return Choice(
        datasets=datasets,
        only=options.only,
        rows=options.rows,
        dim=options.dim,
        data=options.data,
        methods=options.methods,
        sections=options.section,
        shapes=options.shape,
        k=options.k,
        repeats=options.repeats,
        threads=options.threads,
        device=options.device,
        seed=options.seed,
        time_limit=options.time_limit,
    )


def _check_device(device: str) -> None:
    import torch

    if not device.startswith("cuda") or not torch.cuda.is_available():
        found = "cpu, cuda" if torch.cuda.is_available() else "cpu"
        raise ConfigError(f"--device must be one of {found} on this machine (got {device!r})")


def measure_all(
    cells: Sequence[GraphCell], places: dict[str, str], out: Path | None, console: Console
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

            found = measure_cell(cell, places.get(cell.data, ""), heard=heard)
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


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Measure the cells of a profile; return the lines of the result.

    Raises:
        MmgraphError: An option does not fit the others, or a data set cannot be read.
    """
    options = make_parser().parse_args(arguments)
    out: Path | None = options.json
    if options.resume and out is None:
        raise ConfigError("--resume needs the file to go on with; add --json OUT")
    earlier: list[dict[str, Any]] = []
    if out is not None and out.exists():
        if not options.resume:
            raise ConfigError(f"{out} exists; add --resume to go on with it, or name another file")
        earlier = read_lines(out)
    choice = read_choice(options)
    set_threads(options.threads)  # what the record of the machine shows
    cells = choose_cells(options.profile, choice)
    if not cells:
        raise ConfigError(
            f"no cell of profile {options.profile} fits these options; see --list without them"
        )
    done = finished(earlier)
    left = [cell for cell in cells if identity(to_json(cell)) not in done]
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
        lines = measure_all(left, choice.datasets, out, console)
    except KeyboardInterrupt:
        kept = f"; what is done is in {out}, go on with --resume" if out is not None else ""
        console.print(f"stopped{kept}")
        sys.exit(130)
    print_tables(lines, Console(width=None if sys.stdout.isatty() else 120))
    if out is not None:
        print(f"\n{len(lines)} lines in {out}")
    return lines
