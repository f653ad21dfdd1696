"""A few steps of training by the library and by the plain way, on the same batches."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from benchmarks.rivals.dense_dragon import DenseDragon, UserNeighbours
from benchmarks.rivals.dense_freedom import DenseFreedom, Linear
from benchmarks.tasks import Outcome
from benchmarks.training.made import USER_NEIGHBOURS
from benchmarks.training.phases import PHASES, GivenBatches, WatchedSampler
from benchmarks.training.ways import SHARES, Inputs, OurTraining
from mmgraph.graph.schema import CO_USER, item_features, knn_edge_type
from mmgraph.models.dragon import DRAGON
from mmgraph.models.freedom import FREEDOM
from mmgraph.models.margo import MARGO
from mmgraph.nn import ModalityEncoder, drop_edges
from mmgraph.training import PairwiseSampler


class OurSteps(OurTraining):
    """A few steps of the library's loop.

    Models on wide features are given the batches that the rival is given too; LightGCN samples a whole
    epoch, as it would in training, and takes the first steps of it.
    """

    def __init__(self, inputs: Inputs, options: Mapping[str, Any]) -> None:
        given = inputs.cell.wide
        super().__init__(inputs, GivenBatches if given else WatchedSampler, options)
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
    """The same steps of a rival, from the same initial weights, edges and batches."""

    def __init__(self, inputs: Inputs, options: Mapping[str, Any]) -> None:
        self.rival = (
            dense_freedom(inputs) if inputs.cell.model == "freedom" else dense_dragon(inputs)
        )
        self.batches = given_batches(inputs)
        self.terms: dict[str, float] = {}

    def __call__(self) -> Outcome:
        """Take the steps."""
        steps, terms = self.rival.train([batch[:3] for batch in self.batches])
        self.terms = self.terms or terms[0]
        return step_outcome(steps, self.terms)


def dense_freedom(inputs: Inputs) -> DenseFreedom:
    """Return the rival with the initial weights of the library's FREEDOM and the edges of its first epoch."""
    model = inputs.model()
    assert isinstance(model, FREEDOM)
    assert model.content is not None
    linear = dict[str, Linear]()
    for name, encoder in zip(model.content.names, model.content.encoders, strict=True):
        assert isinstance(encoder, ModalityEncoder)
        linear[name] = (encoder.linear.weight, encoder.linear.bias)
    rival = DenseFreedom(
        user_embedding=model.user_embedding,
        item_embedding=model.item_embedding,
        features=_features(inputs),
        linear=linear,
        neighbours=_neighbours(inputs),
        shares=SHARES,
        num_layers=inputs.cell.layers,
        modality_weight=model.config.modality_weight,
    )
    kept = drop_edges(
        inputs.pairs.to(inputs.cell.device),
        num_users=model.num_users,
        num_items=model.num_items,
        drop=model.config.drop,
        seed=model.seed,
        epoch=1,
    )
    rival.keep_edges(*kept.edge_index)
    return rival


def dense_dragon(inputs: Inputs) -> DenseDragon:
    """Return the rival with the initial weights of the library's MARGO on DRAGON."""
    model = inputs.model()
    assert isinstance(model, MARGO)
    inner = model.backbone
    assert isinstance(inner, DRAGON)
    assert model.trust is not None
    preferences = inner.gcn.user_preference.split(inner.config.embedding_dim, dim=1)
    content = inner.gcn.content
    return DenseDragon(
        preferences=dict(zip(content.names, preferences, strict=True)),
        features=_features(inputs),
        encoders={
            name: [(x.weight, x.bias) for x in encoder.modules() if isinstance(x, nn.Linear)]
            for name, encoder in zip(content.names, content.encoders, strict=True)
        },
        logits=model.trust.item_logits,
        pairs=inputs.pairs.to(inputs.cell.device),
        neighbours=_neighbours(inputs),
        shares=SHARES,
        users=user_neighbours(inputs),
        alpha=model.config.alpha,
        tau=model.config.tau,
        reg_weight=inner.config.reg_weight,
    )


def user_neighbours(inputs: Inputs) -> UserNeighbours:
    """Return the neighbours of all users as two tables."""
    edges, num_users = inputs.graph[CO_USER], int(inputs.graph["user"].num_nodes)
    source, target = edges.edge_index
    index = torch.zeros(num_users, USER_NEIGHBOURS, dtype=torch.long)
    shared = torch.zeros(num_users, USER_NEIGHBOURS)
    # Edges are sorted by target: the place of one in its row is how far it is from the first.
    place = torch.arange(len(target)) - torch.searchsorted(target, target)
    index[target, place], shared[target, place] = source, edges.edge_weight
    return UserNeighbours(index.to(inputs.cell.device), shared.to(inputs.cell.device))


def _features(inputs: Inputs) -> dict[str, torch.Tensor]:
    return {name: x.to(inputs.cell.device) for name, (x, _) in item_features(inputs.graph).items()}


def _neighbours(inputs: Inputs) -> dict[str, torch.Tensor]:
    names = item_features(inputs.graph)
    return {
        name: inputs.graph[knn_edge_type(name)].edge_index.to(inputs.cell.device) for name in names
    }


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
