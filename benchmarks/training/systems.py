"""An epoch of any system, by the library and by the plain way, from its shipped recipe or its defaults."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch.profiler import record_function
from torch_geometric.data import HeteroData

from benchmarks.methods import Method
from benchmarks.rivals.plain_system import OneByOneSampler, computing_plainly
from benchmarks.tasks import Outcome, Task
from benchmarks.training.cells import TrainingCell
from benchmarks.training.kinds import SAMPLER, kind_shares
from benchmarks.training.phases import WatchedSampler
from mmgraph.config import Recipe
from mmgraph.graph import build_graph
from mmgraph.models.base import Recommender
from mmgraph.models.batch import Batch
from mmgraph.run import build_model, load_data
from mmgraph.study.plan import setting_of
from mmgraph.training import fit


class NamedSampler(WatchedSampler):
    """A sampler whose work has a name in a profile."""

    def batches(self, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Yield the batches of the library's sampler."""
        batches = super().batches(batch_size, generator)
        while True:
            with record_function(SAMPLER):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


class SystemTask(Task):
    """One epoch of each stage of a system; a fresh optimiser and the keeping of the weights count.

    The seconds of a system with several stages are the sum of theirs.

    Args:
        cell: What to do.
        place: Folder or bundled name of the data set.
    """

    def __init__(self, cell: TrainingCell, place: str) -> None:
        super().__init__(cell)
        self.cell = cell
        setting = setting_of(cell.model, place)
        self.recipe = Recipe.build(setting.values, origin=cell.model)
        self.data = load_data(self.recipe)
        self.graph: HeteroData = build_graph(self.data, self.recipe.graph)
        self.models: dict[str, Recommender] = {}
        self.samplers: dict[str, WatchedSampler] = {}
        self.calls: dict[str, int] = {}
        self.shares: dict[str, float] = {}

    def get_ready(self, method: Method, name: str) -> None:
        """Make the model, from the same weights for both ways, and its sampler."""
        if name in self.models:
            return
        device = self.cell.device
        self.models[name] = build_model(self.recipe, self.graph).to(device)
        self.samplers[name] = method.load()(
            torch.from_numpy(self.data.train.user).to(device),
            torch.from_numpy(self.data.train.item).to(device),
            num_items=self.data.num_items,
            order=self.recipe.training.order,
            pool=self.recipe.training.negatives,
            num_negatives=self.models[name].num_negatives,
        )

    def run(self, method: Method, name: str) -> Outcome:
        """Train one epoch of each stage."""
        epoch = partial(self._epoch, name)
        if isinstance(self.samplers[name], OneByOneSampler):
            with computing_plainly(self.models[name]):
                return Outcome({}, {}, epoch())
        outcome = Outcome({}, {}, epoch())
        if not self.shares:
            self.shares = kind_shares(self.models[name], epoch)
        return outcome

    def facts(self, method: Method, median_s: float, phases: Mapping[str, float]) -> dict[str, Any]:
        """Return the number of parameters and, of the library, the shares of the kinds of work."""
        del method, median_s, phases
        model = next(iter(self.models.values()))
        counted = sum(p.numel() for p in model.parameters())
        return {"num_parameters": counted, "shares": self.shares}

    def judge(self, outcomes: Mapping[str, Outcome]) -> dict[str, dict[str, Any]]:
        """Return the losses of the last epoch, which is one of the last stage."""
        return {name: {"loss": outcome.value} for name, outcome in outcomes.items()}

    def _epoch(self, name: str) -> float:
        """Train each stage for one more epoch; return the sum of the unweighted terms of the last one's loss."""
        self.calls[name] = self.calls.get(name, 0) + 1
        config = self.recipe.training.model_copy(
            update={"max_epochs": 1, "batch_size": self.cell.batch}
        )
        result = fit(
            self.models[name],
            self.samplers[name],
            config=config,
            seed=self.calls[name],
            validate=None,
            select_by=self.recipe.evaluation.select_by,
        )
        return float(sum(result.history[-1]["losses"].values()))
