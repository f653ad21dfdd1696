"""What every test gets: a seed, few threads, its own cache, and a reason where it must skip."""

import hashlib
import importlib.util
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch

# What rich and typer obey, whose answers some tests compare letter by letter; typer reads them when it is imported.
for _name in (
    "COLUMNS",
    "LINES",
    "TERMINAL_WIDTH",
    "FORCE_COLOR",
    "NO_COLOR",
    "PY_COLORS",
    "GITHUB_ACTIONS",
    "TTY_COMPATIBLE",
    "TTY_INTERACTIVE",
):
    os.environ.pop(_name, None)

REPOSITORY = Path(__file__).resolve().parents[1]

# What of a run must not depend on interruptions: everything but seconds and its place.
STABLE = (
    "model.safetensors",
    "embeddings.safetensors",
    "metrics.json",
    "metrics.jsonl",
    "per_user.parquet",
)

# The same examples in every run: a red test must be red again when somebody looks at it.
hypothesis.settings.register_profile("mmgraph", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("mmgraph")


def find_data_folder() -> Path:
    """Return where the real data sets are, whether or not the folder exists."""
    return Path(os.environ.get("MMGRAPH_DATA") or REPOSITORY.parent / "shared" / "data")


def missing_for(marker: str) -> str | None:
    """Return why tests with this marker cannot run here, None when they can."""
    if marker == "data" and not find_data_folder().is_dir():
        return f"no folder {find_data_folder()}; set MMGRAPH_DATA to the data sets"
    if marker == "sparse":
        absent = [m for m in ("torch_scatter", "torch_sparse") if not importlib.util.find_spec(m)]
        if absent:
            return f"{' and '.join(absent)} not installed; run: make sparse"
    if marker == "cuda" and not torch.cuda.is_available():
        return "no CUDA device"
    return None


def pytest_configure(config: pytest.Config) -> None:
    """Share the cores among the test processes."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    torch.set_num_threads(max(1, min(4, cores // processes)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what cannot run on this machine."""
    for marker in ("data", "sparse", "cuda"):
        reason = missing_for(marker)
        if reason is not None:
            for item in items:
                if item.get_closest_marker(marker):
                    item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def hashes() -> Callable[[Path], dict[str, str]]:
    """Return a function that hashes the files of a run that must not depend on interruptions."""

    def digest(run: Path) -> dict[str, str]:
        return {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in STABLE}

    return digest


@pytest.fixture(autouse=True)
def seed() -> int:
    """Seed every global generator before each test; return the seed."""
    number = 2026
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)
    return number


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """Give the next test the number of threads that this one found."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests out of the cache folder of the person who runs them."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("MMGRAPH_CACHE", str(folder))


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Return the folder of real data sets; skip where it is missing."""
    reason = missing_for("data")
    if reason is not None:
        pytest.skip(reason)
    return find_data_folder()
