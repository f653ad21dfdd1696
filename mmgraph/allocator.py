"""Keep freed memory for what is made next, instead of giving it back to the system and asking for it again."""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

# Names and numbers of mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEEP_ALL = 2**31 - 1
# Above this, blocks stay apart: kept in one heap, blocks of many sizes would leave gaps that none of them fits in.
_LARGEST_BLOCK = 32 * 2**20
# Where the C library's own rule ends up once it has seen blocks of that size.
_USUAL_TRIM = 2 * _LARGEST_BLOCK

_depth = 0


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Keep what is freed in the block for what is made next in it; give back what is free at its end.

    A training step makes and frees the same tables of all users and items again and again. Left to itself, glibc gives
    each of them back to the system and gets it again page by page, and every page has to be cleared: on a CPU up to two
    thirds of the time of a step. The peak stays what it was, it is just not left in between. Blocks above 32 MB are
    given back as ever; for those, THP_MEM_ALLOC_ENABLE=1 in the environment has torch ask for larger pages.

    Nothing is done where the C library is another one, or where the user has tuned it with its own variables
    (MALLOC_TRIM_THRESHOLD_, MALLOC_MMAP_THRESHOLD_, GLIBC_TUNABLES). Blocks may be nested.

    Example:
        >>> with keep_freed_memory():
        ...     numbers = bytearray(10**6)
    """
    global _depth
    library = _tunable()
    if library is None:
        yield
        return
    _depth += 1
    if _depth == 1:
        library.mallopt(_TRIM_THRESHOLD, _KEEP_ALL)
        library.mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK)
    try:
        yield
    finally:
        _depth -= 1
        if _depth == 0:
            library.mallopt(_TRIM_THRESHOLD, _USUAL_TRIM)
            library.malloc_trim(0)


@cache
def _tunable() -> Any:
    """Return the C library if it is glibc and is tuned by nobody else, or None."""
    tuned = any(f"MALLOC_{name}_THRESHOLD_" in os.environ for name in ("TRIM", "MMAP"))
    if tuned or "malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return None
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
