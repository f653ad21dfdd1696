"""Result files: reading them, and what of them need not be measured again."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cells import FINAL, identity
from mmgraph.errors import ConfigError


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a result file; of equal pieces of work the last line of each method counts.

    Raises:
        ConfigError: The file is not one of this program.
    """
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            line = json.loads(text)
            made = line["benchmark"] == "features"
            key = (text, "") if made else (identity(line["cell"]), line["method"])
            lines.pop(key, None)
            lines[key] = line
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{path}, line {number}: not a line of this benchmark; name another file"
            ) from error
    return list(lines.values())


def finished(lines: Sequence[dict[str, Any]]) -> set[str]:
    """Return the cells that need not be measured again: each method has an answer that lasts."""
    last = {(identity(line["cell"]), line["method"]): line["status"] for line in lines}
    open_cells = {cell for (cell, _), status in last.items() if status not in FINAL}
    return {cell for cell, _ in last} - open_cells
