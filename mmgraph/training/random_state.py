"""The random numbers of the CPU and of the device that a model is on, taken, given back and kept together."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

_CPU, _CUDA = "torch", "cuda"


@contextmanager
def own_random(device: torch.device, *, seed: int | None = None) -> Iterator[None]:
    """Let the block draw random numbers that nobody outside of it notices.

    Args:
        device: Where they are drawn, besides the CPU.
        seed: Where both begin; by default they go on from where they are.

    Example:
        >>> before = torch.get_rng_state()
        >>> with own_random(torch.device("cpu"), seed=1):
        ...     _ = torch.rand(3)
        >>> torch.equal(before, torch.get_rng_state())
        True
    """
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        if seed is not None:
            # torch.manual_seed would seed all GPUs, of which only this one gets its state back.
            torch.default_generator.manual_seed(seed)
            if on_gpu:
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(seed)
        yield


def random_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states by name: that of the CPU, and that of the device if it is another one."""
    states = {_CPU: torch.get_rng_state()}
    if device.type == "cuda":
        states[_CUDA] = torch.cuda.get_rng_state(device)
    return states


def set_random_states(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Go on from what :func:`random_states` returned; a state that is missing there stays as it is."""
    torch.set_rng_state(states[_CPU])
    if device.type == "cuda" and _CUDA in states:
        torch.cuda.set_rng_state(states[_CUDA], device)
