"""Of which kinds of work the seconds of an epoch are, by torch's profiler."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function

from mmgraph.models.base import Recommender
from mmgraph.nn import ContentProjector, ModalityEncoders

KINDS = ("sampler", "sparse products", "encoders", "optimiser", "losses and rest")
"""In the order in which a page shows them; ``encoders`` are what is made of raw features, and their gradients."""

SAMPLER = "benchmark: sampler"
_ENCODER = "benchmark: encoder"
_OPTIMISER = "Optimizer."
# The steps of autograd in mmgraph/sparse; a gradient is called like its step with "Backward" after it.
_SPARSE = ("_Sum", "_Maximum", "_PowerSum", "_Softmax", "_EdgeProducts")
_ENCODERS = (ModalityEncoders, ContentProjector)


def kind_shares(model: Recommender, work: Callable[[], object]) -> dict[str, float]:
    """Return the shares of the kinds in the processor's time of some work; they add up to 1.

    Args:
        model: What is trained in it.
        work: A call, which must run ``SAMPLER`` as the name of a range around its sampler.
    """
    with ExitStack() as watched, profile(activities=[ProfilerActivity.CPU]) as profiler:
        for part in model.modules():
            if isinstance(part, _ENCODERS):
                watched.enter_context(_named(part))
        work()
    events = profiler.events()
    encoded = {
        event.sequence_nr
        for event in events
        if event.sequence_nr >= 0 and _under(event, _ENCODER) and not _is_gradient(event)
    }
    seconds = dict.fromkeys(KINDS, 0.0)
    for event in events:
        seconds[_kind(event, encoded)] += event.self_cpu_time_total
    total = sum(seconds.values())
    return {kind: value / total for kind, value in seconds.items()}


@contextmanager
def _named(part: nn.Module) -> Iterator[None]:
    """Run a module as a range with a name."""
    ranges: list[Any] = []

    def begin(*_: object) -> None:
        ranges.append(record_function(_ENCODER))
        ranges[-1].__enter__()

    def end(*_: object) -> None:
        ranges.pop().__exit__(None, None, None)

    hooks = [part.register_forward_pre_hook(begin), part.register_forward_hook(end)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _kind(event: Any, encoded: set[int]) -> str:
    chain = list(_ancestry(event))
    names = [one.name for one in chain]
    if SAMPLER in names:
        return "sampler"
    if any(name.startswith(_OPTIMISER) for name in names):
        return "optimiser"
    if any(name.removesuffix("Backward") in _SPARSE for name in names):
        return "sparse products"
    if _ENCODER in names:
        return "encoders"
    if any(_is_gradient(one) and one.sequence_nr in encoded for one in chain):
        return "encoders"
    return "losses and rest"


def _ancestry(event: Any) -> Iterator[Any]:
    while event is not None:
        yield event
        event = event.cpu_parent


def _under(event: Any, name: str) -> bool:
    return any(one.name == name for one in _ancestry(event))


def _is_gradient(event: Any) -> bool:
    return bool(event.name.startswith("autograd::engine") or "Backward" in event.name)
