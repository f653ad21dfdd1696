"""The pieces of work of the training benchmark."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.bound import gemm_gflops, memory_gbytes
from benchmarks.cells import OURS
from benchmarks.methods import Method
from benchmarks.tasks import Outcome, Task, free_bytes
from benchmarks.training.cells import TrainingCell
from benchmarks.training.made import made_graph
from benchmarks.training.products import Product, ProductInputs
from benchmarks.training.systems import SystemTask
from benchmarks.training.ways import Inputs, graph_of, warm_libraries
from benchmarks.training.work import bounds, lightgcn_epoch
from mmgraph.data import load_dataset
from mmgraph.sparse import available_backends

_MESSAGE_COPIES = 4
"""Arrays of (entries, dim) that products without a sparse kernel hold at once, with their gradients."""


class TrainingTask(Task):
    """Training by ways that are made once and called for every repeat.

    Args:
        cell: What to do.
        inputs: What it is done with.
    """

    def __init__(self, cell: TrainingCell, inputs: Inputs) -> None:
        super().__init__(cell)
        self.cell, self.inputs = cell, inputs
        self.ways: dict[str, Callable[[], Outcome]] = {}
        self.machine: dict[str, float] = {}

    def refusal(self, name: str) -> str:
        """Refuse to validate where nothing is held out for it."""
        data = self.inputs.dataset
        if self.cell.what == "fit" and (data is None or not len(data.valid)):
            return "the data set has no validation part"
        return ""

    def warm_up(self, method: Method, name: str) -> None:
        """Do the whole work; where memory is measured, only load what is loaded on first use."""
        if self.cell.alone or self.cell.what == "fit":
            warm_libraries(self.cell.device)
        else:
            super().warm_up(method, name)

    def get_ready(self, method: Method, name: str) -> None:
        """Make the model."""
        if name not in self.ways:
            self.ways[name] = method.load()(self.inputs, method.options)

    def run(self, method: Method, name: str) -> Outcome:
        """Train."""
        return self.ways[name]()

    def observe_machine(self) -> None:
        """Keep the most bytes and operations per second seen between the epochs of a duel."""
        if self.cell.what == "epoch" and not self.cell.alone:
            device = self.cell.device
            reached = {"gbytes": memory_gbytes(device), "gflops": gemm_gflops("float32", device)}
            for key, value in reached.items():
                self.machine[key] = max(value, self.machine.get(key, 0.0))

    def machine_facts(self) -> dict[str, Any]:
        """Return bytes and operations per second, where they were measured."""
        return {"machine": self.machine}

    def facts(self, method: Method, median_s: float, phases: Mapping[str, float]) -> dict[str, Any]:
        """Return how far the phases of an epoch are from what the machine could do."""
        if not self.machine:
            return {}
        graph, cell = self.inputs.graph, self.cell
        amounts = lightgcn_epoch(
            num_nodes=int(graph["user"].num_nodes) + int(graph["item"].num_nodes),
            num_pairs=self.inputs.pairs.size(1),
            dim=cell.dim,
            num_layers=cell.layers,
            batch=cell.batch,
        )
        return {"bounds": bounds(amounts, phases, **self.machine)}

    def judge(self, outcomes: Mapping[str, Outcome]) -> dict[str, dict[str, Any]]:
        """Return losses or recalls, and how far the first losses of steps are from those of mmgraph."""
        judged: dict[str, dict[str, Any]] = {}
        for name, outcome in outcomes.items():
            if self.cell.what != "step":
                judged[name] = dict(outcome.value)
                continue
            judged[name] = {"terms": outcome.value, "epoch_s": outcome.settings.get("epoch_s")}
            if name != OURS and OURS in outcomes:
                ours = outcomes[OURS].value
                apart = (abs(value - ours[key]) for key, value in outcome.value.items())
                judged[name]["difference"] = max(apart)
        return judged


class ProductTask(Task):
    """One sparse product by every backend."""

    def __init__(self, cell: TrainingCell) -> None:
        super().__init__(cell)
        self.cell, self.inputs = cell, ProductInputs(cell)
        self.ways: dict[str, Product] = {}

    def refusal(self, name: str) -> str:
        """Refuse backends that do not work here, and messages that do not fit."""
        reason = available_backends(self.cell.device).get(name)
        if reason is not None:
            return reason
        needed = _MESSAGE_COPIES * self.inputs.adj.num_edges * self.cell.dim * 4
        free = free_bytes(self.cell.device)
        if name in ("gather", "pyg-lgconv") and needed > free:
            return f"messages need {needed / 1e9:,.1f} GB, {free / 1e9:,.1f} GB are free"
        return ""

    def get_ready(self, method: Method, name: str) -> None:
        """Make the matrix that the method works with."""
        if name not in self.ways:
            self.ways[name] = method.load()(self.inputs, method.options)

    def run(self, method: Method, name: str) -> Outcome:
        """Multiply, and bring a gradient back."""
        settings = {"backend": self.inputs.backend()} if name == OURS else {}
        return self.inputs.run(self.ways[name], settings)

    def judge(self, outcomes: Mapping[str, Outcome]) -> dict[str, dict[str, Any]]:
        """Return the largest difference from float64."""
        return {
            name: {"difference": self.inputs.error(outcome.value)}
            for name, outcome in outcomes.items()
        }


def make_task(cell: TrainingCell, place: str, folder: Path) -> Task:
    """Prepare the input of a cell.

    Args:
        cell: What to do.
        place: Name or folder of the data set, where the cell is about one.
        folder: For files; none are needed.
    """
    del folder
    if cell.what == "product":
        return ProductTask(cell)
    if cell.what == "system":
        return SystemTask(cell, place)
    if cell.what == "step":
        return TrainingTask(cell, Inputs(cell, made_graph(cell)))
    dataset = load_dataset(place, modalities=[])
    return TrainingTask(cell, Inputs(cell, graph_of(dataset), dataset))
