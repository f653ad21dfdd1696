"""How much memory training will take: counted where it can be, measured on one step that leaves no trace elsewhere."""

import copy
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmgraph.allocator import keep_freed_memory
from mmgraph.errors import ConfigError
from mmgraph.evaluation.ranking import rank_items
from mmgraph.models.base import Recommender, Stage, score_function
from mmgraph.models.batch import Batch
from mmgraph.sizes import format_size
from mmgraph.sparse import choose_backend
from mmgraph.training.loop import TrainingConfig, choose_learning, compute_losses
from mmgraph.training.random_state import own_random
from mmgraph.training.sampler import Sampler

_ADAM_STATES = 2  # the running means of the gradient and of its square

_REMEDIES = {
    "process": "allow more, libraries and data alone take this",
    "buffers": "leave out a modality with data.modalities, or allow more",
    "sampler": "train on fewer interactions, or allow more",
    "evaluation": "lower evaluation.block_size",
}
_OTHER_REMEDY = "lower model.embedding_dim, the depth of the model or training.batch_size"


@dataclass(frozen=True)
class MemoryReport:
    """Bytes that training holds at its peak, by what holds them.

    Attributes:
        parameters: Weights of the model.
        gradients: Of the parameters that learn at the same time.
        optimizer: State of Adam for them.
        best_weights: The copy of the best epoch.
        buffers: Graphs and features.
        sampler: Training pairs and the batches of an epoch.
        activations: The most that forward and backward of one step hold besides.
        evaluation: The most that encoding and ranking a block of users hold.
        process: What the process holds besides: programs, libraries, the data set; 0 on other devices than a CPU, and
            where the system does not tell.
    """

    parameters: int = 0
    gradients: int = 0
    optimizer: int = 0
    best_weights: int = 0
    buffers: int = 0
    sampler: int = 0
    activations: int = 0
    evaluation: int = 0
    process: int = 0

    @property
    def total(self) -> int:
        """The peak: all parts, but of steps and evaluations, which alternate, the larger.

        Example:
            >>> MemoryReport(parameters=10, activations=5, evaluation=3).total
            15
        """
        parts: dict[str, int] = asdict(self)
        return sum(parts.values()) - min(self.activations, self.evaluation)

    def record(self) -> dict[str, int]:
        """Return the parts and ``total``, in bytes."""
        return {**asdict(self), "total": self.total}

    def __str__(self) -> str:
        """Return one line: the peak, then its parts above a thousandth, the largest first.

        Example:
            >>> str(MemoryReport(parameters=4_000_000, evaluation=30_000_000))
            '34.0 MB: evaluation 30.0 MB, parameters 4.00 MB'
        """
        parts = sorted(asdict(self).items(), key=lambda part: -part[1])
        named = [
            f"{name.replace('_', ' ')} {format_size(size)}"
            for name, size in parts
            if size > self.total / 1000
        ]
        return f"{format_size(self.total)}: {', '.join(named)}"


def measure_memory(
    model: Recommender,
    sampler: Sampler,
    *,
    config: TrainingConfig,
    block_size: int = 1024,
    limit: int | None = None,
) -> MemoryReport:
    """Return what :func:`fit` and the evaluations between its epochs will need.

    Parameters, their gradients and copies, graphs and features are counted. One epoch of batches is drawn, one step of
    each stage and one block of the ranking are computed, and the bytes of all tensors made there are followed from
    their making to their end. This happens on a copy of the model that shares its tensors, with random states of its
    own: the model, and what it is trained to, are the same with and without it.

    A model without stages draws no batch and takes no step. Memory that a kernel takes and gives back inside of one
    operation is not seen.

    Args:
        model: The model, on its device.
        sampler: Gives the batch of the step.
        config: How it will be trained.
        block_size: Users ranked at once.
        limit: Bytes not to be exceeded.

    Raises:
        ConfigError: training needs more than ``limit``; what is being measured stops as soon as that is known.

    Complexity: One step for each stage, one epoch of sampling, two blocks of ranking.

    Example:
        >>> from mmgraph.models.bpr_mf import BPRMF
        >>> from mmgraph.testing import checkerboard_graph
        >>> from mmgraph.training import PairwiseSampler
        >>> model = BPRMF(checkerboard_graph(), BPRMF.Config(embedding_dim=4))
        >>> sampler = PairwiseSampler(torch.arange(12), torch.arange(12), num_items=12)
        >>> report = measure_memory(model, sampler, config=TrainingConfig(batch_size=4))
        >>> report.parameters, report.gradients
        (384, 384)
    """
    device = sampler.device
    # Chosen here, or the kernels would be timed in the step that is measured.
    choose_backend(device, dtype=getattr(torch, config.precision))
    shadow, live = _shadow(model), LiveBytes()
    report = _count(shadow, sampler)
    _check(report, limit)
    generator = torch.Generator(device).manual_seed(0)
    try:
        with keep_freed_memory(), own_random(device, seed=0):
            if shadow.stages:
                with live.watching("sampler", _room(report, limit)):
                    batch = next(sampler.epoch(config.batch_size, generator))
                report = replace(report, sampler=report.sampler + live.peak)
            for stage in shadow.stages:
                # The gradients of the step are among the tensors followed, and have been counted already.
                with live.watching("activations", _room(report, limit), less=report.gradients):
                    _dry_step(shadow, stage, batch, config)
                most = max(report.activations, live.peak - report.gradients)
                report = replace(report, activations=most)
            with live.watching("evaluation", _room(report, limit)):
                _dry_ranking(shadow, block_size, device)
    except _LimitReached as reached:
        raise _exceeded(report, reached, limit) from None
    report = replace(report, evaluation=live.peak)
    _check(report, limit)
    return report


def build_within(
    limit: int | None, build: Callable[[], Recommender], device: torch.device
) -> Recommender:
    """Return what ``build`` makes, or stop while it is being made: tables are refused before they are filled.

    Args:
        limit: Bytes not to be exceeded where the model is trained.
        build: Makes a model on the CPU.
        device: Where it will be trained. On a CPU what this process holds already counts, too.

    Raises:
        ConfigError: the tensors made need more than ``limit``.

    Example:
        >>> from mmgraph.models.bpr_mf import BPRMF
        >>> from mmgraph.testing import checkerboard_graph
        >>> config = BPRMF.Config(embedding_dim=4)
        >>> model = build_within(10**12, lambda: BPRMF(checkerboard_graph(), config), torch.device("cpu"))
        >>> model.num_users
        12
    """
    if limit is None:
        return build()
    choose_backend("cpu")  # or the kernels would be timed while tensors are followed
    report = MemoryReport(process=resident_bytes() if device.type == "cpu" else 0)
    try:
        with LiveBytes().watching("parameters", _room(report, limit)):
            return build()
    except _LimitReached as reached:
        raise _exceeded(report, reached, limit) from None


class LiveBytes(TorchDispatchMode):
    """Follows the bytes of tensors that operations make, until nothing holds them any more, on any device.

    Tensors that were there before do not count, views count with what they are views of, once.

    Example:
        >>> live, x = LiveBytes(), torch.zeros(25)
        >>> with live.watching("example"):
        ...     y = (x + 1)[:5]
        ...     del y
        ...     z = x * 2
        >>> live.peak, live.now
        (100, 100)
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = self._base = 0
        self._part, self._most, self._less = "", float("inf"), 0
        self._known: dict[int, Any] = {}

    @contextmanager
    def watching(self, part: str, room: int | None = None, *, less: int = 0) -> Iterator[None]:
        """Follow the tensors made in the block; ``peak`` is the most there was of them at one time.

        Args:
            part: What is measured, for the exception.
            room: Stop when the peak is above this.
            less: Bytes of the peak that do not count for it.
        """
        self._base, self.peak = self.now, 0
        self._part, self._less = part, less
        self._most = float("inf") if room is None else room + less
        with self:
            yield

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self._meet((args, kwargs), made=False)
        result = func(*args, **(kwargs or {}))
        self._meet(result, made=True)
        self.peak = max(self.peak, self.now - self._base)
        if self.peak > self._most:
            raise _LimitReached(self._part, self.peak - self._less)
        return result

    def _meet(self, values: object, *, made: bool) -> None:
        tensors = (value for value in tree_leaves(values) if isinstance(value, Tensor))
        for part in chain.from_iterable(map(_dense_parts, tensors)):
            storage = part.untyped_storage()
            key, size = storage._cdata, storage.nbytes() if made else 0
            if key not in self._known:
                self.now += size
                self._known[key] = end = weakref.finalize(storage, self._forget, key, size)
                end.atexit = False

    def _forget(self, key: int, size: int) -> None:
        del self._known[key]
        self.now -= size


def _dense_parts(tensor: Tensor) -> list[Tensor]:
    if tensor.layout == torch.sparse_coo:
        return [tensor._indices(), tensor._values()]
    if tensor.layout == torch.sparse_csr:
        return [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    return [tensor] if tensor.layout == torch.strided else []


class _LimitReached(Exception):
    def __init__(self, part: str, size: int) -> None:
        super().__init__(part, size)
        self.part, self.size = part, size


def _count(model: Recommender, sampler: Sampler) -> MemoryReport:
    """Return the parts that need no measuring."""
    learning = [choose_learning(model, stage) for stage in model.stages]
    gradients = max(map(size_of, learning), default=0)
    steps = max(map(len, learning), default=0)
    report = MemoryReport(
        parameters=size_of(model.parameters()),
        gradients=gradients,
        optimizer=_ADAM_STATES * gradients + steps * torch.float32.itemsize,
        best_weights=size_of(model.state_dict().values()) if learning else 0,
        buffers=size_of(model.buffers()),
        sampler=size_of(sampler.tensors()),
    )
    if sampler.device.type != "cpu":
        return report
    there = report.parameters + report.buffers + report.sampler
    return replace(report, process=max(0, resident_bytes() - there))


def size_of(tensors: Iterable[Tensor]) -> int:
    """Return the bytes that tensors occupy together; what they share counts once.

    Example:
        >>> x = torch.zeros(4)
        >>> size_of([x, x[1:], torch.zeros(1)])
        20
    """
    storages = (tensor.untyped_storage() for tensor in tensors)
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def resident_bytes() -> int:
    """Return the memory this process holds at present, or 0 where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="ascii", errors="replace") if status.is_file() else ""
    found = [line.split()[1] for line in lines.splitlines() if line.startswith("VmRSS:")]
    return int(found[0]) * 1024 if found else 0


def _shadow(model: Recommender) -> Recommender:
    """Return a copy with attributes of its own that shares the tensors, but for buffers that training may change."""
    memo: dict[int, Any] = {}
    changing = {id(value) for value in model.state_dict(keep_vars=True).values()}
    for parameter in model.parameters():
        # The same numbers, with a gradient of its own.
        memo[id(parameter)] = nn.Parameter(parameter.detach(), parameter.requires_grad)
    for buffer in model.buffers():
        if id(buffer) not in changing:
            memo[id(buffer)] = buffer
    return copy.deepcopy(model, memo)


def _dry_step(model: Recommender, stage: Stage, batch: Batch, config: TrainingConfig) -> None:
    """Do what a step of the stage does, without the optimiser."""
    model.on_stage(stage)
    choose_learning(model, stage)
    model.zero_grad(set_to_none=True)
    model.train()
    model.on_epoch(1)
    compute_losses(model, stage, batch, precision=config.precision)[1].backward()


def _dry_ranking(model: Recommender, block_size: int, device: torch.device) -> None:
    """Rank two blocks of users, if there are as many, since a block is made while the last one is still there."""
    model.zero_grad(set_to_none=True)
    users = torch.arange(min(model.num_users, block_size + 1), device=device)
    score = score_function(model)
    rank_items(score, users, k=1, num_items=model.num_items, block_size=block_size)


def _room(report: MemoryReport, limit: int | None) -> int | None:
    """Return what is left for the part that is measured next."""
    return None if limit is None else limit - replace(report, activations=0, evaluation=0).total


def _check(report: MemoryReport, limit: int | None) -> None:
    if limit is not None and report.total > limit:
        raise ConfigError(_refusal(report, limit))


def _exceeded(report: MemoryReport, reached: _LimitReached, limit: int | None) -> ConfigError:
    assert limit is not None  # or there would have been none to reach
    known = replace(report, **{reached.part: getattr(report, reached.part) + reached.size})
    return ConfigError(_refusal(known, limit, least=True))


def _refusal(report: MemoryReport, limit: int, *, least: bool = False) -> str:
    parts = asdict(report)
    if report.process < limit:
        del parts["process"]
    largest = max(parts, key=lambda name: parts[name])
    return (
        f"training must stay within --max-memory, {format_size(limit)} (it needs {'more than ' if least else ''}"
        f"{report}); {_REMEDIES.get(largest, _OTHER_REMEDY)}"
    )
