"""Parts of the pages that are made from result lines."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from benchmarks.benchmark import Benchmark
from benchmarks.cells import OK, OURS, PLAIN
from benchmarks.columns import MEMORY, Column, Line, remark, times_as_fast
from benchmarks.figures import Series, fitted_exponent, pairs_of

COMMAND = "python -m benchmarks.report"

Sections = Callable[[Sequence[Line], Sequence[str]], Iterator[str]]
"""From the lines of a machine and the names of its pictures to the lines of its part of the page."""

_PACKAGES = (
    "torch",
    "torch-geometric",
    "torch-sparse",
    "faiss-cpu",
    "numpy",
    "scipy",
    "pynndescent",
    "usearch",
    "scikit-learn",
)


def benchmark_page(
    introduction: str,
    sections: Sections,
    machines: Mapping[str, Sequence[Line]],
    drawn: Mapping[str, Sequence[str]],
    others: Sequence[Line] = (),
    *,
    appendix: Callable[[Sequence[Line]], Iterator[str]] | None = None,
) -> str:
    """Return a page in Markdown: an introduction, a part for each machine, and what ends the page.

    Args:
        introduction: The head of the page.
        sections: Writes what was measured on one machine.
        machines: Machine -> its lines, see :func:`benchmarks.figures.by_machine`.
        drawn: Machine -> names of its pictures, without suffix.
        others: Lines of other benchmarks.
        appendix: Writes the end of the page from those lines, where there are any.
    """
    lines = [introduction.rstrip()]
    if not machines:
        lines += ["", "No results yet."]
    for name, members in machines.items():
        lines += ["", f"## {name}", "", _machine(members)]
        lines += sections(members, drawn.get(name, []))
    if appendix is not None and others:
        lines += appendix(others)
    return "\n".join(lines) + "\n"


def picture(drawn: Sequence[str], stem: str, text: str) -> Iterator[str]:
    """Yield the picture whose name ends so, if it was drawn."""
    for name in drawn:
        if name.endswith(stem):
            yield from ("", f"![{text}]({name}.png)")


def header(headings: Sequence[str], *, left: Sequence[str]) -> Iterator[str]:
    """Yield the first two lines of a table; what is not in ``left`` is a number."""
    yield "| " + " | ".join(headings) + " |"
    yield "|" + "|".join("---" if heading in left else "--:" for heading in headings) + "|"


def seconds(line: Line | None) -> str:
    """Return median and quartiles, or why there are none."""
    if line is None or line["status"] != OK:
        return "" if line is None else str(line["status"])
    if len(line["seconds"]) == 1:
        return _figure(line["median_s"])
    return f"{_figure(line['median_s'])} ({_figure(line['q25_s'])} – {_figure(line['q75_s'])})"


def cell_tables(
    benchmark: Benchmark,
    lines: Sequence[Line],
    *,
    note: Callable[[Line], str] = remark,
    details: Callable[[Line], str] = lambda line: "",
) -> Iterator[str]:
    """Yield a table for each piece of work; lines of methods apart stand together.

    Args:
        benchmark: Whose lines they are.
        lines: Of any cells.
        note: Fills the last column.
        details: What the title says more about the cell.
    """
    groups: dict[tuple[str, bool], list[Line]] = {}
    for line in lines:
        cell = benchmark.cell.from_json(line["cell"])
        groups.setdefault((cell.title(), cell.alone), []).append(line)
    for (title, alone), members in groups.items():
        how = "each in a process of its own" if alone else "in turn"
        threads = f"{members[0]['cell']['threads']} threads"
        said = f"{details(members[0])}{threads}, {how}"
        yield from ("", f"{title.replace(' x ', ' × ')}: {said}", "")
        yield from markdown_rows(members, benchmark.columns, note)


def markdown_rows(
    lines: Sequence[Line], columns: Sequence[Column], note: Callable[[Line], str] = remark
) -> Iterator[str]:
    """Yield a table with a row for each method; columns that nobody fills are left out."""
    shown = (*columns, *MEMORY)
    headings = ["method", "seconds", "times as fast as", *(c.heading for c in shown), "remark"]
    rows = [_row(line, shown, note) for line in lines]
    kept = [place for place in range(len(headings)) if any(row[place] for row in rows)]
    yield from header([headings[place] for place in kept], left=("method", "remark"))
    for row in rows:
        yield "| " + " | ".join(row[place] for place in kept) + " |"


def _row(line: Line, columns: Sequence[Column], note: Callable[[Line], str]) -> list[str]:
    method = f"**{line['method']}**" if line["method"].startswith(OURS) else line["method"]
    if line["status"] != OK:
        return [method, "", "", *[""] * len(columns), remark(line).replace("|", "\\|")]
    figures = [column.show(line) for column in columns]
    return [method, seconds(line), times_as_fast(line), *figures, note(line)]


def growth_tables(parts: Mapping[str, Series], least: float) -> Iterator[str]:
    """Yield a table for each figure: a row for each method, a column for each size, the exponent.

    Args:
        parts: Name of the figure to its values.
        least: Size from which the exponents are fitted.
    """
    sizes = sorted({size for series in parts.values() for p in series.values() for size, _ in p})
    for title, series in parts.items():
        if not series:
            continue
        yield ""
        yield from header([title, *(f"{size:,.0f}" for size in sizes), "exponent"], left=(title,))
        for method, points in series.items():
            if not points:
                continue
            values = dict(points)
            slope = fitted_exponent(points, least)
            cells = [_figure(values[size]) if size in values else "" for size in sizes]
            last = "" if slope is None else f"{slope:.2f}"
            yield "| " + " | ".join([method, *cells, last]) + " |"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def phase_tables(benchmark: Benchmark, lines: Sequence[Line]) -> Iterator[str]:
    """Yield the phases of mmgraph and the plain way where they took turns."""
    for ours, plain in pairs_of(lines, OURS, PLAIN):
        title = benchmark.cell.from_json(ours["cell"]).title()
        yield from ("", f"Phases of {title}, seconds:", "")
        yield from header(["phase", OURS, PLAIN, "ratio"], left=("phase",))
        for phase, mine in ours["phases"].items():
            theirs = plain["phases"].get(phase)
            if theirs is not None:
                yield f"| {phase} | {mine:.4g} | {theirs:.4g} | {theirs / max(mine, 1e-9):.2f} |"


def not_measured(lines: Sequence[Line], where: Callable[[Line], str]) -> Iterator[str]:
    """Yield a sentence for each line without seconds."""
    for line in lines:
        if line["status"] != OK:
            yield from ("", f"{line['method']}, {where(line)}: {line['status']}, {line['reason']}.")


def _machine(lines: Sequence[Line]) -> str:
    record = lines[-1]["environment"]
    packages = {**record["packages"], **record.get("rival_packages", {})}
    shown = ", ".join(f"{name} {packages[name]}" for name in _PACKAGES if packages.get(name))
    commits = sorted({line["environment"]["commit"] or "unknown" for line in lines})
    days = sorted({line["measured_at"][:10] for line in lines})
    return (
        f"{record['processor']}, {record['cores']} cores, {record['memory_gb']:.0f} GB; Python "
        f"{record['python']}, {shown}; commit {', '.join(commits)}; {' to '.join({days[0]: 0, days[-1]: 0})}."
    )
