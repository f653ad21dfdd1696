"""What all pictures share: size, colours, fonts, and the two formats they are saved in.

The one file of the package that imports matplotlib. Nothing here opens a window or needs a display.
"""

import io
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgraph.errors import MissingDependency
from mmgraph.files import new_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette: colour-blind readers tell these apart."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#666666"

_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that pictures are the same everywhere
    "font.size": 9,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "svg.fonttype": "none",  # text stays text: searchable, and set in the font of a paper
    "svg.hashsalt": "mmgraph",  # names inside the file would be random otherwise
}
_DOTS_PER_INCH = 150


def check_drawing() -> None:
    """Refuse to begin work whose picture could not be drawn.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise MissingDependency(
            "pictures need matplotlib (it is not installed); run: pip install 'mmgraph[report]'"
        ) from None


@contextmanager
def drawing(
    *, panels: int = 1, width: float = 4.2, height: float = 3.2
) -> Iterator[tuple["Figure", list["Axes"]]]:
    """Give an empty picture of some panels side by side, in the style that all pictures share.

    Draw and save within the block: the style ends with it.

    Args:
        panels: How many.
        width: Of each panel.
        height: Of the picture.

    Returns:
        The figure and its axes, from left to right.

    Raises:
        MissingDependency: matplotlib is not installed.

    Units:
        width and height in inches.

    Example:
        >>> with drawing() as (figure, (axes,)):
        ...     _ = axes.plot([0, 1], [1, 0])
        ...     sorted(render(figure))
        ['.png', '.svg']
    """
    check_drawing()
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a matplotlibrc on this machine has no say
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=(width * panels, height), layout="constrained")
        yield figure, list(figure.subplots(1, panels, squeeze=False)[0])


def render(figure: "Figure") -> dict[str, bytes]:
    """Return a picture as PNG and as SVG, by the ending of the file; the same picture gives the same bytes."""
    # Without version and date in the file; "Creator" and "Software" name the version of matplotlib.
    nameless: dict[str, dict[str, Any]] = {
        ".png": {"Software": None},
        ".svg": {"Date": None, "Creator": None},
    }
    pictures = {}
    with warnings.catch_warnings():
        # A script that the font lacks shows as boxes in the PNG; the SVG holds the text itself.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        for ending, metadata in nameless.items():
            buffer = io.BytesIO()
            figure.savefig(buffer, format=ending[1:], dpi=_DOTS_PER_INCH, metadata=metadata)
            pictures[ending] = buffer.getvalue()
    return pictures


def label(text: str, *, length: int = 40) -> str:
    r"""Return a name or title as a picture can show it: in one line, not too long, without being read as mathematics.

    Example:
        >>> label("$5 a Day\n(2008)"), label("A very long title", length=7)
        ('\\$5 a Day (2008)', 'A very…')
    """
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    if len(line) > length:
        line = line[: length - 1].rstrip() + "…"
    return line.replace("$", r"\$")


def write_result(stem: Path, value: Mapping[str, Any], figure: "Figure") -> tuple[Path, ...]:
    """Write numbers and their picture beside each other: ``stem`` with .json, .png and .svg, each whole.

    Files of these names are replaced, and none of them before all three are on the disk. What happens between one
    replacement and the next can leave new files beside old ones. Call it within the block of :func:`drawing`.

    Args:
        stem: Place and name without an ending; its folder is made if it is missing.
        value: The numbers, one JSON object.
        figure: The picture.

    Returns:
        The three files.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    contents = {".json": f"{text}\n".encode(), **render(figure)}
    stem.parent.mkdir(parents=True, exist_ok=True)
    targets = tuple(stem.with_name(stem.name + ending) for ending in contents)
    # All are on the disk under other names before the first takes its place.
    with ExitStack() as stack:
        for target, content in zip(targets, contents.values(), strict=True):
            stack.enter_context(new_file(target)).write_bytes(content)
    return targets
