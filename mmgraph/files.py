"""Files and folders that appear whole or not at all, whatever happens while they are written."""

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What a file system answers that knows no locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


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
def new_folder(target: Path, *, replace: bool = True) -> Iterator[Path]:
    """Give an empty folder beside the target to fill; flush it and put it in the target's place at the end.

    A folder that is already there is put aside, replaced, and removed; whether it may be is the caller's to check. If
    the block fails, it stays as it was, and if the process dies between the two renames, the next call finds it aside.

    Without ``replace`` the folder takes the place of nothing or of an empty folder. That is decided by the rename
    itself, and no other process fills the same folder, so of several that make the same target one succeeds.

    Args:
        target: Where it will be.
        replace: Whether what is there may be replaced.

    Raises:
        OSError: without ``replace``, there is something at the target; it is left as it is.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "set"
        >>> with new_folder(target) as folder:
        ...     _ = (folder / "a.txt").write_text("whole")
        >>> [path.name for path in target.iterdir()]
        ['a.txt']
    """
    with _replacing(target) if replace else _claiming(target) as folder:
        yield folder


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    target = Path(os.path.abspath(target))
    partial, old = _partial(target), target.with_name(f".{target.name}.old")
    if old.exists() and not target.exists():
        old.rename(target)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        _flush_all(partial)
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


@contextmanager
def _claiming(target: Path) -> Iterator[Path]:
    target = target.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f"{_partial(target).name}-"
    with tempfile.TemporaryDirectory(
        prefix=prefix, dir=target.parent, ignore_cleanup_errors=True
    ) as own:
        partial = Path(own) / target.name
        partial.mkdir()
        yield partial
        _flush_all(partial)
        partial.rename(target)
        flush(target.parent)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file that nobody else holds for as long as the block; it is made for that and removed afterwards.

    The system lets go of it when the process ends, however that happens. A file that a killed process left behind can
    be held like a new one. On a file system that knows no locks nothing is held.

    Raises:
        BlockingIOError: somebody else holds it.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "lock"
        >>> with locked(path):
        ...     path.exists()
        True
        >>> path.exists()
        False
    """
    descriptor = _lock(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: afterwards it may be another one's
        os.close(descriptor)


def _lock(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(descriptor)
                raise
            return descriptor
        # Between opening and locking, who held it may have removed it: then this file is nobody's.
        if _is_at(descriptor, path):
            return descriptor
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _flush_all(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        flush(path)


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
