import os
import platform
import resource
import subprocess
import sys

import pytest

from mmgraph import allocator
from mmgraph.allocator import keep_freed_memory

# A process of its own: earlier tests have left their traces in this one's memory. It prints the page faults of making
# and freeing five blocks of 20 MB many times without and with the memory kept, and what it holds after that.
PROGRAM = """
import ctypes, resource
from pathlib import Path
from mmgraph.allocator import keep_freed_memory

PR_SET_THP_DISABLE = 41  # a page of 2 MB would be one fault, too
ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        blocks = [bytearray(b"x") * 20_000_000 for _ in range(5)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

left, before = faults(), held()
with keep_freed_memory():
    with keep_freed_memory():
        faults()
    kept = faults()
print(left, kept, held() - before)
"""


def run(**changed):
    quiet = {k: v for k, v in os.environ.items() if "MALLOC" not in k and k != "GLIBC_TUNABLES"}
    command = [sys.executable, "-c", PROGRAM]
    answer = subprocess.run(
        command, env={**quiet, **changed}, capture_output=True, text=True, check=True
    )
    return [int(number) for number in answer.stdout.split()]


needs_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only the memory of glibc is tuned"
)


@needs_glibc
def test_pages_are_got_once_kept_and_given_back_at_the_end():
    left, kept, more = run()
    pages = 20_000_000 // resource.getpagesize()
    assert left > 20 * pages
    assert kept < pages
    assert more < 10_000_000


@needs_glibc
@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"])
def test_who_has_tuned_the_library_is_left_alone(name):
    left, kept, _ = run(**{name: "200000"})
    assert kept > 0.5 * left


def test_other_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("musl", "1"))
    allocator._tunable.cache_clear()
    try:
        with keep_freed_memory():
            assert allocator._depth == 0
    finally:
        allocator._tunable.cache_clear()


def test_an_error_inside_ends_the_keeping():
    with pytest.raises(KeyError), keep_freed_memory():
        raise KeyError
    assert allocator._depth == 0
