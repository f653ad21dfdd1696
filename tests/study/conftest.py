"""A data set small enough to train many runs on in a moment."""

from pathlib import Path

import numpy as np
import pytest

from mmgraph.study import Trial

NUM_USERS, NUM_ITEMS = 24, 40

CARD = """name = "shop"

[interactions]
file = "pairs.csv"
user = "user"
item = "item"

[features.text]
file = "text.npy"
ids = "ids.csv"

[features.image]
file = "image.npy"
ids = "ids.csv"
"""


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a data set of two groups; not to be changed."""
    folder = tmp_path_factory.mktemp("shop")
    rng = np.random.default_rng(3)
    rows = ["user,item"]
    for user in range(NUM_USERS):
        items = {*range(user % 2, NUM_ITEMS, 2), *rng.choice(NUM_ITEMS, 3).tolist()}
        rows += [f"u{user},i{item}" for item in sorted(items)]
    (folder / "pairs.csv").write_text("\n".join(rows) + "\n")
    (folder / "ids.csv").write_text("id\n" + "".join(f"i{item}\n" for item in range(NUM_ITEMS)))
    for name, width in (("text", 4), ("image", 6)):
        x = rng.normal(size=(NUM_ITEMS, width)).astype(np.float32)
        np.save(folder / f"{name}.npy", x)
    (folder / "dataset.toml").write_text(CARD)
    return folder


@pytest.fixture
def parted(shop: Path, tmp_path: Path) -> Path:
    """Return the folder of the same rows with a column that parts them: training and test, no validation."""
    folder = tmp_path / "parts"
    folder.mkdir()
    rows = (shop / "pairs.csv").read_text().splitlines()[1:]
    parts = [f"{row},{'test' if number % 5 == 0 else 'train'}" for number, row in enumerate(rows)]
    (folder / "pairs.csv").write_text("\n".join(["user,item,part", *parts]) + "\n")
    (folder / "dataset.toml").write_text(
        'name = "parts"\n[interactions]\nfile = "pairs.csv"\nuser = "user"\nitem = "item"\n'
        'split = "part"\n'
    )
    return folder


@pytest.fixture
def trial(shop: Path, tmp_path: Path) -> Trial:
    """Return a run of two epochs that has not been trained."""
    values = {
        "data": {"dataset": str(shop)},
        "model": {"name": "bpr_mf", "embedding_dim": 4},
        "training": {"max_epochs": 2},
    }
    return Trial("mine", 7, values, tmp_path / "out" / "mine" / "seed-7")
