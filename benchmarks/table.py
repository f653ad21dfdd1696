"""Tables on the terminal: one for each cell, a row for each method."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.benchmark import Benchmark
from benchmarks.cells import OK, OURS
from benchmarks.columns import MEMORY, Column, Line, remark, times_as_fast


def print_tables(benchmark: Benchmark, lines: Sequence[Line], console: Console) -> None:
    """Print what was measured, in the order of the cells; equal pieces of work share a table."""
    groups: dict[tuple[str, str, str, bool], list[Line]] = {}
    for line in lines:
        cell = benchmark.cell.from_json(line["cell"])
        key = (cell.section, cell.what, cell.title(), cell.alone)
        groups.setdefault(key, []).append(line)
    for (section, what, title, alone), members in groups.items():
        console.print()
        how = "each in a process of its own" if alone else "taking turns"
        console.print(_table(f"{section}, {what}: {title} ({how})", members, benchmark.columns))


def _table(title: str, lines: Sequence[Line], columns: Sequence[Column]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    headings = ["method", "seconds", "quartiles", "times as fast as"]
    headings += [*(column.heading for column in (*columns, *MEMORY)), "remark"]
    rows = [row(line, columns) for line in lines]
    filled = [any(cells[place] for cells in rows) for place in range(len(headings))]
    for heading, shown in zip(headings, filled, strict=True):
        if shown:
            right = heading not in ("method", "remark")
            table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for line, cells in zip(lines, rows, strict=True):
        style = "bold" if line["method"].startswith(OURS) else ""
        shown_cells = [Text(text) for text, shown in zip(cells, filled, strict=True) if shown]
        table.add_row(*shown_cells, style=style)
    return table


def row(line: Line, columns: Sequence[Column]) -> list[str]:
    """Return the cells of a row; what was not measured stays empty, and the last says why."""
    if line["status"] != OK:
        return [line["method"], *[""] * (len(columns) + len(MEMORY) + 3), remark(line)]
    spread = f"{line['q25_s']:.3g}-{line['q75_s']:.3g}" if len(line["seconds"]) > 1 else ""
    return [
        line["method"],
        f"{line['median_s']:.4g}",
        spread,
        times_as_fast(line),
        *(column.show(line) for column in (*columns, *MEMORY)),
        "",
    ]
