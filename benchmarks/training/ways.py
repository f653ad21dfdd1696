"""Training by the library and by the plain way: each is made once and called for every repeat."""

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch_geometric.data import HeteroData

from benchmarks.rivals.coo_lightgcn import CooLightGCN
from benchmarks.rivals.dense_freedom import DenseFreedom, Linear
from benchmarks.tasks import Outcome
from benchmarks.training.cells import TrainingCell
from benchmarks.training.phases import PHASES, GivenBatches, StepClock, WatchedSampler
from mmgraph.data import MultimodalDataset
from mmgraph.evaluation import Evaluator
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.graph.schema import USER_ITEM, item_features, knn_edge_type
from mmgraph.models.base import Recommender, score_function
from mmgraph.models.freedom import FREEDOM, FREEDOMConfig
from mmgraph.models.lightgcn import LightGCN, LightGCNConfig
from mmgraph.nn import ModalityEncoder, drop_edges
from mmgraph.sparse import choose_backend
from mmgraph.training import EpochReport, PairwiseSampler, TrainingConfig, fit

SHARES = {"image": 0.1, "text": 0.9}
"""Of the modalities in the item graph, as in FREEDOM's paper."""
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
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if cell.model == "freedom":
                config = FREEDOMConfig(shares=SHARES, init="normal0.1", **widths)
                return FREEDOM(self.graph, config).to(cell.device)
            return LightGCN(self.graph, LightGCNConfig(**widths)).to(cell.device)


def graph_of(dataset: MultimodalDataset) -> HeteroData:
    """Return the graph of a data set that LightGCN needs."""
    return build_graph(dataset, GraphConfig(edges=()))


class _OurTraining:
    """The library's own loop, watched."""

    def __init__(self, inputs: Inputs, kind: type[WatchedSampler]) -> None:
        cell = inputs.cell
        self.inputs, self.clock = inputs, StepClock(cell.device)
        self.model, self.sampler = inputs.model(), inputs.sampler(kind)
        self.sampler.clock = self.clock
        self.config = TrainingConfig(max_epochs=1, batch_size=cell.batch, learning_rate=1e-3)
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


class OurEpoch(_OurTraining):
    """One epoch; a fresh optimiser and the keeping of the weights count."""

    def __init__(self, inputs: Inputs, options: Mapping[str, Any]) -> None:
        super().__init__(inputs, WatchedSampler)

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


class OurSteps(_OurTraining):
    """A few steps of the library's loop.

    FREEDOM is given the batches that the rival is given too; LightGCN samples a whole epoch, as it
    would in training, and takes the first steps of it.
    """

    def __init__(self, inputs: Inputs, options: Mapping[str, Any]) -> None:
        given = inputs.cell.model == "freedom"
        super().__init__(inputs, GivenBatches if given else WatchedSampler)
        self.sampler.limit = inputs.cell.steps
        if isinstance(self.sampler, GivenBatches):
            self.sampler.given = given_batches(inputs)

    def __call__(self) -> Outcome:
        """Take the steps; what is compared is the median of those after the first."""
        self.train()
        steps = [step.seconds for step in self.clock.steps]
        whole = -(-len(self.sampler) // self.inputs.cell.batch)
        one = step_outcome(steps, self.clock.terms, epoch_start=self.clock.start)
        assert one.seconds is not None
        settings: dict[str, Any] = {"backend": self.backend(), "steps_of_an_epoch": whole}
        if not isinstance(self.sampler, GivenBatches):
            # The first step waits for the samples of the whole epoch.
            sampled = self.clock.start + steps[0]["sampler"]
            settings["epoch_s"] = sampled + whole * one.seconds
        return Outcome(one.phases, settings, one.value, one.seconds)


class PlainSteps:
    """The same steps of the dense FREEDOM, from the same initial weights, edges and batches."""

    def __init__(self, inputs: Inputs, options: Mapping[str, Any]) -> None:
        model = inputs.model()
        assert isinstance(model, FREEDOM)
        assert model.content is not None
        features = {name: x for name, (x, _) in item_features(inputs.graph).items()}
        device, linear = inputs.cell.device, dict[str, Linear]()
        for name, encoder in zip(model.content.names, model.content.encoders, strict=True):
            assert isinstance(encoder, ModalityEncoder)
            linear[name] = (encoder.linear.weight, encoder.linear.bias)
        self.rival = DenseFreedom(
            user_embedding=model.user_embedding,
            item_embedding=model.item_embedding,
            features={name: x.to(device) for name, x in features.items()},
            linear=linear,
            neighbours={
                name: inputs.graph[knn_edge_type(name)].edge_index.to(device) for name in features
            },
            shares=SHARES,
            num_layers=inputs.cell.layers,
            modality_weight=model.config.modality_weight,
        )
        pairs = inputs.pairs.to(device)
        # The edges that the library keeps in the first epoch.
        kept = drop_edges(
            pairs,
            num_users=model.num_users,
            num_items=model.num_items,
            drop=model.config.drop,
            seed=model.seed,
            epoch=1,
        )
        self.rival.keep_edges(*kept.edge_index)
        self.batches = given_batches(inputs)
        self.terms: dict[str, float] = {}

    def __call__(self) -> Outcome:
        """Take the steps."""
        steps, terms = self.rival.train([batch[:3] for batch in self.batches])
        self.terms = self.terms or dict(zip(("bpr", "modality"), terms[0], strict=True))
        return step_outcome(steps, self.terms)


def given_batches(inputs: Inputs) -> tuple[Any, ...]:
    """Return the batches of the steps of a cell."""
    generator = torch.Generator(inputs.cell.device).manual_seed(inputs.cell.seed)
    sampler = inputs.sampler()
    sampler.limit = inputs.cell.steps
    return tuple(PairwiseSampler.epoch(sampler, inputs.cell.batch, generator))[: sampler.limit]


def step_outcome(
    steps: Sequence[Mapping[str, float]], terms: Mapping[str, float], *, epoch_start: float = 0.0
) -> Outcome:
    """Return the medians over the steps, without the first, which warms up.

    Example:
        >>> steps = [{"forward": 9.0}, {"forward": 1.0}, {"forward": 3.0}, {"forward": 1.5}]
        >>> step_outcome(steps, {}).seconds
        1.5
    """
    counted = steps[1:] or steps
    names = [name for name in PHASES if any(name in step for step in counted)]
    phases = {name: statistics.median(step.get(name, 0.0) for step in counted) for name in names}
    if epoch_start:
        phases["start of the epoch"] = epoch_start
    seconds = statistics.median(sum(step.values()) for step in counted)
    return Outcome(phases, {}, dict(terms), seconds)


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
        parts = [(part.user, part.item) for part in (data.train, data.valid)]
        self.evaluator = Evaluator.for_validation(
            *parts, num_users=data.num_users, num_items=data.num_items, device=cell.device
        )

    def __call__(self) -> Outcome:
        """Train a fresh model."""
        cell, reports = self.inputs.cell, list[EpochReport]()
        result = fit(
            self.inputs.model(cell.seed),
            self.inputs.sampler(),
            config=self.config,
            seed=cell.seed,
            validate=partial(_validate, self.evaluator),
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


def _validate(evaluator: Evaluator, model: Recommender) -> Mapping[str, float]:
    return evaluator.evaluate(score_function(model)).mean


def warm_libraries(device: str) -> None:
    """Load and compile what training loads on first use, with a model that needs no memory."""
    from mmgraph.testing import checkerboard_dataset

    choose_backend(device)  # may time the backends
    board = checkerboard_dataset()
    cell = TrainingCell("warm-up", "epoch", ("mmgraph",), "made", device=device, dim=8, batch=16)
    inputs = Inputs(cell, graph_of(board))
    for way in (OurEpoch(inputs, {}), PlainEpoch(inputs, {})):
        way()
