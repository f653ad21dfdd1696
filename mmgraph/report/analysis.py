"""Pictures of the analyses of a run; the numbers they show are written beside them."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgraph.report.figure import COLOURS, GREY, drawing, label, write_result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GROUPS = {"all": "all items", "high_degree": "high-degree items"}
_HATCHES = (None, "///", "...", "xxx")
_LINES = ("-", "--", ":", "-.")
"""Of what has a colour for the first, second, third and fourth time."""
_MOST_BARS = 40
"""More would make a picture that no program opens."""


def save_preservation(stem: Path, record: Mapping[str, Any]) -> tuple[Path, ...]:
    """Write what :func:`mmgraph.analysis.analyze_preservation` found, and a panel of densities for each modality.

    A line is one run, over all items or those of high degree; a dotted line is a mean over items and runs.

    Returns:
        The JSON, PNG and SVG file.
    """
    modalities = record["modalities"]
    with drawing(panels=len(modalities)) as (figure, panels):
        for axes, (name, found) in zip(panels, modalities.items(), strict=True):
            for (group, text), colour in zip(_GROUPS.items(), COLOURS, strict=False):
                values = found[group]
                for number, counts in enumerate(values["counts"]):
                    shares = _density(counts, found["edges"])
                    filled = len(values["counts"]) == 1
                    axes.stairs(
                        shares,
                        found["edges"],
                        color=(colour, 0.25 if filled else 0.7),
                        fill=filled,
                        label=text if number == 0 else None,
                        linewidth=1,
                    )
                    if filled:
                        axes.stairs(shares, found["edges"], color=colour, linewidth=1)
                if values["mean"] is not None:
                    axes.axvline(values["mean"], color=colour, linestyle=":", linewidth=1.4)
            axes.set(
                title=label(name),
                xlabel="mean change of similarity to other items",
                ylabel="density of items",
            )
            axes.legend()
        runs = len(record["runs"])
        what = f"{record['final'].replace('_', ' ')} vectors, {runs} seed{'s' if runs > 1 else ''}"
        figure.suptitle(f"{_subject(record)}, {what}")
        return write_result(stem, record, figure)


def save_weights(stem: Path, record: Mapping[str, Any]) -> tuple[Path, ...]:
    """Write what :func:`mmgraph.analysis.analyze_weights` found, and a histogram of weights for each modality.

    Returns:
        The JSON, PNG and SVG file.
    """
    edges, runs = record["edges"], record["runs"]
    names = list(runs[0]["modalities"])
    with drawing(panels=len(names)) as (figure, panels):
        for axes, name in zip(panels, names, strict=True):
            axes.axvspan(*record["middle"], color=GREY, alpha=0.12, linewidth=0)
            for number, run in enumerate(runs):
                colour, line = _look(number, _LINES)
                found = run["modalities"][name]
                shares = [count / max(1, found["items"]) for count in found["counts"]]
                axes.stairs(shares, edges, color=(colour, 0.25), fill=True)
                mean = found["mean"]
                text = f"{run['label']}: {'no items' if mean is None else f'mean {mean:.3f}'}"
                axes.stairs(
                    shares, edges, color=colour, linestyle=line, linewidth=1.2, label=label(text)
                )
            axes.set(title=label(name), xlabel="weight", ylabel="share of items", xlim=(0, 1))
            axes.set_ylim(top=1.3 * axes.get_ylim()[1])  # room for the names
            axes.legend(loc="upper right")
        figure.suptitle(_subject(record))
        return write_result(stem, record, figure)


def save_attention(stem: Path, record: Mapping[str, Any], *, rows: int) -> tuple[Path, ...]:
    """Write what :func:`mmgraph.analysis.analyze_attention` found, and a bar of shares for each of some items.

    Args:
        stem: Place and name without an ending.
        record: What was found.
        rows: Items shown in each list, the first ones, but 40 at most; the JSON file holds all.

    Returns:
        The JSON, PNG and SVG file.
    """
    rows = min(rows, _MOST_BARS)
    shown = [("Training items", record["history"]), ("Recommended", record["recommended"])]
    height = 1.5 + 0.2 * max(1, *(min(rows, len(items)) for _, items in shown))
    with drawing(panels=2, width=5.0, height=height) as (figure, panels):
        for axes, (title, items) in zip(panels, shown, strict=True):
            _stacked_bars(axes, items[:rows], record["parts"])
            more = f", {rows} of {len(items):,}" if len(items) > rows else ""
            axes.set(title=f"{title}{more}", xlabel="share of influence", xlim=(0, 1))
        figure.legend(
            *panels[1].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=len(record["parts"]),
        )
        figure.suptitle(f"{_subject(record)}, user {label(record['user'])}")
        return write_result(stem, record, figure)


def _subject(record: Mapping[str, Any]) -> str:
    return label(f"{record['model']} on {record['dataset']}", length=60)


def _look(number: int, rounds: Sequence[Any]) -> tuple[str, Any]:
    """Return the colour of the one with a number, and what tells it from those that had the colour before."""
    return COLOURS[number % len(COLOURS)], rounds[number // len(COLOURS) % len(rounds)]


def _density(counts: Sequence[int], edges: Sequence[float]) -> list[float]:
    total = max(1, sum(counts))
    return [
        count / total / (right - left)
        for count, (left, right) in zip(counts, pairwise(edges), strict=True)
    ]


def _stacked_bars(axes: "Axes", items: Sequence[Mapping[str, Any]], parts: Sequence[str]) -> None:
    places = range(len(items))
    begins = [0.0] * len(items)
    for number, part in enumerate(parts):
        colour, hatch = _look(number, _HATCHES)
        shares = [item["shares"][part] for item in items]
        axes.barh(
            places, shares, left=begins, color=colour, hatch=hatch, label=label(part), height=0.8
        )
        begins = [begin + share for begin, share in zip(begins, shares, strict=True)]
    axes.set_yticks(places, [label(item["title"] or item["item"]) for item in items])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
