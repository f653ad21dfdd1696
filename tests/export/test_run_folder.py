import json

import pytest
import torch

from mmgraph.errors import ConfigError
from mmgraph.export import RunFolder
from mmgraph.export import run_folder as names


def fill(folder):
    folder.write_json(names.RUN, {"format_version": 1, "complete": False})


def test_a_new_run_appears_whole_or_not_at_all(tmp_path):
    def fail(folder):
        fill(folder)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        RunFolder.create(tmp_path / "run", fail)
    assert not (tmp_path / "run").exists()
    assert RunFolder.create(tmp_path / "run", fill).facts() == {
        "format_version": 1,
        "complete": False,
    }


def test_a_taken_folder_is_left_alone(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"new or empty folder.*--resume"):
        RunFolder.create(tmp_path, fill)
    assert [p.name for p in tmp_path.iterdir()] == ["note.txt"]


def test_an_empty_folder_may_be_used(tmp_path):
    (tmp_path / "run").mkdir()
    assert not RunFolder.create(tmp_path / "run", fill).is_complete


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"not a run folder \(it has no run.json\)"):
        RunFolder.open(tmp_path)


@pytest.mark.parametrize("version", [2, "1", None])
def test_a_newer_format_is_refused(tmp_path, version):
    (tmp_path / "run.json").write_text(json.dumps({"format_version": version}))
    with pytest.raises(ConfigError, match=r"format_version must be at most 1.*newer mmgraph"):
        RunFolder.open(tmp_path)


@pytest.mark.parametrize("text", ["{", "[1]", '"x"'])
def test_damaged_json_is_named(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ConfigError, match=r"run.json: must"):
        RunFolder.open(tmp_path)


def test_tensors_round_trip_and_damage_is_named(tmp_path):
    folder = RunFolder(tmp_path)
    fill(folder)
    folder.write_tensors("x.safetensors", {"a": torch.arange(6.0).view(2, 3).T})
    assert folder.read_tensors("x.safetensors")["a"].tolist() == [[0, 3], [1, 4], [2, 5]]
    path = tmp_path / "x.safetensors"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(ConfigError, match="whole safetensors file"):
        folder.read_tensors("x.safetensors")
    with pytest.raises(
        ConfigError, match=rf"lacks this file; .*`mmgraph train --resume {tmp_path}`"
    ):
        folder.read_tensors("y.safetensors")
    folder.seal(folder.facts())
    with pytest.raises(ConfigError, match="lacks this file; restore it, or train the run again"):
        folder.read_tensors("y.safetensors")


def test_a_sealed_run_names_its_files_with_their_hashes(tmp_path):
    folder = RunFolder(tmp_path)
    fill(folder)
    folder.write_bytes("metrics.json", b"{}")
    folder.seal(folder.facts())
    facts = folder.facts()
    empty_object = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert (facts["complete"], facts["files"]) == (True, {"metrics.json": empty_object})


def test_a_file_that_changed_after_the_run_is_noticed(tmp_path):
    folder = RunFolder(tmp_path)
    fill(folder)
    folder.write_tensors("x.safetensors", {"a": torch.zeros(1)})
    folder.seal(folder.facts())
    folder.write_tensors("x.safetensors", {"a": torch.ones(1)})
    with pytest.raises(ConfigError, match=r"x.safetensors: must be as the run left it"):
        folder.read_tensors("x.safetensors")


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    folder.write_json("a.json", {"old": 1})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mmgraph.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        folder.write_json("a.json", {"new": 2})
    assert folder.read_json("a.json") == {"old": 1}


def taking(path, first=True):
    """Fill a run whose place another process takes in the middle, the first time."""
    calls = []

    def write(folder):
        fill(folder)
        calls.append(folder.path)
        if first and len(calls) == 1:
            RunFolder.create(path, lambda other: other.write_json(names.RUN, {"theirs": True}))

    return write


def test_a_run_that_appears_meanwhile_is_left_alone(tmp_path):
    with pytest.raises(ConfigError, match=r"new or empty folder.*--resume"):
        RunFolder.create(tmp_path / "run", taking(tmp_path / "run"))
    assert RunFolder(tmp_path / "run").facts() == {"theirs": True}
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_numbered_run_takes_the_next_number(tmp_path):
    first = RunFolder.create(tmp_path / "run", fill, numbered=True)
    second = RunFolder.create(tmp_path / "run", taking(tmp_path / "run-2"), numbered=True)
    assert (first.path, second.path) == (tmp_path / "run", tmp_path / "run-3")
    assert RunFolder(tmp_path / "run-2").facts() == {"theirs": True}
    assert second.facts()["complete"] is False
    assert RunFolder.next_free(tmp_path / "run") == tmp_path / "run-4"


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    for numbered in (False, True):
        with pytest.raises(ConfigError, match="cannot be written"):
            RunFolder.create(tmp_path / "file" / "run", fill, numbered=numbered)


def test_a_run_is_trained_by_one_at_a_time(tmp_path):
    folder = RunFolder.create(tmp_path / "run", fill)
    with folder.training():
        with pytest.raises(ConfigError, match=r"run: a run is trained by one process") as caught:
            folder.training().__enter__()
        assert "\n" not in str(caught.value)
        folder.write_bytes("metrics.json", b"{}")
        folder.seal(folder.facts())
    assert set(folder.facts()["files"]) == {"metrics.json"}
    assert sorted(p.name for p in folder.path.iterdir()) == ["metrics.json", "run.json"]
