"""What this machine reaches, measured beside the methods: operations a second, bytes a second."""

import time

import torch

_SIZES = (256, 512, 1024, 2048, 4096)
_ENOUGH_S = 0.05
_COPIED_BYTES = 2**28
PRECISIONS = ("float32", "bfloat16")


def gemm_gflops(precision: str, device: str) -> float:
    """Return 10^9 operations per second of a square product, at the first size that takes long enough."""
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
    best = 0.0
    for size in _SIZES:
        left = torch.full((size, size), 0.5, dtype=dtype, device=device)
        out = torch.empty_like(left)
        torch.mm(left, left, out=out)
        shortest = float("inf")
        for _ in range(3):
            begin = now(device)
            torch.mm(left, left, out=out)
            shortest = min(shortest, now(device) - begin)
        best = max(best, 2 * size**3 / shortest / 1e9)
        if shortest > _ENOUGH_S:
            break
    return best


def memory_gbytes(device: str) -> float:
    """Return 10^9 bytes a second of copying an array much larger than any cache, read and written."""
    source = torch.ones(_COPIED_BYTES // 4, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    shortest = float("inf")
    for _ in range(3):
        begin = now(device)
        target.copy_(source)
        shortest = min(shortest, now(device) - begin)
    return 2 * _COPIED_BYTES / shortest / 1e9


def now(device: str) -> float:
    """Return the clock when the device has done all that it was told."""
    synchronize(device)
    return time.perf_counter()


def synchronize(device: str) -> None:
    """Wait for the device; the processor has nothing to wait for."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
