"""Why a backend cannot be used: the device, or a package that is missing, broken or built without CUDA."""

from importlib import import_module
from importlib.util import find_spec

import torch

_INSTALL = "run `python -m mmgraph.sparse.extensions`"


def why_not_device(device: str) -> str | None:
    """Return why kernels for CPU and CUDA cannot be used on this type of device, or None.

    Example:
        >>> why_not_device("mps")
        "there is no kernel for device type 'mps'"
    """
    return None if device in ("cpu", "cuda") else f"there is no kernel for device type {device!r}"


def why_not_package(module: str, device: str) -> str | None:
    """Return why torch_sparse or torch_scatter cannot be used on this type of device, or None."""
    package = module.replace("_", "-")
    if find_spec(module) is None:
        return f"{package} is not installed ({_INSTALL})"
    try:
        import_module(module)  # registers its operators
    except (ImportError, OSError) as error:
        # The usual reason: it was built against another torch.
        return f"{package} cannot be imported ({str(error).splitlines()[0]}; {_INSTALL})"
    # A build without nvcc imports well and then fails on the first CUDA tensor.
    if device == "cuda" and getattr(torch.ops, module).cuda_version() == -1:
        return f"this {package} was built without CUDA"
    return why_not_device(device)
