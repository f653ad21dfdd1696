"""A data set whose ids and vectors are told apart from all other bytes, and runs on it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmgraph.data import MultimodalDataset
from mmgraph.experiment import train
from mmgraph.run import Run, load_run
from mmgraph.testing import checkerboard_dataset
from mmgraph.unlearning.request import read_request
from mmgraph.unlearning.retain import Division, divide

NUM_USERS, NUM_ITEMS = 30, 24

CARD = """name = "marked"

[interactions]
file = "rows.csv"
user = "user"
item = "item"
timestamp = "time"

[items]
file = "items.csv"
id = "id"
title = "title"

[features.text]
file = "text.npy"
ids = "ids.csv"
"""


def user_id(number: int) -> str:
    return f"person-{number:03d}-{hash_of(number):08x}"


def item_id(number: int) -> str:
    return f"thing-{number:03d}-{hash_of(number + 1000):08x}"


def hash_of(number: int) -> int:
    """Return digits that occur nowhere else."""
    return (number * 2654435761 + 97) % 2**32


@pytest.fixture(scope="session")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data-set folder with two groups of users and items; not to be changed."""
    folder = tmp_path_factory.mktemp("marked") / "data"
    folder.mkdir()
    rng = np.random.default_rng(3)
    rows = ["user,item,time"]
    for user in range(NUM_USERS):
        own = rng.choice(np.arange(user % 2, NUM_ITEMS, 2), 9, replace=False)
        for item in sorted({*own.tolist(), *rng.choice(NUM_ITEMS, 3).tolist()}):
            rows.append(f"{user_id(user)},{item_id(item)},{rng.integers(10**6)}.5")
    (folder / "rows.csv").write_text("\n".join(rows) + "\n")
    titles = [f"{item_id(item)},Title {hash_of(item + 5000)}" for item in range(NUM_ITEMS)]
    (folder / "items.csv").write_text("id,title\n" + "\n".join(titles) + "\n")
    ids = "".join(f"{item_id(item)}\n" for item in range(NUM_ITEMS))
    (folder / "ids.csv").write_text(f"id\n{ids}")
    np.save(folder / "text.npy", rng.normal(size=(NUM_ITEMS, 5)).astype(np.float32))
    (folder / "dataset.toml").write_text(CARD)
    return folder


@pytest.fixture(scope="session")
def trained(marked: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Return a function that gives a run of a model, trained once a session; not to be changed."""
    folder, made = tmp_path_factory.mktemp("runs"), set[str]()

    def run(model: str = "lightgcn", *more: str) -> Run:
        name = "-".join([model, *more]).replace("=", "-")
        if name not in made:
            wraps = model in ("margo", "mario")
            width = "model.backbone.embedding_dim=8" if wraps else "model.embedding_dim=8"
            epochs = ["training.max_epochs=12", "training.learning_rate=0.03"]
            options = [*epochs, width, "graph.k=3", *more]
            train(model, marked, overrides=options, out=folder / name)
            made.add(name)
        return load_run(folder / name)

    return run


@pytest.fixture
def board() -> MultimodalDataset:
    """Return the checkerboard."""
    return checkerboard_dataset()


@pytest.fixture
def division(board: MultimodalDataset) -> Division:
    """Return the checkerboard without user 4, items 3 and 7, and two single interactions."""
    request = read_request(
        board, users=["4"], items=["3", "7"], interactions=[("0", "2"), ("9", "9")]
    )
    return divide(board, request)
