import os
from pathlib import Path

import pytest

from mmgraph.files import new_file, new_folder, sha256_of, write_file


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_what_was_there(tmp_path, error):
    def half_a_file():
        with new_file(tmp_path / "a.txt") as path:
            path.write_bytes(b"half")
            raise error

    def half_a_folder():
        with new_folder(tmp_path / "set") as folder:
            (folder / "half.txt").touch()
            raise error

    write_file(tmp_path / "a.txt", b"old")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "old.txt").touch()
    for write in (half_a_file, half_a_folder):
        with pytest.raises(error):
            write()
    assert listing(tmp_path) == ["a.txt", "set"]
    assert (tmp_path / "a.txt").read_bytes() == b"old"
    assert listing(tmp_path / "set") == ["old.txt"]


def test_a_folder_replaces_the_old_one_and_keeps_nothing_of_it(tmp_path):
    for name in ("one", "two"):
        with new_folder(tmp_path / "set") as folder:
            (folder / name).touch()
    assert listing(tmp_path) == ["set"]
    assert listing(tmp_path / "set") == ["two"]


def test_what_a_killed_process_left_is_not_taken_over(tmp_path):
    (tmp_path / ".partial.set").mkdir()
    (tmp_path / ".partial.set" / "half.txt").touch()
    with new_folder(tmp_path / "set") as folder:
        (folder / "whole.txt").touch()
    assert listing(tmp_path) == ["set"]
    assert listing(tmp_path / "set") == ["whole.txt"]


def test_a_rename_that_fails_puts_the_old_folder_back(tmp_path, monkeypatch):
    with new_folder(tmp_path / "set") as folder:
        (folder / "old").touch()
    real = os.rename
    monkeypatch.setattr(
        "mmgraph.files.Path.rename",
        lambda self, to: (
            (_ for _ in ()).throw(OSError(5, "Input/output error"))
            if self.name.startswith(".partial")
            else real(self, to)
        ),
    )
    with pytest.raises(OSError, match="Input/output"), new_folder(tmp_path / "set") as folder:
        (folder / "new").touch()
    assert listing(tmp_path / "set") == ["old"]


def test_parents_are_made(tmp_path):
    with new_folder(tmp_path / "deep" / "er"):
        pass
    assert (tmp_path / "deep" / "er").is_dir()


def test_sha256(tmp_path):
    write_file(tmp_path / "a", b"abc")
    assert sha256_of(tmp_path / "a").startswith("ba7816bf8f01cfea")


def test_a_folder_put_aside_by_a_killed_process_comes_back(tmp_path):
    with new_folder(tmp_path / "set") as folder:
        (folder / "old").touch()
    (tmp_path / "set").rename(tmp_path / ".set.old")  # killed between the two renames

    def fail():
        with new_folder(tmp_path / "set"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert listing(tmp_path / "set") == ["old"]


def test_the_present_folder_can_be_filled(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with new_folder(Path()) as folder:
        (folder / "a").touch()
    assert listing(tmp_path / "here") == ["a"]
