"""What every backend can do on this machine and how long it takes: a trial product, and a timing that is kept.

The timing takes part of a second and is made once for a device, the versions of the packages and a number of threads.
It is kept as JSON in ``sparse/`` of the cache folder. A file that cannot be read or written costs a new timing, nothing
else.
"""

import hashlib
import json
import logging
import math
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from mmgraph.files import write_file
from mmgraph.sparse.adjacency import SparseAdjacency
from mmgraph.sparse.extensions import cache_root
from mmgraph.sparse.product import Backend, product
from mmgraph.versions import installed_versions

logger = logging.getLogger(__name__)

NUM_NODES, NUM_EDGES, DIM = 20_000, 100_000, 64
"""Size of the product that is timed."""

_LONG = 600  # columns of the trial product
_ROUNDS = 5
_SECONDS = 0.8
_FORMAT = 1
_PACKAGES = ("torch", "torch-geometric", "torch-sparse", "torch-scatter")


class Case(NamedTuple):
    """What a product asks of a backend."""

    device: torch.device
    dtype: torch.dtype = torch.float32
    reduce: Literal["sum", "max"] = "sum"
    learned: bool = False
    """Whether the weights need a gradient."""

    def __str__(self) -> str:
        name = f"{str(self.dtype).removeprefix('torch.')} {self.reduce}"
        return f"{name}, learned weights" if self.learned else name


class Timing(NamedTuple):
    """Seconds of one product and of its gradients."""

    forward: float
    backward: float

    @property
    def total(self) -> float:
        """Seconds of both."""
        return self.forward + self.backward


def trial(backend: Backend, case: Case) -> str | None:
    """Multiply something tiny and return what went wrong, or None.

    Example:
        >>> from mmgraph.sparse.backends import gather
        >>> trial(gather, Case(torch.device("cpu")))
    """
    # Rows 0 and 3 are empty; row 4 is so long that a sum kept in bfloat16 would stop growing.
    ends = [(0, 1), (1, 1), (2, 1), (0, 2), *((source, 4) for source in range(_LONG))]
    with _undisturbed(case.device.type):
        weight = torch.linspace(0.5, 2.0, len(ends))
        adj = SparseAdjacency(torch.tensor(ends).T, weight, size=(5, _LONG)).to(case.device)
        x = torch.linspace(-1.0, 3.0, _LONG * DIM).reshape(_LONG, DIM).to(case.device, case.dtype)
        source, target = adj.edge_index()
        messages = x.double()[source] * adj.weights(case.dtype).double()[:, None]
        wanted, size = torch.zeros(2, 5, DIM, dtype=torch.float64, device=case.device)
        row = target[:, None].expand_as(messages)
        how = "sum" if case.reduce == "sum" else "amax"
        wanted.scatter_reduce_(0, row, messages, how, include_self=False)
        size.scatter_reduce_(0, row, messages.abs(), how, include_self=False)
        try:
            got = product(backend, adj, x, reduce=case.reduce).double()
        except (RuntimeError, ValueError, TypeError, AttributeError) as error:
            return f"a trial product failed: {str(error).strip().splitlines()[0]}"
        wrong = float(((got - wanted).abs() / size.clamp(min=1.0)).max())
    # Half precision is rounded once at the end; float32 and float64 at every step of the sum.
    allowed = torch.finfo(case.dtype).eps * (4 if case.dtype.itemsize == 2 else 64)
    return None if wrong <= allowed else f"a trial product was {wrong:.2g} off, relatively"


def timings(
    backends: Mapping[str, Backend], case: Case, *, fresh: bool = False
) -> dict[str, Timing]:
    """Return how long each backend takes, from the cache where it is known there.

    Args:
        backends: Those to time, by name.
        case: What to time.
        fresh: Measure again, whatever the cache says.
    """
    path = cache_file(case.device)
    known = {} if fresh else _read(path).get(str(case), {})
    if set(known) == set(backends):
        return {name: known[name] for name in backends}
    measured = measure(backends, case)
    _write(path, case, measured)
    return measured


def measure(backends: Mapping[str, Backend], case: Case) -> dict[str, Timing]:
    """Time a product of 100,000 edges and 64 columns and its gradients, the best of a few rounds of all backends.

    In rounds, so that a moment in which the machine is busy harms all alike. The first product also builds what is kept
    for the others; what is ten times slower than the best there, or three times later, is not timed again.
    """
    with _undisturbed(case.device.type):
        problem = _problem(case)
        runs = {name: partial(_time, backend, case, *problem) for name, backend in backends.items()}
        best = {name: run() for name, run in runs.items()}
        end = time.perf_counter() + _SECONDS
        for number in range(_ROUNDS):
            limit = (3 if number else 10) * min(timing.total for timing in best.values())
            for name in [name for name, timing in best.items() if timing.total <= limit]:
                if time.perf_counter() > end:
                    return best
                again = runs[name]()
                best[name] = Timing(*(min(pair) for pair in zip(best[name], again, strict=True)))
    return best


def device_name(device: torch.device) -> str:
    """Return the name of the processor or the GPU.

    Example:
        >>> device_name(torch.device("cpu")) != ""
        True
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(errors="replace").splitlines() if facts.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names and names[0] else platform.processor() or platform.machine()


def cache_file(device: torch.device) -> Path:
    """Return where the timings of this device, these packages and this number of threads are kept."""
    key = json.dumps(_circumstances(device), sort_keys=True).encode()
    return cache_root(os.environ) / "sparse" / f"{hashlib.sha256(key).hexdigest()[:16]}.json"


def _circumstances(device: torch.device) -> dict[str, Any]:
    threads = torch.get_num_threads() if device.type == "cpu" else None
    instructions = torch.backends.cpu.get_cpu_capability() if device.type == "cpu" else None
    return {
        "format": _FORMAT,
        "device": device_name(device),
        "instructions": instructions,
        "threads": threads,
        "packages": installed_versions(_PACKAGES),
    }


def _read(path: Path) -> dict[str, dict[str, Timing]]:
    try:
        cases = json.loads(path.read_text(encoding="utf-8"))["seconds"]
        found = {
            case: {name: Timing(float(times[0]), float(times[1])) for name, times in table.items()}
            for case, table in cases.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        logger.warning("%s is damaged (%s); the sparse backends are timed again", path, error)
        return {}
    if all(math.isfinite(s) and s > 0 for t in found.values() for pair in t.values() for s in pair):
        return found
    logger.warning("%s holds times that cannot be; the sparse backends are timed again", path)
    return {}


def _write(path: Path, case: Case, measured: Mapping[str, Timing]) -> None:
    cases = {**_read(path), str(case): measured}
    content = json.dumps({**_circumstances(case.device), "seconds": cases}, indent=1)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, content.encode() + b"\n")
    except OSError as error:
        logger.debug("timings of the sparse backends cannot be kept in %s (%s)", path, error)


def _problem(case: Case) -> tuple[SparseAdjacency, Tensor, Tensor | None]:
    """Return a matrix, rows, and weights if they are learned; always the same."""
    generator = torch.Generator().manual_seed(0)
    # The cube makes a few sources popular, as items are.
    source = (torch.rand(NUM_EDGES, generator=generator) ** 3 * NUM_NODES).long()
    target = torch.randint(NUM_NODES, (NUM_EDGES,), generator=generator)
    keys = (target * NUM_NODES + source).unique()
    edges = torch.stack([keys % NUM_NODES, keys // NUM_NODES])
    weight = torch.rand(keys.numel(), generator=generator)
    adj = SparseAdjacency(edges, weight, size=(NUM_NODES, NUM_NODES)).to(case.device)
    x = torch.randn(NUM_NODES, DIM, generator=generator).to(case.device, case.dtype)
    value = adj.value.clone().requires_grad_() if case.learned else None
    return adj, x.requires_grad_(), value


def _time(
    backend: Backend, case: Case, adj: SparseAdjacency, x: Tensor, value: Tensor | None
) -> Timing:
    """Time one product and its gradients."""
    inputs = [x] if value is None else [x, value]
    clock = [_now(case.device)]
    result = product(backend, adj, x, reduce=case.reduce, edge_weight=value)
    clock.append(_now(case.device))
    torch.autograd.grad(result, inputs, x.detach())
    clock.append(_now(case.device))
    return Timing(clock[1] - clock[0], clock[2] - clock[1])


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


@contextmanager
def _undisturbed(device_type: str) -> Iterator[None]:
    """Compute as outside of whatever the caller is in: no_grad, inference, autocast, hooks on saved tensors."""
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device_type, enabled=False),
        torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x),
    ):
        yield
