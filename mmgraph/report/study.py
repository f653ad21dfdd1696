"""Pictures of studies: means with their spread over seeds, curves and maps of a sweep."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from mmgraph.report.figure import COLOURS, GREY, drawing, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEAST_SHARE = 0.5  # of the reference's mean: what is below has no place on the axis of rows
_MOST_TICKS = 12  # that have room beside each other on an axis
_DECADES = 1.4  # values that span more are drawn on a logarithmic axis

Point = Mapping[str, Any]
"""Values of the keys of a grid."""


@contextmanager
def draw_rows(
    values: Mapping[str, Sequence[float]],
    *,
    metric: str,
    reference: str | None = None,
    role: str = "the reference",
) -> Iterator["Figure"]:
    """Give a picture with a row for each label: a dot for each seed, the mean, and the standard deviation.

    A row whose mean is below half of the reference's is named with its mean and has no place on the axis, which would
    leave the others too little of it.

    Args:
        values: By label, one value a seed.
        metric: Says what they are.
        reference: Row whose mean is also a line through all rows.
        role: What it is, for the legend.
    """
    names = [label(name) for name in values]
    least = mean(values[reference]) * _LEAST_SHARE if reference is not None else -math.inf
    inside = {name for name, seeds in values.items() if mean(seeds) >= least}
    many = any(len(seeds) > 1 for seeds in values.values())
    means = f"mean{' ± standard deviation over seeds' if many else ''}"
    mine = f"{label(reference)}, {role}" if reference is not None else ""
    width = 3.4 + 0.06 * max(map(len, names))
    with drawing(width=width, height=1.5 + 0.32 * len(names)) as (figure, (axes,)):
        for row, (name, seeds) in enumerate(values.items()):
            if name not in inside:
                _name_outside(axes, row, mean(seeds))
            elif name != reference:
                _draw_row(axes, row, seeds, colour=COLOURS[0], told=means)
            else:
                _draw_row(axes, row, seeds, colour=COLOURS[1], told=mine)
                line = axes.axvline(mean(seeds), color=COLOURS[1], linewidth=0.8, linestyle=":")
                line.set_label("its mean")
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)  # the first row at the top
        axes.locator_params(axis="x", nbins=6)  # more would touch each other
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(metric)
        handles, texts = axes.get_legend_handles_labels()
        marks = dict(zip(texts, handles, strict=True))
        told = [text for text in ("a seed", means, mine, "its mean") if text in marks]
        figure.legend([marks[text] for text in told], told, loc="outside lower center", fontsize=8)
        yield figure


@contextmanager
def draw_tested(record: Mapping[str, Any]) -> Iterator["Figure"]:
    """Give the picture of a study whose rows were tested against one of them.

    Args:
        record: What ``mmgraph compare`` or ``ablate`` found.
    """
    metric, seeds = record["metric"], record["seeds"]
    names = {row["label"]: row_name(row, seeds) for row in record["rows"]}
    values = {names[row["label"]]: row["test"][metric] for row in record["rows"]}
    with draw_rows(values, metric=f"test {metric}", reference=names[record["against"]]) as figure:
        yield figure


def row_name(row: Mapping[str, Any], seeds: Sequence[int]) -> str:
    """Return the label of a row of a study, with the number of its seeds where it lacks some.

    Example:
        >>> row_name({"label": "lightgcn", "seeds": [1]}, [1, 2, 3])
        'lightgcn (1 of 3 seeds)'
    """
    found = len(row["seeds"])
    return f"{row['label']}{f' ({found} of {len(seeds)} seeds)' if found < len(seeds) else ''}"


@contextmanager
def draw_sweep(
    points: Sequence[Point], values: Sequence[Sequence[float]], *, metric: str, best: int
) -> Iterator["Figure"]:
    """Give a picture of a sweep: a curve over one key, a map over two, rows over more.

    Args:
        points: The settings; all have the same keys.
        values: Of each setting, one value a seed.
        metric: Says what they are.
        best: Place of the chosen one.
    """
    keys = list(points[0])
    if len(keys) == 1:
        with drawing() as (figure, (axes,)):
            _curve(axes, keys[0], points, values, best)
            if len(values[0]) > 1:
                axes.set_title("mean and standard deviation over seeds, chosen in red", fontsize=8)
            axes.set_ylabel(metric)
            yield figure
    elif len(keys) == 2:
        first, second = (_levels(point[key] for point in points) for key in keys)
        size = (2.2 + 0.55 * len(first), 1.4 + 0.4 * len(second))
        with drawing(width=size[0], height=size[1]) as (figure, (axes,)):
            image = _map(axes, keys, points, values, best)
            figure.colorbar(image, ax=axes, label=metric)
            yield figure
    else:
        order = sorted(range(len(points)), key=lambda n: -mean(values[n]))
        rows = {point_label(points[n]): values[n] for n in order}
        with draw_rows(
            rows, metric=metric, reference=point_label(points[best]), role="chosen"
        ) as figure:
            yield figure


def point_label(point: Point) -> str:
    """Return a setting of a grid in one line, with the last parts of its keys where these differ.

    Example:
        >>> point_label({"model.k": 5, "training.learning_rate": 0.001})
        'k=5, learning_rate=0.001'
    """
    return ", ".join(
        f"{name}={value!s}"
        for name, value in zip(short_keys(list(point)), point.values(), strict=True)
    )


def short_keys(keys: Sequence[str]) -> list[str]:
    """Return the last parts of keys with dots; where two would be alike, the whole keys.

    Example:
        >>> short_keys(["model.k", "graph.k", "model.tau"]), short_keys(["model.tau"])
        (['model.k', 'graph.k', 'tau'], ['tau'])
    """
    last = [key.rpartition(".")[2] for key in keys]
    return [name if last.count(name) == 1 else key for key, name in zip(keys, last, strict=True)]


def spans_decades(values: Sequence[Any]) -> bool:
    """Return whether values belong on a logarithmic axis.

    Example:
        >>> spans_decades([0.1, 1, 10]), spans_decades([1, 2, 3]), spans_decades([0, 100])
        (True, False, False)
    """
    if not values or not all(_is_number(value) and value > 0 for value in values):
        return False
    return math.log10(max(values) / min(values)) >= _DECADES


def _draw_row(axes: "Axes", row: int, seeds: Sequence[float], *, colour: str, told: str) -> None:
    """Draw the dots of the seeds, their mean and their spread."""
    spread = stdev(seeds) if len(seeds) > 1 else None
    axes.plot(seeds, [row] * len(seeds), "o", color=GREY, markersize=3, alpha=0.5, label="a seed")
    axes.errorbar(mean(seeds), row, xerr=spread, fmt="o", color=colour, capsize=3, label=told)


def _name_outside(axes: "Axes", row: int, value: float) -> None:
    """Write the mean of a row at the edge that it is beyond."""
    # Along the axis as a share of it, across as data: it stays at the edge whatever the others need.
    place = axes.get_yaxis_transform()
    text = f"◂ {value:.4f}, outside"
    axes.text(0.01, row, text, transform=place, va="center", color=GREY, fontsize=8)


def _curve(
    axes: "Axes",
    key: str,
    points: Sequence[Point],
    values: Sequence[Sequence[float]],
    best: int,
) -> None:
    levels = _levels(point[key] for point in points)
    order = [next(n for n, point in enumerate(points) if point[key] == level) for level in levels]
    means = [mean(values[n]) for n in order]
    spreads = [stdev(values[n]) if len(values[n]) > 1 else 0.0 for n in order]
    numeric, decades = all(map(_is_number, levels)), spans_decades(levels)
    # Zero has no place on a logarithmic axis: then the values stand side by side.
    even = not numeric or (not decades and spans_decades([level for level in levels if level > 0]))
    x = list(range(len(levels))) if even else levels
    if numeric:
        low = [m - s for m, s in zip(means, spreads, strict=True)]
        high = [m + s for m, s in zip(means, spreads, strict=True)]
        axes.fill_between(x, low, high, color=COLOURS[0], alpha=0.2, linewidth=0)
        axes.plot(x, means, "o-", color=COLOURS[0])
    else:
        axes.errorbar(x, means, yerr=spreads, fmt="o", color=COLOURS[0], capsize=3)
    if decades:
        axes.set_xscale("log")
    if even or decades or _far_apart(levels):
        axes.set_xticks(x, [str(level) for level in levels])
        axes.minorticks_off()
    place = order.index(best)
    axes.plot(x[place], means[place], "o", color=COLOURS[1], markersize=8)
    axes.set_xlabel(key)


def _far_apart(levels: Sequence[float]) -> bool:
    """Return whether each value can be written below its place on a linear axis."""
    gaps = [after - before for before, after in pairwise(levels)]
    return all(gap >= (levels[-1] - levels[0]) / _MOST_TICKS for gap in gaps)


def _map(
    axes: "Axes",
    keys: Sequence[str],
    points: Sequence[Point],
    values: Sequence[Sequence[float]],
    best: int,
) -> Any:
    columns, rows = (_levels(point[key] for point in points) for key in keys)
    table = [[math.nan] * len(columns) for _ in rows]  # a random part of a grid leaves gaps
    places = []
    for point, seeds in zip(points, values, strict=True):
        place = rows.index(point[keys[1]]), columns.index(point[keys[0]])
        places.append(place)
        table[place[0]][place[1]] = mean(seeds)
    image = axes.imshow(table, aspect="auto", cmap="cividis", origin="lower")
    middle = sum(image.get_clim()) / 2
    for (row, column), seeds in zip(places, values, strict=True):
        colour = "black" if mean(seeds) > middle else "white"
        text = f"{mean(seeds):.4f}".removeprefix("0")
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=7)
    row, column = places[best]
    around = [column - 0.48, column + 0.48, column + 0.48, column - 0.48, column - 0.48]
    above = [row - 0.48, row - 0.48, row + 0.48, row + 0.48, row - 0.48]
    axes.plot(around, above, color=COLOURS[1], linewidth=2)
    axes.set_xticks(range(len(columns)), [str(level) for level in columns])
    axes.set_yticks(range(len(rows)), [str(level) for level in rows])
    axes.grid(visible=False)
    axes.set_xlabel(keys[0])
    axes.set_ylabel(keys[1])
    return image


def _levels(values: Any) -> list[Any]:
    """Return the different values, numbers in their order, others as they come."""
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return sorted(found) if all(map(_is_number, found)) else found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
