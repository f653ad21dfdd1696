"""What the tests of the graph room share: a small data set without the data room, and the memory of a process."""

import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest


@dataclass(frozen=True)
class StandIn:
    """What the graph room reads of a data set, and nothing else."""

    num_users: int
    num_items: int
    train: SimpleNamespace
    valid: SimpleNamespace
    test: SimpleNamespace
    features: dict[str, SimpleNamespace]
    name: str = "stand-in"
    content_hash: str = "c" * 64
    split_hash: str = "d" * 64
    extra: dict[str, Any] = field(default_factory=dict)


def make_dataset(num_users: int = 12, num_items: int = 20, seed: int = 0) -> StandIn:
    """Draw a data set with two modalities, one of them with missing items."""
    generator = np.random.default_rng(seed)
    pairs = np.argwhere(generator.random((num_users, num_items)) < 0.3)
    part = generator.choice(3, size=len(pairs), p=(0.7, 0.15, 0.15))
    parts = [SimpleNamespace(user=pairs[part == p, 0], item=pairs[part == p, 1]) for p in range(3)]
    features = {}
    for name, dim, missing in (("text", 6, 0), ("image", 4, 5)):
        x = generator.standard_normal((num_items, dim)).astype(np.float32)
        present = np.ones(num_items, dtype=bool)
        present[generator.choice(num_items, missing, replace=False)] = False
        x[~present] = 0
        features[name] = SimpleNamespace(x=x, present=present, provenance={"file": f"{name}.npy"})
    return StandIn(num_users, num_items, *parts, features)


@pytest.fixture
def dataset() -> StandIn:
    return make_dataset()


@pytest.fixture
def planted(dataset: StandIn) -> StandIn:
    """The same training data; everything that is held out has become one planted pair."""
    held_out = SimpleNamespace(user=np.array([0]), item=np.array([dataset.num_items - 1]))
    return replace(dataset, valid=held_out, test=held_out)


GROWTH = """
    import re
    from pathlib import Path
    import numpy as np
    import torch
    from mmgraph.graph.knn import knn_search, choice, join

    def highest():
        return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

    def growth(work):
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak of what was before
        before = highest()
        result = work()
        return highest() - before, result

    torch.set_num_threads(2)
"""


def tells_peak():
    """Return whether a process can learn its own peak of memory, and set it back."""
    status = Path("/proc/self/status")
    known = status.is_file() and "VmHWM:" in status.read_text()
    return known and os.access("/proc/self/clear_refs", os.W_OK)


@pytest.fixture(scope="session")
def run_python():
    """Run code in a process of its own, with ``growth`` at hand, and return the words it prints."""
    if not tells_peak():
        pytest.skip("the system does not tell the peak of a process's memory")

    def run(code, *arguments):
        whole = textwrap.dedent(GROWTH) + textwrap.dedent(code)
        command = [sys.executable, "-c", whole, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    return run
