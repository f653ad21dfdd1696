"""What all pictures share: colours that colour-blind readers tell apart, names beside the lines."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import Series, fitted_exponent
from mmgraph.report.figure import COLOURS as PALETTE

_BLUE, _RED, *_OTHERS, _BLACK = PALETTE
COLOURS = (_RED, _BLUE, _BLACK, *_OTHERS)
"""The palette of the reports; our own line is the red one, the plainest rival the blue one."""

_MARKER = 5.0
"""Half the width of a marker, in dots."""

# Where a name may stand to its point: by how many points of type, and which end of the name is nearest.
_SIDES = (
    ((9, 0), "left", "center"),
    ((-9, 0), "right", "center"),
    ((0, -9), "center", "top"),
    ((0, 9), "center", "bottom"),
    ((7, -9), "left", "top"),
    ((-7, -9), "right", "top"),
)

Style = tuple[str, str]
"""Colour and marker."""


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


def plot(width: float, height: float) -> tuple[Any, Any]:
    """Return an empty picture of some inches and its axes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure: Any, path: Path) -> None:
    """Write a picture."""
    import matplotlib.pyplot as plt

    # Without a version in the file, the same numbers give the same bytes.
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)


def name_point(
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


def name_beside(axes: Any, named: Sequence[tuple[str, tuple[float, float], str]]) -> None:
    """Write names beside their points, each where it covers no point and no other name, if there is such a place.

    Args:
        axes: Where the points are; with its limits and scales.
        named: Name, point and colour of each.
    """
    axes.figure.canvas.draw()  # only then are the places of points known
    taken = [_around(*axes.transData.transform(point)) for _, point, _ in named]
    for text, point, colour in named:
        name = axes.annotate(
            text, point, (0, 0), color=colour, fontsize=9, textcoords="offset points"
        )
        for (x, y), across, along in _SIDES:
            name.set(position=(x, y), ha=across, va=along)
            box = name.get_window_extent()
            inside = axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 and axes.bbox.y0 <= box.y0
            if inside and not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)


def _around(x: float, y: float) -> Any:
    """Return the box of a marker."""
    from matplotlib.transforms import Bbox

    return Bbox.from_extents(x - _MARKER, y - _MARKER, x + _MARKER, y + _MARKER)


def draw_growth(
    series: Series,
    path: Path,
    *,
    labels: tuple[str, str],
    symbol: str,
    least: float,
    styles: Mapping[str, Style],
) -> None:
    """Draw values against sizes, both on logarithmic scales, with the fitted power of each line.

    Args:
        series: Method to its points.
        path: Of the picture.
        labels: Of the two axes.
        symbol: Of the size.
        least: Size from which powers are fitted.
        styles: Method to its colour and marker.
    """
    figure, axes = plot(7.5, 4.6)
    axes.set_xscale("log")
    axes.set_yscale("log")
    ends = []
    for method, points in series.items():
        colour, marker = styles[method]
        x, y = zip(*points, strict=True)
        axes.plot(x, y, color=colour, marker=marker, linewidth=1.8, markersize=5)
        slope = fitted_exponent(points, least)
        power = f" ∝ {symbol}^{slope:.2f}" if slope is not None else ""
        ends.append((x[-1], y[-1], f"{method}{power}", colour))
    low, high = axes.get_ylim()
    gap = 0.055 * math.log10(high / low)
    moved = spread_labels([math.log10(end[1]) for end in ends], gap)
    right = max(end[0] for end in ends)
    for (x_end, y_end, text, colour), place in zip(ends, moved, strict=True):
        name_point(axes, text, (x_end, y_end), (right * 1.25, 10**place), colour)
    axes.set_xlim(right=right * 8)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.grid(which="major", color="#dddddd", linewidth=0.6)
    save(figure, path)
