"""Pictures of the graph benchmark."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.columns import Line
from benchmarks.drawing import (
    COLOURS,
    Style,
    draw_growth,
    name_beside,
    plot,
    save,
)
from benchmarks.figures import growth, section
from benchmarks.graph.figures import LEAST_ROWS, frontier, ratios_to
from mmgraph.report.figure import GREY, MARKERS

# A method keeps its colour and marker, those of its library, in every picture.
_LIBRARIES = ("mmgraph", "faiss", "torch", "pynndescent", "usearch", "sklearn", "pyg")
_STYLES = dict(zip(_LIBRARIES, zip(COLOURS, MARKERS, strict=True), strict=True))
_KINDS = {"clustered": COLOURS[0], "imagelike": COLOURS[5], "isotropic": COLOURS[1]}


def draw_all(lines: Sequence[Line], folder: Path, prefix: str) -> list[str]:
    """Draw what the lines allow; return the names of the pictures, which begin with the prefix, without suffix."""
    drawn = []
    ratios = ratios_to(lines, "faiss-flat")
    if ratios:
        drawn.append(f"{prefix}_ratio")
        _draw_ratios(ratios, folder / f"{drawn[-1]}.png")
    for name, key, label in (
        ("time", "median_s", "seconds"),
        ("memory", "peak_mib", "MiB above the features"),
    ):
        series = growth(section(lines, "scaling", what="knn"), key, "rows")
        if any(len(points) > 1 for points in series.values()):
            drawn.append(f"{prefix}_{name}")
            draw_growth(
                series,
                folder / f"{drawn[-1]}.png",
                labels=("items N (128 columns, k = 10)", label),
                symbol="N",
                least=LEAST_ROWS,
                styles={method: style(method) for method in series},
            )
    points = [line for line in frontier(lines) if line.get("recall") is not None]
    if len(points) > 1:
        drawn.append(f"{prefix}_recall")
        _draw_recall(points, folder / f"{drawn[-1]}.png")
    return drawn


def style(method: str) -> Style:
    """Return colour and marker of a method, those of its library."""
    return _STYLES.get(method.partition("-")[0], (GREY, "o"))


def _draw_ratios(ratios: Sequence[tuple[str, str, float]], path: Path) -> None:
    sizes = list(dict.fromkeys(size for _, size, _ in ratios))
    kinds = [kind for kind in _KINDS if any(r[0] == kind for r in ratios)]
    figure, axes = plot(7.5, 1.2 + 0.34 * len(ratios) + 0.3 * len(sizes))
    ticks, place = [], 0.0
    for size in sizes:
        first = place
        for kind in kinds:
            for _, _, ratio in (r for r in ratios if r[:2] == (kind, size)):
                axes.barh(place, ratio, color=_KINDS[kind], height=0.85)
                axes.text(ratio + 0.03, place, f"{ratio:.2f}× {kind}", va="center", fontsize=9)
                place += 1
        ticks.append(((first + place - 1) / 2, size))
        place += 0.8
    axes.set_yticks([t[0] for t in ticks], [t[1] for t in ticks])
    axes.invert_yaxis()
    for mark in (1.0, 1.4, 2.0):
        axes.axvline(mark, color="black", linewidth=0.8, linestyle="-" if mark == 1 else ":")
        axes.text(
            mark, 1.01, f"{mark:g}×", ha="center", color=GREY, transform=axes.get_xaxis_transform()
        )
    axes.set_xlim(0, max(2.2, *(r[2] for r in ratios)) * 1.25)
    axes.set_xlabel("seconds of FAISS flat / seconds of mmgraph (right of 1: mmgraph is faster)")
    save(figure, path)


def _draw_recall(lines: Sequence[Line], path: Path) -> None:
    figure, axes = plot(7.5, 4.6)
    axes.set_xscale("log")
    named = []
    for line in lines:
        colour, marker = style(line["method"])
        point = (line["median_s"], line["recall"])
        axes.plot(*point, marker, color=colour, markersize=8)
        named.append((f"{line['method']}, {line['median_s']:.3g} s", point, colour))
    axes.axhline(0.95, color=GREY, linewidth=0.8, linestyle=":")
    lowest = min(0.95, *(line["recall"] for line in lines))
    axes.set_ylim(lowest - 0.15 * (1 - lowest), 1 + 0.1 * (1 - lowest))
    seconds = [line["median_s"] for line in lines]
    axes.set_xlim(min(seconds) / 1.5, max(seconds) * 3)  # room for names
    cell = lines[0]["cell"]
    axes.set_xlabel(f"seconds, {cell['rows']:,} × {cell['dim']:,} {cell['data']} features")
    axes.set_ylabel(f"recall@{cell['k']}")
    axes.grid(which="major", color="#dddddd", linewidth=0.6)
    name_beside(axes, named)
    save(figure, path)
