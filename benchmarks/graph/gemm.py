"""The matrix products per second that this machine reaches, measured beside the methods."""

import time

import torch

_SIZES = (256, 512, 1024, 2048, 4096)
_ENOUGH_S = 0.05
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
            begin = _now(device)
            torch.mm(left, left, out=out)
            shortest = min(shortest, _now(device) - begin)
        best = max(best, 2 * size**3 / shortest / 1e9)
        if shortest > _ENOUGH_S:
            break
    return best


def _now(device: str) -> float:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter()
