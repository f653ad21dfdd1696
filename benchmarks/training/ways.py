"""Training by the library and by the plain way: each is made once and called for every repeat."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch_geometric.data import HeteroData

from benchmarks.rivals.coo_lightgcn import CooLightGCN
from benchmarks.tasks import Outcome
from benchmarks.training.cells import TrainingCell
from benchmarks.training.phases import PHASES, StepClock, WatchedSampler
from mmgraph.data import MultimodalDataset
from mmgraph.evaluation import EvaluationConfig
from mmgraph.experiment import validate_with, validator_of
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.graph.schema import USER_ITEM
from mmgraph.models.base import Recommender
from mmgraph.models.freedom import FREEDOM, FREEDOMConfig
from mmgraph.models.lightgcn import LightGCN, LightGCNConfig
from mmgraph.models.margo import MARGO, MARGOConfig
from mmgraph.sparse import choose_backend
from mmgraph.training import EpochReport, TrainingConfig, fit
from mmgraph.training.random_state import own_random

SHARES = {"image": 0.1, "text": 0.9}
"""Of the modalities in the item graph, as in the papers of FREEDOM and DRAGON."""
_SELECT_BY = "recall@20"


@dataclass(frozen=True)
class Inputs:
    """What a cell works on: a data set with its graph, or a made graph alone."""

    cell: TrainingCell
    graph: HeteroData
    dataset: MultimodalDataset | None = None

    @property
    def pairs(self) -> torch.Tensor:
        """The training pairs, (2, num_pairs)."""
        edges: torch.Tensor = self.graph[USER_ITEM].edge_index
        return edges

    def sampler(self, kind: type[WatchedSampler] = WatchedSampler) -> WatchedSampler:
        """Return a sampler over the training pairs, on the device."""
        user, item = self.pairs.to(self.cell.device)
        return kind(user, item, num_items=int(self.graph["item"].num_nodes))

    def model(self, seed: int = 0) -> Recommender:
        """Return the model with initial weights that depend on the seed, on the device."""
        cell = self.cell
        widths = {"embedding_dim": cell.dim, "num_layers": cell.layers}
        with own_random(torch.device("cpu"), seed=seed):
            if cell.model == "freedom":
                config = FREEDOMConfig(shares=SHARES, init="normal0.1", **widths)
                return FREEDOM(self.graph, config).to(cell.device)
            if cell.model == "margo":
                # Its second stage, which does all that the first one does.
                inner = {"name": "dragon", "shares": SHARES, **widths}
                both = MARGOConfig.model_validate({"backbone": inner, "two_stage": False})
                return MARGO(self.graph, both).to(cell.device)
            return LightGCN(self.graph, LightGCNConfig(**widths)).to(cell.device)


def graph_of(dataset: MultimodalDataset) -> HeteroData:
    """Return the graph of a data set that LightGCN needs."""
    return build_graph(dataset, GraphConfig(edges=()))


class OurTraining:
    """The library's own loop, watched."""

    def __init__(
        self, inputs: Inputs, kind: type[WatchedSampler], options: Mapping[str, Any]
    ) -> None:
        cell = inputs.cell
        self.inputs, self.clock = inputs, StepClock(cell.device)
        self.model, self.sampler = inputs.model(), inputs.sampler(kind)
        self.sampler.clock = self.clock
        self.config = TrainingConfig.model_validate(
            {"max_epochs": 1, "batch_size": cell.batch, "learning_rate": 1e-3, **options}
        )
        self.calls = 0

    def train(self) -> dict[str, float]:
        """Train one epoch; return the mean of each term of the loss."""
        self.calls += 1
        with self.clock.watching(self.model):
            result = fit(
                self.model,
                self.sampler,
                config=self.config,
                seed=self.calls,
                validate=None,
                select_by=_SELECT_BY,
            )
        losses: dict[str, float] = result.history[-1]["losses"]
        return losses

    def backend(self) -> str:
        """Return the name of the backend that computes the sparse products."""
        return choose_backend(self.inputs.cell.device, num_edges=2 * self.inputs.pairs.size(1))


class OurEpoch(OurTraining):
    """One epoch; a fresh optimiser and the keeping of the weights count."""

    def __init__(self, inputs: Inputs, options: Mapping[str, Any]) -> None:
        super().__init__(inputs, WatchedSampler, options)

    def __call__(self) -> Outcome:
        """Train one epoch."""
        losses = self.train()
        phases = {
            name: sum(step.seconds.get(name, 0.0) for step in self.clock.steps) for name in PHASES
        }
        phases["rest"] += self.clock.start + self.clock.rest
        settings = {"steps": len(self.clock.steps), "backend": self.backend()}
        return Outcome(phases, settings, {"loss": losses["bpr"]})


class PlainEpoch:
    """One epoch of the rival, from the same initial weights."""

    def __init__(self, inputs: Inputs, options: Mapping[str, Any]) -> None:
        model = inputs.model()
        assert isinstance(model, LightGCN)
        self.generator = random.Random(0)
        self.rival = CooLightGCN(
            *inputs.pairs.tolist(),
            user_embedding=model.user_embedding,
            item_embedding=model.item_embedding,
            num_layers=inputs.cell.layers,
            reg_weight=model.config.reg_weight,
            batch_size=inputs.cell.batch,
        )

    def __call__(self) -> Outcome:
        """Train one epoch."""
        seconds, loss = self.rival.epoch(self.generator)
        return Outcome({name: seconds[name] for name in PHASES}, {}, {"loss": loss})


class OurFit:
    """Some epochs with validation, from the start, in one precision."""

    def __init__(self, inputs: Inputs, options: Mapping[str, Any]) -> None:
        cell, data = inputs.cell, inputs.dataset
        assert data is not None
        self.inputs = inputs
        self.config = TrainingConfig.model_validate(
            {
                "max_epochs": cell.epochs,
                "patience": cell.epochs,
                "batch_size": cell.batch,
                **options,
            }
        )
        self.evaluator = validator_of(data, EvaluationConfig(), torch.device(cell.device))

    def __call__(self) -> Outcome:
        """Train a fresh model."""
        cell, reports = self.inputs.cell, list[EpochReport]()
        result = fit(
            self.inputs.model(cell.seed),
            self.inputs.sampler(),
            config=self.config,
            seed=cell.seed,
            validate=partial(validate_with, self.evaluator),
            select_by=_SELECT_BY,
            on_epoch=reports.append,
        )
        phases = {
            "training": sum(report.epoch_s for report in reports),
            "validation": sum(report.eval_s or 0.0 for report in reports),
        }
        last = result.history[-1]["valid"][_SELECT_BY]
        best = result.valid[_SELECT_BY]
        found = {"valid_recall": last, "best_recall": best}
        return Outcome(phases, {}, found, phases["training"])


def warm_libraries(device: str) -> None:
    """Load and compile what training loads on first use, with a model that needs no memory."""
    from mmgraph.testing import checkerboard_dataset

    choose_backend(device)  # may time the backends
    board = checkerboard_dataset()
    cell = TrainingCell("warm-up", "epoch", ("mmgraph",), "made", device=device, dim=8, batch=16)
    inputs = Inputs(cell, graph_of(board))
    for way in (OurEpoch(inputs, {}), PlainEpoch(inputs, {})):
        way()
