"""A run that says itself which rows are its own."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmgraph.data import keep_rows, load_dataset
from mmgraph.errors import ConfigError, DataError
from mmgraph.experiment import resume, train
from mmgraph.export import RunFolder, read_own_rows
from mmgraph.run import load_run

ROWS = "".join(
    f"u{u},i{i},{100 * u + i + 0.25}\n" for u in range(12) for i in range(12) if (u + i) % 2
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    data.mkdir()
    (data / "rows.csv").write_text(f"user,item,time\n{ROWS}")
    (data / "ids.csv").write_text("id\n" + "".join(f"i{i}\n" for i in range(12)))
    np.save(data / "text.npy", np.random.default_rng(0).normal(size=(12, 3)))
    (data / "dataset.toml").write_text(
        'name = "d"\n[interactions]\nfile = "rows.csv"\nuser = "user"\nitem = "item"\ntimestamp = "time"\n'
        '[features.text]\nfile = "text.npy"\nids = "ids.csv"\n'
    )
    return data


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> Path:
    data = load_dataset(folder)
    lost = data.users.index("u3")
    part = keep_rows(data, [p.user != lost for p in (data.train, data.valid, data.test)])
    return train("bpr_mf", part, overrides=["training.max_epochs=1"], out=tmp_path / "run").path


def test_a_run_on_a_part_reads_that_part_again(run: Path, folder: Path) -> None:
    loaded = load_run(run)
    data = loaded.dataset
    assert loaded.folder.facts()["own_rows"] is True
    assert data.is_part
    assert "u3" not in data.users
    assert data.content_hash == loaded.folder.facts()["dataset_hash"]
    assert data.train.timestamp is not None
    assert data.train.timestamp.dtype == np.float64
    assert set(data.features) == {"text"}


def test_the_rows_of_the_folder_do_not_matter_its_features_do(run: Path, folder: Path) -> None:
    (folder / "rows.csv").write_text("user,item,time\nu0,i1,1\n")
    assert load_run(run).dataset.num_users == 11
    np.save(folder / "text.npy", np.ones((12, 3)))
    with pytest.raises(ConfigError, match="must be the one of the run"):
        _ = load_run(run).dataset


def test_a_run_on_a_whole_data_set_does_not_say_so(folder: Path, tmp_path: Path) -> None:
    made = train("bpr_mf", folder, overrides=["training.max_epochs=1"], out=tmp_path / "whole")
    assert "own_rows" not in made.folder.facts()
    data = load_dataset(folder)
    again = read_own_rows(made.folder, folder, modalities=None)
    assert replace(again, is_part=False).content_hash == data.content_hash


def test_an_interrupted_run_on_a_part_goes_on(run: Path) -> None:
    before = json.loads((run / "metrics.json").read_text())
    facts = json.loads((run / "run.json").read_text())
    facts.pop("files")
    (run / "run.json").write_text(json.dumps({**facts, "complete": False}))
    (run / "metrics.json").unlink()
    assert resume(run).metrics == before


@pytest.mark.parametrize("name", ["split/train.csv", "split/split.json", "vocabulary.json"])
def test_files_that_were_changed_are_refused(run: Path, name: str) -> None:
    path = run / name
    text = path.read_text().replace("u1", "u3").replace("ratio", "random")
    assert text != path.read_text()
    path.write_text(text)
    with pytest.raises((ConfigError, DataError)):
        _ = load_run(run).dataset


def test_a_split_without_its_config_is_refused(run: Path, tmp_path: Path, folder: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    facts = json.loads((copy / "run.json").read_text())
    del facts["files"]["split/split.json"]
    (copy / "run.json").write_text(json.dumps(facts))
    (copy / "split" / "split.json").write_text("{}")
    with pytest.raises(ConfigError, match="as the run wrote it"):
        read_own_rows(RunFolder(copy), folder, modalities=None)
