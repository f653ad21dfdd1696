"""What a result was made with: versions, machine, threads, sparse backend."""

import os
import platform
from typing import Any

import torch

from mmgraph.sparse import choose_backend
from mmgraph.versions import installed_versions

_PACKAGES = (
    "mmgraph",
    "torch",
    "torch-geometric",
    "torch-sparse",
    "torch-scatter",
    "numpy",
    "scipy",
    "faiss-cpu",
    "polars",
    "pydantic",
    "safetensors",
)


def environment(device: str = "cpu") -> dict[str, Any]:
    """Return versions of the packages that matter (None if not installed), the machine and its threads.

    Args:
        device: Where the sparse products are computed whose backend is named.

    Example:
        >>> sorted(environment())
        ['cores', 'cuda', 'packages', 'platform', 'python', 'sparse_backend', 'threads']
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "sparse_backend": choose_backend(device),
        "packages": installed_versions(_PACKAGES),
    }
