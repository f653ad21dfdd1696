"""Files and folders that appear whole or not at all, whatever happens while they are written."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """Give a path beside the target to write to; flush it and rename it over the target at the end.

    If the block fails, the target is what it was before.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with new_file(target) as path:
        ...     _ = path.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    partial = _partial(target)
    try:
        yield partial
        flush(partial)
        partial.replace(target)
        flush(target.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_file(target: Path, content: bytes) -> None:
    """Write a file through ``new_file``."""
    with new_file(target) as path:
        path.write_bytes(content)


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Give an empty folder beside the target to fill; flush it and put it in the target's place at the end.

    A folder that is already there is put aside, replaced, and removed; whether it may be is the caller's to check. If
    the block fails, it stays as it was, and if the process dies between the two renames, the next call finds it aside.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "set"
        >>> with new_folder(target) as folder:
        ...     _ = (folder / "a.txt").write_text("whole")
        >>> [path.name for path in target.iterdir()]
        ['a.txt']
    """
    target = Path(os.path.abspath(target))
    partial, old = _partial(target), target.with_name(f".{target.name}.old")
    if old.exists() and not target.exists():
        old.rename(target)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        for path in (*partial.rglob("*"), partial):
            flush(path)
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
            target.rename(old)
        try:
            partial.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    flush(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def flush(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _partial(target: Path) -> Path:
    # The name ends as the target's does: some writers choose the format by it.
    return target.with_name(f".partial.{target.name}")
