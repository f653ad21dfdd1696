"""Why a package cannot be used is said in one line."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest
import torch

from mmgraph.sparse.backends.usable import why_not_device, why_not_package

PACKAGES = ["torch_sparse", "torch_scatter"]


@pytest.fixture(params=PACKAGES)
def package(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def built_with(monkeypatch: pytest.MonkeyPatch, package: str):
    """Make the package look installed and built for a CUDA version; -1 is a build without."""

    def pretend(cuda_version: int) -> None:
        module = ModuleType(package)
        module.__spec__ = ModuleSpec(package, None)
        monkeypatch.setitem(sys.modules, package, module)
        operators = getattr(torch.ops, package)
        monkeypatch.setattr(operators, "cuda_version", lambda: cuda_version, raising=False)

    return pretend


def test_a_build_without_cuda_is_refused_on_a_gpu_only(built_with, package: str) -> None:
    built_with(-1)
    name = package.replace("_", "-")
    assert why_not_package(package, "cuda") == f"this {name} was built without CUDA"
    assert why_not_package(package, "cpu") is None


def test_a_build_with_cuda_is_taken(built_with, package: str) -> None:
    built_with(12080)
    assert why_not_package(package, "cuda") is None
    assert why_not_package(package, "cpu") is None
    assert why_not_package(package, "mps") == "there is no kernel for device type 'mps'"


def test_a_broken_package_is_named_with_its_first_line(
    tmp_path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    (tmp_path / f"{package}.py").write_text("raise OSError('undefined symbol: _ZN3c10\\nmore')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, package, raising=False)
    said = why_not_package(package, "cpu")
    assert "cannot be imported (undefined symbol: _ZN3c10; run `python -m" in said
    assert "more" not in said


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_devices_with_kernels(device: str) -> None:
    assert why_not_device(device) is None
