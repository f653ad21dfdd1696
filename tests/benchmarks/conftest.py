"""A data set small enough for every way; memory that is seen in any process."""

from collections.abc import Callable
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data-set folder: 30 users, at most 60 items, one modality."""
    place = tmp_path_factory.mktemp("small")
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((30, 60)) < 0.3)
    rows = "".join(f"{u},{i}\n" for u, i in zip(users, items, strict=True))
    (place / "pairs.csv").write_text(f"user,item\n{rows}")
    ids = np.unique(items)
    (place / "ids.csv").write_text("item\n" + "".join(f"{i}\n" for i in ids))
    np.save(place / "text.npy", rng.standard_normal((len(ids), 6)).astype(np.float32))
    (place / "dataset.toml").write_text(
        'name = "small"\n[interactions]\nfile = "pairs.csv"\nuser = "user"\nitem = "item"\n'
        '[features.text]\nfile = "text.npy"\nids = "ids.csv"\n'
    )
    return place


@pytest.fixture
def hold() -> Callable[[int], object]:
    """Return a function that holds so many MiB, which no allocator can have kept from earlier tests."""

    def make(mib: int) -> object:
        block = np.frombuffer(mmap(-1, mib << 20, flags=MAP_PRIVATE | MAP_ANONYMOUS), np.uint8)
        block[:] = 1
        return block

    return make


@pytest.fixture(autouse=True)
def quick_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine reaches is measured on small arrays; processes of their own use the real ones."""
    monkeypatch.setattr("benchmarks.bound._COPIED_BYTES", 2**22)
    monkeypatch.setattr("benchmarks.bound._SIZES", (256, 512))
