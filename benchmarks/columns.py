"""The figures of a line that a table shows beside its seconds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.cells import OK

Line = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """One figure.

    Attributes:
        keys: Where it is in a line: the first of these that is there.
        heading: What stands above it.
        form: Format of the number.
    """

    keys: tuple[str, ...]
    heading: str
    form: str

    def show(self, line: Line) -> str:
        """Return the figure of a line, or an empty string.

        Example:
            >>> Column(("recall", "shared"), "recall", ".2f").show({"shared": 0.5})
            '0.50'
        """
        values = [line[key] for key in self.keys if line.get(key) is not None]
        return f"{values[0]:{self.form}}" if values else ""


MEMORY = (
    Column(("life_mib",), "process MiB", ",.0f"),
    Column(("peak_mib",), "peak MiB", ",.0f"),
    Column(("device_peak_mib",), "GPU MiB", ",.0f"),
)
"""Of the whole life of the process, of the work above what was there before, and of the device."""


def times_as_fast(line: Line) -> str:
    """Return how many times as fast as each baseline a method was."""
    return ", ".join(f"{other} {value:.2f}" for other, value in line["ratios"].items())


def remark(line: Line) -> str:
    """Return why a method has no seconds; an empty string where it has."""
    if line["status"] == OK:
        return ""
    reason = str(line["reason"])
    return reason if line["status"] in reason else f"{line['status']}: {reason}"
