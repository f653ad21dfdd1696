"""Every wrong input ends with exit code 2, one line, and nothing written."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import safetensors.numpy

Ask = Callable[..., Any]
Refused = Callable[..., None]


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def add_to_card(line: str) -> Callable[[Path], None]:
    return lambda folder: replace(folder / "dataset.toml", "[interactions]\n", line)


def feature_array(folder: Path, change: Callable[[Any], Any]) -> None:
    x = change(np.load(folder / "text.npy"))
    np.save(folder / "text.npy", x, allow_pickle=True)


def with_value(value: float) -> Callable[[Path], None]:
    def change(x: Any) -> Any:
        x[3, 1] = value
        return x

    return lambda folder: feature_array(folder, change)


def pickled_npy(folder: Path) -> None:
    (folder / "text.npy").write_bytes(pickle.dumps([1.0, 2.0]))


def truncate(file: str, keep: float = 0.5) -> Callable[[Path], None]:
    def cut(folder: Path) -> None:
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: int(len(content) * keep)])

    return cut


def use_parquet(folder: Path) -> None:
    pl.read_csv(folder / "ratings.csv").write_parquet(folder / "ratings.parquet")
    replace(folder / "dataset.toml", "ratings.csv", "ratings.parquet")


def use_safetensors(folder: Path) -> None:
    x = np.load(folder / "text.npy")
    safetensors.numpy.save_file({"x": x}, folder / "text.safetensors")
    replace(folder / "dataset.toml", "text.npy", "text.safetensors")


def truncated_parquet(folder: Path) -> None:
    use_parquet(folder)
    truncate("ratings.parquet")(folder)


def truncated_safetensors(folder: Path) -> None:
    use_safetensors(folder)
    truncate("text.safetensors")(folder)


def cut_safetensors_header(folder: Path) -> None:
    use_safetensors(folder)
    truncate("text.safetensors", 0.02)(folder)


def short_ids(folder: Path) -> None:
    lines = (folder / "text_ids.csv").read_text().splitlines()
    (folder / "text_ids.csv").write_text("\n".join(lines[:-2]) + "\n")


def npy_of_future_version(folder: Path) -> None:
    content = bytearray((folder / "text.npy").read_bytes())
    content[6] = 9
    (folder / "text.npy").write_bytes(bytes(content))


def archive(folder: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.zeros((20, 4)))
    (folder / "text.npy").write_bytes(buffer.getvalue())


DATA = {
    "missing folder": (lambda f: f.rename(f.with_name("gone")), ("tiny", "no such folder")),
    "missing card": (lambda f: (f / "dataset.toml").unlink(), ("dataset.toml",)),
    "card is not toml": (add_to_card("[interactions\n"), ("dataset.toml", "not valid TOML")),
    "missing ratings": (lambda f: (f / "ratings.csv").unlink(), ("ratings.csv",)),
    "missing features": (lambda f: (f / "text.npy").unlink(), ("text.npy",)),
    "missing ids": (lambda f: (f / "text_ids.csv").unlink(), ("text_ids.csv",)),
    "missing titles": (lambda f: (f / "items.csv").unlink(), ("items.csv",)),
    "unknown table": (
        add_to_card("[interaction]\nfile = 'x.csv'\n[interactions]\n"),
        ("unknown key 'interaction'", "interactions"),
    ),
    "unknown key": (
        add_to_card("[interactions]\nminrating = 3\n"),
        ("dataset.toml", "unknown key 'interactions.minrating'", "min_rating"),
    ),
    "key of a wrong type": (
        add_to_card('[interactions]\nk_core = "five"\n'),
        ("interactions.k_core", "five"),
    ),
    "file outside the folder": (
        lambda f: replace(f / "dataset.toml", '"text.npy"', '"../text.npy"'),
        ("features.text.file", "../text.npy"),
    ),
    "unknown column": (
        lambda f: replace(f / "dataset.toml", 'user = "user"', 'user = "usr"'),
        ("ratings.csv", "usr", "user"),
    ),
    "rating that is no number": (
        lambda f: replace(f / "ratings.csv", "u1,i1,", "u1,i1,abc"),
        ("ratings.csv row", "rating", "abc"),
    ),
    "empty user": (lambda f: replace(f / "ratings.csv", "\nu1,", "\n,"), ("ratings.csv row",)),
    "ratings without rows": (
        lambda f: (f / "ratings.csv").write_text("user,item,rating,time\n"),
        ("at least one interaction", "read 0"),
    ),
    "everything filtered": (
        add_to_card("[interactions]\nmin_rating = 9\n"),
        ("min_rating", "at least one interaction"),
    ),
    "empty split": (
        lambda f: replace(f / "dataset.toml", "[items]", '[split]\nmethod="cold_start"\ncold_share=0.01\n[items]'),
        ("split", "must not be empty"),
    ),
    "ratios that do not sum to one": (
        lambda f: replace(f / "dataset.toml", "[items]", "[split]\nratios=[0.8,0.1,0.2]\n[items]"),
        ("ratios", "sum"),
    ),
    "temporal split without times": (
        lambda f: (
            replace(f / "dataset.toml", 'timestamp = "time"\n', ""),
            replace(f / "dataset.toml", "[items]", '[split]\nmethod="temporal"\n[items]'),
        ),
        ("temporal", "timestamp"),
    ),
    "NaN feature": (with_value(np.nan), ("text.npy row 3, column 1", "finite")),
    "infinite feature": (with_value(np.inf), ("text.npy row 3, column 1", "finite")),
    "duplicate ids": (
        lambda f: replace(f / "text_ids.csv", "i2\n", "i1\n"),
        ("text_ids.csv", "i1"),
    ),
    "too few ids": (short_ids, ("text_ids.csv", "18", "20")),
    "too few rows": (lambda f: feature_array(f, lambda x: x[:-1]), ("text", "19", "20")),
    "features by position of named items": (
        lambda f: replace(f / "dataset.toml", 'ids = "text_ids.csv"\n', ""),
        ("text.npy", "features.text.ids"),
    ),
    "no item has a vector": (lambda f: feature_array(f, lambda x: x * 0), ("text.npy", "vector")),
    "vector instead of matrix": (lambda f: feature_array(f, lambda x: x[:, 0]), ("text.npy", "(20,)")),
    "integers": (lambda f: feature_array(f, lambda x: x.astype(int)), ("text.npy", "float")),
    "object dtype": (lambda f: feature_array(f, lambda x: x.astype(object)), ("text.npy", "object")),
    "pickle": (pickled_npy, ("text.npy", "pickle")),
    "npz under another name": (archive, ("text.npy",)),
    "npy of another version": (npy_of_future_version, ("text.npy",)),
    "truncated npy": (truncate("text.npy"), ("text.npy",)),
    "truncated npy header": (truncate("text.npy", 0.05), ("text.npy",)),
    "empty npy": (truncate("text.npy", 0), ("text.npy",)),
    "truncated parquet": (truncated_parquet, ("ratings.parquet",)),
    "truncated safetensors": (truncated_safetensors, ("text.safetensors",)),
    "truncated safetensors header": (cut_safetensors_header, ("text.safetensors",)),
    "ratings that are no text": (
        lambda f: (f / "ratings.csv").write_bytes(bytes(range(256)) * 4),
        ("ratings.csv",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DATA)
@pytest.mark.parametrize("command", ["describe", "build", "train"])
def test_wrong_data(refused: Refused, tiny: Path, tmp_path: Path, case: str, command: str) -> None:
    spoil, parts = DATA[case]
    spoil(tiny)
    out = tmp_path / "out"
    words: dict[str, list[object]] = {
        "describe": ["data", "describe", tiny, "--split-out", out],
        "build": ["graph", "build", "--dataset", tiny, "--out", out],
        "train": ["train", "lightgcn", "--dataset", tiny, "--out", out, "--quiet"],
    }
    refused(words[command], parts)


RECIPES: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "unknown model": (["lightgnc"], ("lightgnc", "did you mean 'lightgcn'")),
    "missing recipe": (["missing.toml"], ("missing.toml", "no such recipe")),
    "unknown table": (["lightgcn", "--set", "trainin.max_epochs=1"], ("trainin", "training")),
    "unknown key": (
        ["lightgcn", "--set", "model.layers=1"],
        ("unknown key 'model.layers'", "num_layers"),
    ),
    "key of another model": (
        ["bpr_mf", "--set", "model.num_layers=1"],
        ("unknown key 'model.num_layers'",),
    ),
    "wrong type": (["lightgcn", "--set", "training.max_epochs=x"], ("training.max_epochs", "'x'")),
    "out of range": (["lightgcn", "--set", "training.batch_size=0"], ("training.batch_size", "0")),
    "negative seed": (["lightgcn", "--seed", "-1"], ("seed", "-1")),
    "not an assignment": (["lightgcn", "--set", "seed"], ("--set", "key=value")),
    "through a value": (["lightgcn", "--set", "seed=1", "--set", "seed.x=1"], ("--set", "seed")),
    "unknown metric": (
        ["lightgcn", "--set", 'evaluation.metrics=["recal"]'],
        ("evaluation", "recal"),
    ),
    "metric not computed": (
        ["lightgcn", "--set", "evaluation.select_by=ndcg@7"],
        ("evaluation", "ndcg@7"),
    ),
    "lists longer than the catalogue": (
        ["lightgcn", "--set", "evaluation.ks=[10, 21]", "--set", "evaluation.select_by=recall@10"],
        ("evaluation.ks", "21", "20"),
    ),
    "k of the catalogue": (["mm_gef", "--set", "graph.k=20"], ("k must be", "20")),
    "k of nothing": (["mm_gef", "--set", "graph.k=0"], ("k", "0")),
    "unknown modality": (["mm_gef", "--set", 'data.modalities=["txt"]'], ("txt", "text")),
    "no modality for a model that needs one": (
        ["mm_gef", "--set", "data.modalities=[]"],
        ("mm_gef", "features"),
    ),
}


@pytest.mark.parametrize("case", RECIPES)
def test_wrong_recipes(refused: Refused, tiny: Path, tmp_path: Path, case: str) -> None:
    words, parts = RECIPES[case]
    out = tmp_path / "out"
    refused(["train", *words, "--dataset", tiny, "--out", out, "--quiet"], parts)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('[model]\nname = "lightgnc"\n', ("model.name", "lightgnc", "lightgcn")),
        ('[model]\nname = "lightgcn"\nlayers = 2\n', ("mine.toml", "model.layers")),
        ('model = "lightgcn"\n', ("mine.toml", "model.name")),
        ("[training]\nmax_epochs = 1\n", ("mine.toml", "model.name")),
        ("[model\n", ("mine.toml", "not valid TOML")),
    ],
    ids=["unknown model", "unknown key", "no table", "no model", "no toml"],
)
def test_wrong_recipe_files(
    refused: Refused, tiny: Path, tmp_path: Path, text: str, parts: tuple[str, ...]
) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text(text)
    words = ["train", recipe, "--dataset", tiny, "--out", tmp_path / "out", "--quiet"]
    refused(words, parts)


def test_no_data_set_at_all(refused: Refused, tmp_path: Path) -> None:
    words = ["train", "lightgcn", "--out", tmp_path / "out", "--quiet"]
    refused(words, ("--dataset",))


@pytest.mark.parametrize("assignment", ["k=20", "k=0", "kk=3", "metric=dot", "co_item_top_k=0"])
def test_wrong_graphs(refused: Refused, tiny: Path, tmp_path: Path, assignment: str) -> None:
    words = ["graph", "build", "--dataset", tiny, "--out", tmp_path / "out", "--set", assignment]
    refused(words, (assignment.partition("=")[0],))


@pytest.mark.parametrize("command", ["train", "graph"])
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_taken_places(
    refused: Refused, tiny: Path, tmp_path: Path, command: str, kind: str
) -> None:
    taken = tmp_path / "taken"
    if kind == "folder":
        taken.mkdir()
        (taken / "thesis.tex").write_text("years of work")
    else:
        taken.write_text("years of work")
    words: dict[str, list[object]] = {
        "train": ["train", "lightgcn", "--dataset", tiny, "--quiet"],
        "graph": ["graph", "build", "--dataset", tiny, "--set", "k=3"],
    }
    refused([*words[command], "--out", taken], ("taken",))
    # A place below a file.
    if kind == "file":
        refused([*words[command], "--out", taken / "run"], ("taken",))
