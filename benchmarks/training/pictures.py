"""Pictures of the training benchmark."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.cells import OURS
from benchmarks.columns import Line
from benchmarks.drawing import COLOURS, Style, draw_growth, plot, save
from benchmarks.figures import Series, growth, section
from benchmarks.training.figures import LEAST_EDGES, axis_lines, epoch_name, epoch_pairs
from benchmarks.training.phases import PHASES
from mmgraph.report.figure import GREY, MARKERS

_PHASES = dict(zip(PHASES, (*COLOURS[:2], *COLOURS[3:5], "#BBBBBB"), strict=True))
# A way keeps its colour and marker whatever else was measured.
_WAYS = (OURS, "csr", "torch-coo", "edge_index", "pyg-lgconv", "torch_sparse", "scatter")
_STYLES = dict(zip(_WAYS, zip(COLOURS, MARKERS, strict=True), strict=True))
_STYLES |= {"embedding_bag": ("#8C510A", "*"), "gather": (GREY, "x")}


def draw_all(lines: Sequence[Line], folder: Path, prefix: str) -> list[str]:
    """Draw what the lines allow; return the names of the pictures, which begin with the prefix, without suffix."""
    drawn = []
    pairs = epoch_pairs(section(lines, "duel", what="epoch"))
    if pairs:
        drawn.append(f"{prefix}_epoch")
        _draw_epochs(pairs, folder / f"{drawn[-1]}.png")
    steps = axis_lines(section(lines, "scaling", what="step"), "edges")
    products = section(lines, "kernels", what="product")
    for name, series, labels in (
        ("kernels", growth(products, "median_s", "edges"), ("entries E of the matrix", "seconds")),
        (
            "step",
            {
                "step": growth(steps, "median_s", "edges").get(OURS, []),
                "epoch": growth(steps, "epoch_s", "edges").get(OURS, []),
            },
            ("interactions E, ten for each node", "seconds"),
        ),
        (
            "memory",
            {
                "process": growth(steps, "life_mib", "edges").get(OURS, []),
                "model and step": growth(steps, "peak_mib", "edges").get(OURS, []),
            },
            ("interactions E, ten for each node", "MiB"),
        ),
    ):
        if any(len(points) > 1 for points in series.values()):
            drawn.append(f"{prefix}_{name}")
            _draw_series(series, folder / f"{drawn[-1]}.png", labels)
    return drawn


def _draw_series(series: Series, path: Path, labels: tuple[str, str]) -> None:
    # mmgraph last, over the backend that it chose.
    shown = sorted(series, key=lambda method: method == OURS)
    draw_growth(
        {method: series[method] for method in shown if series[method]},
        path,
        labels=labels,
        symbol="E",
        least=LEAST_EDGES,
        styles={method: style(method, number) for number, method in enumerate(series)},
    )


def style(method: str, number: int) -> Style:
    """Return colour and marker of a way, or those of a number where it has none of its own."""
    return _STYLES.get(method, (COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]))


def _draw_epochs(pairs: Sequence[tuple[Line, Line]], path: Path) -> None:
    """Draw the seconds of both ways on each data set as bars of phases, each data set to its own scale."""
    figure, axes = plot(8.0, 1.5 + 1.0 * len(pairs))
    ticks, lines, longest = [], [line for pair in pairs for line in pair], 1.0
    for number, (ours, plain) in enumerate(pairs):
        whole = sum(plain["phases"].values())
        for offset, line in ((0.0, ours), (0.42, plain)):
            place, left = number * 1.1 + offset, 0.0
            for phase, colour in _PHASES.items():
                width = line["phases"].get(phase, 0.0) / whole
                label = phase if line is lines[0] else None
                axes.barh(place, width, left=left, color=colour, height=0.38, label=label)
                left += width
            longest = max(longest, left)
            axes.text(
                left + 0.01 * longest,
                place,
                f"{line['method']} {line['median_s']:.3g} s",
                va="center",
            )
        name = epoch_name(ours, lines)
        ticks.append((number * 1.1 + 0.21, f"{name}\n{ours['ratios']['plain']:.2f}×"))
    axes.set_yticks([t[0] for t in ticks], [t[1] for t in ticks])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.25 * longest)
    if longest == 1.0:
        axes.set_xticks((0, 0.25, 0.5, 0.75, 1))
    axes.set_xlabel("seconds of an epoch, as a share of those of the plain way")
    axes.legend(ncols=len(PHASES), loc="lower center", bbox_to_anchor=(0.45, 1.0), frameon=False)
    save(figure, path)
