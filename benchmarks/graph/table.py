"""Tables on the terminal: one for each cell, a row for each method."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.graph.cells import OK, from_json
from benchmarks.graph.methods import OURS

HEADINGS = (
    "method",
    "seconds",
    "quartiles",
    "times as fast as",
    "recall",
    "of GEMM peak",
    "peak MiB",
    "remark",
)

Line = Mapping[str, Any]


def print_tables(lines: Sequence[Line], console: Console) -> None:
    """Print what was measured, in the order of the cells; equal pieces of work share a table."""
    groups: dict[tuple[str, str, str], list[Line]] = {}
    for line in lines:
        cell = from_json(line["cell"])
        groups.setdefault((cell.what, cell.title(), _mode(line)), []).append(line)
    for (what, title, mode), members in groups.items():
        console.print()
        console.print(_table(f"{what}: {title}", members, alone=mode == "alone"))


def _mode(line: Line) -> str:
    return "alone" if len(line["cell"]["methods"]) == 1 else "in turn"


def _table(title: str, lines: Sequence[Line], *, alone: bool) -> Table:
    mode = "each in a process of its own" if alone else "taking turns"
    table = Table(title=f"{title} ({mode})", title_justify="left", title_style="bold")
    rows = [row(line) for line in lines]
    filled = [any(cells[place] for cells in rows) for place in range(len(HEADINGS))]
    for heading, shown in zip(HEADINGS, filled, strict=True):
        if shown:
            right = heading not in ("method", "remark")
            table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for line, cells in zip(lines, rows, strict=True):
        style = "bold" if line["method"].startswith(OURS) else ""
        shown_cells = [Text(text) for text, shown in zip(cells, filled, strict=True) if shown]
        table.add_row(*shown_cells, style=style)
    return table


def row(line: Line) -> list[str]:
    """Return the cells of a row; what was not measured stays empty, and the last says why."""
    if line["status"] != OK:
        reason = line["reason"] if line["status"] in line["reason"] else _remark(line)
        return [line["method"], *[""] * (len(HEADINGS) - 2), reason]
    spread = f"{line['q25_s']:.3g}-{line['q75_s']:.3g}" if len(line["seconds"]) > 1 else ""
    ratios = ", ".join(f"{other} {value:.2f}" for other, value in line["ratios"].items())
    quality = line.get("recall", line.get("shared"))
    share, peak = line.get("share_of_peak"), line.get("peak_mib")
    return [
        line["method"],
        f"{line['median_s']:.4g}",
        spread,
        ratios,
        "" if quality is None else f"{quality:.4f}",
        "" if share is None else f"{share:.2f}",
        "" if peak is None else f"{peak:,.0f}",
        "",
    ]


def _remark(line: Line) -> str:
    return f"{line['status']}: {line['reason']}"
