"""The work of the evaluation benchmark."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.cells import OURS
from benchmarks.evaluation.cells import EvaluationCell
from benchmarks.evaluation.ways import OurRanking, digest, draw_vectors, largest_difference
from benchmarks.methods import Method
from benchmarks.tasks import Outcome, Task
from mmgraph.data import MultimodalDataset, load_dataset


class RankingTask(Task):
    """Full ranking of one data set."""

    def __init__(self, cell: EvaluationCell, dataset: MultimodalDataset) -> None:
        super().__init__(cell)
        self.cell, self.dataset = cell, dataset
        self.vectors = draw_vectors(cell, dataset.num_users, dataset.num_items)
        self.ways: dict[str, Callable[[], Outcome]] = {}

    def warm_up(self, method: Method, name: str) -> None:
        """Do the whole work; where memory is measured, only load what is loaded on first use."""
        if not self.cell.alone:
            super().warm_up(method, name)
            return
        from mmgraph.testing import checkerboard_dataset

        # The default lists are longer than a small catalogue.
        board = checkerboard_dataset(64)
        small = draw_vectors(self.cell, board.num_users, board.num_items)
        OurRanking(self.cell, board, small)()

    def get_ready(self, method: Method, name: str) -> None:
        """Make the index of what was seen and what is held out."""
        if name not in self.ways:
            self.ways[name] = method.load()(self.cell, self.dataset, self.vectors)

    def run(self, method: Method, name: str) -> Outcome:
        """Rank and measure."""
        return self.ways[name]()

    def judge(self, outcomes: Mapping[str, Outcome]) -> dict[str, dict[str, Any]]:
        """Return a digest of all metrics, and how far those of mmgraph are from the other way's."""
        judged: dict[str, dict[str, Any]] = {
            name: {"digest": digest(outcome.value)} for name, outcome in outcomes.items()
        }
        for name, outcome in outcomes.items():
            if name != OURS and OURS in outcomes:
                apart = largest_difference(outcomes[OURS].value, outcome.value)
                judged[OURS]["difference"] = apart
        return judged


def make_task(cell: EvaluationCell, place: str, folder: Path) -> Task:
    """Prepare the input of a cell.

    Args:
        cell: What to do.
        place: Name or folder of the data set.
        folder: For files; none are needed.
    """
    del folder
    return RankingTask(cell, load_dataset(place, modalities=[]))
