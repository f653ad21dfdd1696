"""Pictures of the evaluation benchmark."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.cells import PLAIN
from benchmarks.columns import Line
from benchmarks.drawing import COLOURS, draw_growth, plot, save
from benchmarks.evaluation.figures import block_growth, ranking_pairs
from benchmarks.figures import section
from mmgraph.report.figure import MARKERS

_LEAST_BLOCK = 512
"""Block size from which powers are fitted; below, what does not depend on it is most of the memory."""


def draw_all(lines: Sequence[Line], folder: Path, prefix: str) -> list[str]:
    """Draw what the lines allow; return the names of the pictures, which begin with the prefix, without suffix."""
    drawn = []
    pairs = ranking_pairs(section(lines, "duel"))
    if pairs:
        drawn.append(f"{prefix}_ratio")
        _draw_ratios(pairs, folder / f"{drawn[-1]}.png")
    memory = block_growth(lines, "peak_mib")
    if any(len(points) > 1 for points in memory.values()):
        drawn.append(f"{prefix}_blocks")
        styles = zip(COLOURS, MARKERS, strict=True)
        draw_growth(
            {name: points for name, points in memory.items() if points},
            folder / f"{drawn[-1]}.png",
            labels=("users at once B", "MiB above the data"),
            symbol="B",
            least=_LEAST_BLOCK,
            styles=dict(zip(memory, styles, strict=False)),
        )
    return drawn


def _draw_ratios(pairs: Sequence[tuple[Line, Line]], path: Path) -> None:
    figure, axes = plot(7.5, 1.2 + 0.5 * len(pairs))
    ratios = [ours["ratios"][PLAIN] for ours, _ in pairs]
    for place, (ratio, (ours, plain)) in enumerate(zip(ratios, pairs, strict=True)):
        axes.barh(place, ratio, color=COLOURS[0], height=0.7)
        said = f"{ratio:.2f}× ({plain['median_s']:.3g} s / {ours['median_s']:.3g} s)"
        axes.text(ratio + 0.03, place, said, va="center", fontsize=9)
    axes.set_yticks(range(len(pairs)), [ours["cell"]["data"] for ours, _ in pairs])
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlim(0, max(2.0, *ratios) * 1.5)
    axes.set_xlabel("seconds of the plain way / seconds of mmgraph (right of 1: mmgraph is faster)")
    save(figure, path)
