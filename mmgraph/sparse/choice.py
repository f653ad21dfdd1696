"""Which backend computes a product: named by the caller, or the fastest that can do it here."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from importlib import import_module
from typing import NamedTuple, cast

import torch

from mmgraph.errors import ConfigError, nearest
from mmgraph.sparse.calibration import Case, Timing, timings, trial
from mmgraph.sparse.product import Backend, Reduce

BACKENDS = {
    name: f"mmgraph.sparse.backends.{name}"
    for name in ("embedding_bag", "csr", "edge_index", "torch_sparse", "scatter", "gather")
}
"""All backends, in order of preference on the CPU; ``gather`` works everywhere and stands last."""

_CUDA_ORDER = ("csr", "torch_sparse", "embedding_bag", "edge_index", "scatter", "gather")

BACKEND_VARIABLE = "MMGRAPH_SPARSE_BACKEND"

SMALL = 10_000
"""A matrix with fewer edges takes the first backend that works; there it is not worth the timing."""

GAIN = 0.8
"""A backend later in the order must need at most this share of the time, so that noise does not change the choice."""

_LAST = "gather"
_named: ContextVar[str | None] = ContextVar("sparse_backend", default=None)
_chosen: dict[tuple[Case, bool, int], str] = {}


@contextmanager
def use_backend(name: str | None) -> Iterator[None]:
    """Use this backend for all products inside; None changes nothing.

    Stronger than the variable MMGRAPH_SPARSE_BACKEND, weaker than the argument of a call. A gradient is computed by the
    backend of its product, also when it is asked for outside.

    Raises:
        ConfigError: the name is unknown.

    Example:
        >>> with use_backend("gather"):
        ...     choose_backend("cpu")
        'gather'
    """
    if name is not None:
        _check_known(name)
    token = _named.set(name or _named.get())
    try:
        yield
    finally:
        _named.reset(token)


def choose_backend(
    device: str | torch.device = "cpu",
    name: str | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    reduce: Reduce = "sum",
    learned: bool = False,
    num_edges: int | None = None,
) -> str:
    """Return the name of the backend that computes such a product.

    In this order: ``name``; the name given to :func:`use_backend`; the variable MMGRAPH_SPARSE_BACKEND; the choice by
    time. For that a backend must be usable on the device and compute a trial product rightly. The first in the order of
    preference is kept unless a later one needs a fifth less time for product and gradient, see ``calibration``.

    Args:
        device: Type of device, or one device.
        name: A backend to use instead of the chosen one.
        dtype: Precision of the rows.
        reduce: As in ``matmul``.
        learned: Whether the weights of the edges need a gradient.
        num_edges: Of the matrix; below 10,000 nothing is timed. A large one if left out.

    Raises:
        ConfigError: the backend that was named is unknown or cannot do this here.

    Example:
        >>> choose_backend("cpu", "gather")
        'gather'
    """
    case = Case(torch.device(device), dtype, "max" if reduce == "max" else "sum", learned)
    return choose(case, name=name, num_edges=SMALL if num_edges is None else num_edges)


def choose(case: Case, *, name: str | None, num_edges: int) -> str:
    """Return the name of the backend for this case; see :func:`choose_backend`."""
    name = name or _named.get() or os.environ.get(BACKEND_VARIABLE) or None
    if name is not None:
        _check_known(name)
        fault = why_not(name, case)
        if fault:
            raise ConfigError(
                f"the sparse backend {name!r} cannot be used for {case} on {case.device.type}: {fault}; choose another"
            )
        return name
    key = (case, num_edges < SMALL, torch.get_num_threads())
    if key not in _chosen:
        # One after the other: a package that is not needed is not imported either.
        usable = (one for one in order(case.device.type) if why_not(one, case) is None)
        _chosen[key] = next(usable) if key[1] else _fastest([*usable], case)
    return _chosen[key]


def available_backends(device: str = "cpu") -> dict[str, str | None]:
    """Return each backend's name with the reason it cannot be used on ``device``, or None if it can."""
    return {name: backend_of(name).why_not(device) for name in order(device)}


class Verdict(NamedTuple):
    """What is known about one backend in one case."""

    name: str
    why_not: str | None
    timing: Timing | None
    chosen: bool
    reason: str


def compare(case: Case, *, fresh: bool = False) -> list[Verdict]:
    """Return what speaks for and against every backend, in the order of preference.

    Args:
        case: What is to be computed, of a matrix that is not small.
        fresh: Time them again.
    """
    faults = {name: why_not(name, case) for name in order(case.device.type)}
    usable = [name for name, fault in faults.items() if fault is None]
    if fresh:
        _chosen.clear()
    times = timings({name: backend_of(name) for name in usable}, case, fresh=fresh)
    named = _named.get() or os.environ.get(BACKEND_VARIABLE)
    if named:
        _check_known(named)
    chosen = named or choose(case, name=None, num_edges=SMALL)
    return [
        Verdict(
            name,
            fault,
            times.get(name),
            name == chosen and fault is None,
            fault or _reason(name, chosen, times, named=bool(named)),
        )
        for name, fault in faults.items()
    ]


def order(device: str) -> tuple[str, ...]:
    """Return all backends, the one to prefer on this type of device first."""
    return _CUDA_ORDER if device == "cuda" else tuple(BACKENDS)


def backend_of(name: str) -> Backend:
    """Return the backend of this name."""
    return cast(Backend, import_module(BACKENDS[name]))


@lru_cache
def why_not(name: str, case: Case) -> str | None:
    """Return why a backend cannot be used in this case, found out by a trial product; or None."""
    backend = backend_of(name)
    fault = backend.why_not(case.device.type)
    if fault is None and case.reduce == "max" and not hasattr(backend, "maximum"):
        fault = "it takes no maxima"
    # The last resort is what the others are compared with.
    return fault if fault is not None or name == _LAST else trial(backend, case)


def forget() -> None:
    """Forget what this process knows about backends; the next product finds it out again."""
    _chosen.clear()
    why_not.cache_clear()


def prefer(times: Mapping[str, Timing]) -> str:
    """Return the first name, unless a later one is faster by a fifth.

    Example:
        >>> prefer({"a": Timing(1.0, 1.0), "b": Timing(0.9, 0.9), "c": Timing(0.7, 0.7)})
        'c'
    """
    best, *others = times
    for name in others:
        if times[name].total <= GAIN * times[best].total:
            best = name
    return best


def _fastest(names: list[str], case: Case) -> str:
    if len(names) == 1:
        return names[0]
    return prefer(timings({name: backend_of(name) for name in names}, case))


def _check_known(name: str) -> None:
    if name not in BACKENDS:
        raise ConfigError(
            f"the sparse backend must be a known one (got {name!r}){nearest(name, BACKENDS)}"
        )


def _reason(name: str, chosen: str, times: Mapping[str, Timing], *, named: bool) -> str:
    if name == chosen and named:
        return "named by the user"
    fastest = min(times, key=lambda other: times[other].total)
    if name == chosen:
        return "the fastest" if name == fastest else f"{fastest} is not faster by a fifth"
    other = chosen if chosen in times else fastest
    if name == other:
        return "the fastest"
    return f"{times[name].total / times[other].total:.1f} times the time of {other}"
