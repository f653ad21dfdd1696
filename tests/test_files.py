import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mmgraph.files import locked, new_file, new_folder, sha256_of, write_file


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


@pytest.mark.parametrize("there", ["nothing", "an empty folder", "a link to an empty folder"])
def test_a_place_that_is_free_is_claimed(tmp_path, there):
    target = tmp_path / "deep" / "set"
    place = target
    if there == "an empty folder":
        target.mkdir(parents=True)
    elif there == "a link to an empty folder":
        place = tmp_path / "real"
        place.mkdir()
        target.parent.mkdir()
        target.symlink_to(place)
    with new_folder(target, replace=False) as folder:
        (folder / "a").touch()
    assert listing(target) == listing(place) == ["a"]
    assert listing(tmp_path / "deep") == ["set"]
    umask = os.umask(0)
    os.umask(umask)
    assert place.stat().st_mode & 0o777 == 0o777 & ~umask  # as any folder, not as a temporary one


@pytest.mark.parametrize("there", ["folder", "file"])
def test_what_appears_meanwhile_is_not_replaced(tmp_path, there):
    def claim():
        with new_folder(tmp_path / "set", replace=False) as folder:
            (folder / "mine").touch()
            if there == "folder":
                (tmp_path / "set").mkdir()
                (tmp_path / "set" / "theirs").touch()
            else:
                (tmp_path / "set").write_text("theirs")

    with pytest.raises(OSError, match="set"):
        claim()
    assert listing(tmp_path) == ["set"]
    found = tmp_path / "set"
    assert (listing(found) if there == "folder" else found.read_text()) in (["theirs"], "theirs")


def test_two_that_claim_the_same_place_fill_folders_of_their_own(tmp_path):
    def second():
        with new_folder(tmp_path / "set", replace=False) as inner:
            assert listing(inner) == []
            (inner / "second").touch()

    def first():
        with new_folder(tmp_path / "set", replace=False) as outer:
            (outer / "first").touch()
            second()
            assert listing(outer) == ["first"]

    with pytest.raises(OSError, match="set"):
        first()
    assert listing(tmp_path / "set") == ["second"]
    assert listing(tmp_path) == ["set"]


def test_a_claim_that_fails_leaves_nothing(tmp_path):
    def fail():
        with new_folder(tmp_path / "set", replace=False) as folder:
            (folder / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert listing(tmp_path) == []


def hold(path):
    with locked(path):
        pass


def test_what_is_held_cannot_be_held_twice_and_is_gone_afterwards(tmp_path):
    with locked(tmp_path / "lock"):
        with pytest.raises(BlockingIOError):
            hold(tmp_path / "lock")
        assert listing(tmp_path) == ["lock"]
    assert listing(tmp_path) == []
    hold(tmp_path / "lock")


def test_a_killed_process_holds_nothing(tmp_path):
    program = f"""
import time
from pathlib import Path
from mmgraph.files import locked
with locked(Path({str(tmp_path / "lock")!r})):
    print("held", flush=True)
    time.sleep(60)
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError):
            hold(tmp_path / "lock")
        os.kill(process.pid, signal.SIGKILL)
    assert listing(tmp_path) == ["lock"]
    hold(tmp_path / "lock")
    assert listing(tmp_path) == []


def test_never_are_two_inside_though_the_file_comes_and_goes(tmp_path):
    inside, most = [], []

    def work():
        for _ in range(50):
            while not entered_once():
                time.sleep(0)  # whoever is turned away comes again

    def entered_once():
        try:
            with locked(tmp_path / "lock"):
                inside.append(1)
                most.append(len(inside))
                inside.pop()
        except BlockingIOError:
            return False
        return True

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 200


def test_a_file_that_was_removed_before_it_was_locked_does_not_count(tmp_path, monkeypatch):
    import mmgraph.files as module

    real, opened = module.fcntl.flock, []

    def flock(descriptor, how):
        opened.append(descriptor)
        if len(opened) == 1:  # its owner lets go of it just now, and another one takes the place
            (tmp_path / "lock").unlink()
            (tmp_path / "lock").touch()
        real(descriptor, how)

    monkeypatch.setattr(module.fcntl, "flock", flock)
    with locked(tmp_path / "lock"), pytest.raises(BlockingIOError):
        hold(tmp_path / "lock")
    assert len(opened) == 3


def test_where_there_are_no_locks_nothing_is_held(tmp_path, monkeypatch):
    def flock(descriptor, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("mmgraph.files.fcntl.flock", flock)
    with locked(tmp_path / "lock"):
        hold(tmp_path / "lock")
