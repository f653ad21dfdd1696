"""Pictures of the graph benchmark; colours that colour-blind readers tell apart, names beside the lines."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.graph.figures import Line, Series, fitted_exponent, frontier, growth, ratios_to

# Okabe and Ito's palette; a method keeps its colour and marker in every picture.
_STYLES = {
    "mmgraph": ("#D55E00", "o"),
    "faiss": ("#0072B2", "s"),
    "torch": ("#000000", "^"),
    "pynndescent": ("#009E73", "D"),
    "usearch": ("#CC79A7", "v"),
    "sklearn": ("#E69F00", "P"),
    "pyg": ("#56B4E9", "X"),
}
_KINDS = {"clustered": "#D55E00", "imagelike": "#E69F00", "isotropic": "#0072B2"}
_GREY = "#666666"


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
        series = growth(lines, key)
        if any(len(points) > 1 for points in series.values()):
            drawn.append(f"{prefix}_{name}")
            _draw_growth(series, label, folder / f"{drawn[-1]}.png")
    points = [line for line in frontier(lines) if line.get("recall") is not None]
    if len(points) > 1:
        drawn.append(f"{prefix}_recall")
        _draw_recall(points, folder / f"{drawn[-1]}.png")
    return drawn


def style(method: str) -> tuple[str, str]:
    """Return colour and marker of a method, those of its library."""
    return _STYLES.get(method.partition("-")[0], (_GREY, "o"))


def spread_labels(places: Sequence[float], gap: float) -> list[float]:
    """Move label positions apart so that neighbours differ by at least ``gap``; the order stays.

    Example:
        >>> spread_labels([0.0, 0.1, 1.0], 0.5)
        [-0.2, 0.3, 1.0]
    """
    order = sorted(range(len(places)), key=lambda number: places[number])
    groups: list[tuple[list[int], float]] = []
    for number in order:
        groups.append(([number], places[number]))
        while len(groups) > 1:
            (lower, below), (upper, above) = groups[-2:]
            if above - below >= gap * (len(lower) + len(upper)) / 2 - 1e-12:
                break
            joined = lower + upper
            centre = sum(places[n] for n in joined) / len(joined)
            groups[-2:] = [(joined, centre)]
    moved = [0.0] * len(places)
    for members, centre in groups:
        for rank, number in enumerate(members):
            moved[number] = round(centre + gap * (rank - (len(members) - 1) / 2), 9)
    return moved


def _plot(width: float, height: float) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    import matplotlib.pyplot as plt

    # Without a version in the file, the same numbers give the same bytes.
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)


def _name(
    axes: Any, text: str, point: tuple[float, float], place: tuple[float, float], colour: str
) -> None:
    """Write the name of a point beside the picture, with a thin line to it."""
    axes.annotate(
        text,
        xy=point,
        xytext=place,
        color=colour,
        va="center",
        fontsize=9,
        annotation_clip=False,
        arrowprops={
            "arrowstyle": "-",
            "relpos": (0, 0.5),
            "color": colour,
            "linewidth": 0.5,
            "alpha": 0.6,
        },
    )


def _draw_ratios(ratios: Sequence[tuple[str, str, float]], path: Path) -> None:
    sizes = list(dict.fromkeys(size for _, size, _ in ratios))
    kinds = [kind for kind in _KINDS if any(r[0] == kind for r in ratios)]
    figure, axes = _plot(7.5, 1.2 + 0.34 * len(ratios) + 0.3 * len(sizes))
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
            mark, 1.01, f"{mark:g}×", ha="center", color=_GREY, transform=axes.get_xaxis_transform()
        )
    axes.set_xlim(0, max(2.2, *(r[2] for r in ratios)) * 1.25)
    axes.set_xlabel("seconds of FAISS flat / seconds of mmgraph (right of 1: mmgraph is faster)")
    _save(figure, path)


def _draw_growth(series: Series, label: str, path: Path) -> None:
    figure, axes = _plot(7.5, 4.6)
    axes.set_xscale("log")
    axes.set_yscale("log")
    ends = []
    for method, points in series.items():
        colour, marker = style(method)
        x, y = zip(*points, strict=True)
        axes.plot(x, y, color=colour, marker=marker, linewidth=1.8, markersize=5)
        slope = fitted_exponent(points)
        power = f" ∝ N^{slope:.2f}" if slope is not None else ""
        ends.append((x[-1], y[-1], f"{method}{power}", colour))
    low, high = axes.get_ylim()
    gap = 0.055 * math.log10(high / low)
    moved = spread_labels([math.log10(end[1]) for end in ends], gap)
    right = max(end[0] for end in ends)
    for (x_end, y_end, text, colour), place in zip(ends, moved, strict=True):
        _name(axes, text, (x_end, y_end), (right * 1.25, 10**place), colour)
    axes.set_xlim(right=right * 8)
    axes.set_xlabel("items N (128 columns, k = 10)")
    axes.set_ylabel(label)
    axes.grid(which="major", color="#dddddd", linewidth=0.6)
    _save(figure, path)


def _draw_recall(lines: Sequence[Line], path: Path) -> None:
    figure, axes = _plot(7.5, 4.6)
    axes.set_xscale("log")
    recalls = [line["recall"] for line in lines]
    bottom = max(0.0, min(recalls) - 0.05)
    seconds = [line["median_s"] for line in lines]
    # Of equal recalls the fastest gets the highest label, so that the lines to labels do not cross.
    ranked = [
        recall - 1e-6 * second / max(seconds)
        for recall, second in zip(recalls, seconds, strict=True)
    ]
    moved = spread_labels(ranked, 0.05 * (1.03 - bottom))
    lift = min(0.0, 1.0 - max(moved))
    edge = max(seconds) * 1.5
    for line, place in zip(lines, moved, strict=True):
        colour, marker = style(line["method"])
        axes.plot(line["median_s"], line["recall"], marker, color=colour, markersize=8)
        text = f"{line['method']}, {line['median_s']:.3g} s"
        _name(axes, text, (line["median_s"], line["recall"]), (edge, place + lift), colour)
    axes.axhline(0.95, color=_GREY, linewidth=0.8, linestyle=":")
    axes.set_ylim(min(bottom, min(moved) + lift - 0.02), 1 + 0.03 * (1 - bottom))
    span = math.log10(edge / min(seconds))
    axes.set_xlim(min(seconds) / 1.3, edge * 10 ** max(0.45, 0.6 * span))
    cell = lines[0]["cell"]
    axes.set_xlabel(f"seconds, {cell['rows']:,} × {cell['dim']:,} {cell['data']} features")
    axes.set_ylabel(f"recall@{cell['k']}")
    axes.grid(which="major", color="#dddddd", linewidth=0.6)
    _save(figure, path)
