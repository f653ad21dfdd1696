"""A data set small enough to train on in a moment, a run on it, and a way to call the command line."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmgraph.cli import main

CARD = """name = "tiny"

[interactions]
file = "ratings.csv"
user = "user"
item = "item"
rating = "rating"
timestamp = "time"

[items]
file = "items.csv"
id = "id"
title = "title"

[features.text]
file = "text.npy"
ids = "text_ids.csv"

[features.image]
file = "image.npy"
ids = "text_ids.csv"
"""

NUM_USERS, NUM_ITEMS = 24, 20


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Return the object on standard output; there must be one line and nothing else."""
        assert self.out.count("\n") == 1
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


Ask = Callable[..., Answer]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Return a function that calls the command line in this process."""

    def call(*words: object) -> Answer:
        capsys.readouterr()
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return Answer(code, said.out, said.err)

    return call


def write_tiny(folder: Path) -> Path:
    """Write a data set of two groups of users and items; titles hold what rich takes for markup."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(5)
    rows = ["user,item,rating,time"]
    for user in range(NUM_USERS):
        own = np.arange(user % 2, NUM_ITEMS, 2)
        for item in [*own, *rng.choice(NUM_ITEMS, 3)]:
            rows.append(f"u{user},i{item},{rng.integers(1, 6)},{rng.integers(1000)}")
    (folder / "ratings.csv").write_text("\n".join(rows) + "\n")
    titles = [f"i{item},[bold]Item {item}[/oops]" for item in range(NUM_ITEMS)]
    (folder / "items.csv").write_text("id,title\n" + "\n".join(titles) + "\n")
    ids = "".join(f"i{item}\n" for item in range(NUM_ITEMS))
    (folder / "text_ids.csv").write_text(f"id\n{ids}")
    np.save(folder / "text.npy", rng.normal(size=(NUM_ITEMS, 4)).astype(np.float32))
    np.save(folder / "image.npy", rng.normal(size=(NUM_ITEMS, 6)).astype(np.float32))
    (folder / "dataset.toml").write_text(CARD)
    return folder


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Return a fresh folder of the tiny data set, to be changed at will."""
    return write_tiny(tmp_path / "tiny")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of two epochs; not to be changed."""
    folder = tmp_path_factory.mktemp("trained")
    data = write_tiny(folder / "tiny")
    words = ["train", "lightgcn", "--dataset", data, "--set", "training.max_epochs=2"]
    assert main([str(word) for word in [*words, "--out", folder / "run", "--quiet"]]) == 0
    return folder / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """Return a copy of the run, to be changed at will."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def snapshot(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def refused(ask: Ask, tmp_path: Path) -> Callable[[list[object], tuple[str, ...]], None]:
    """Return a check that a command refuses, in one line with some parts, and writes nothing."""

    def check(words: list[object], parts: tuple[str, ...]) -> None:
        before = snapshot(tmp_path)
        answer = ask(*words)
        assert (answer.code, answer.out) == (2, "")
        *progress, line = answer.err.splitlines()
        assert line.startswith("error: ")
        assert not any("error" in other or "Traceback" in other for other in progress)
        for part in parts:
            assert part in line
        assert snapshot(tmp_path) == before
        assert not list(tmp_path.glob("out*"))

    return check
