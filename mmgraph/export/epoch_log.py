"""The log of a run, one JSON line per epoch, written while it trains."""

import json
import statistics
from collections.abc import Sequence
from typing import Any

from mmgraph.export.run_folder import EPOCHS, RunFolder


class EpochLog:
    """Appends epochs to ``metrics.jsonl`` and remembers their seconds, which are kept out of that file.

    Args:
        folder: The run.
        history: Epochs restored from a checkpoint; lines past them are trained again and so dropped.
    """

    def __init__(self, folder: RunFolder, history: Sequence[dict[str, Any]] = ()) -> None:
        self.folder = folder
        self.epoch_s: list[float] = []
        self.eval_s: list[float] = []
        folder.write_bytes(EPOCHS, "".join(f"{json.dumps(line)}\n" for line in history).encode())

    def add(self, record: dict[str, Any], *, epoch_s: float, eval_s: float | None) -> None:
        """Append one epoch; ``eval_s`` is None where it was not validated."""
        with (self.folder / EPOCHS).open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(record)}\n")
        self.epoch_s.append(epoch_s)
        if eval_s is not None:
            self.eval_s.append(eval_s)

    def timings(self) -> dict[str, float | None]:
        """Return the median seconds of an epoch and of a validation of this process, None where there was none."""
        found = {"epoch_s_median": self.epoch_s, "eval_s_median": self.eval_s}
        return {name: statistics.median(s) if s else None for name, s in found.items()}
