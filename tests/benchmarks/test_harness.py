"""What all programs measure with: quartiles, peak memory, errors in one line."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.harness import REPOSITORY, machine, peak_memory, quartiles, run_program
from mmgraph.errors import DataError


def test_quartiles_of_one_value() -> None:
    assert quartiles([3.0]) == (3.0, 3.0, 3.0)


def test_peak_memory_sees_what_was_freed_again(hold: Callable[[int], object]) -> None:
    rise = peak_memory(lambda: hold(50))
    if rise is None:
        pytest.skip("this system does not tell the peak")
    assert 45 < rise < 150


def test_memory_that_is_given_back_late_hides_none(hold: Callable[[int], object]) -> None:
    """As polars' allocator does it: what was free before the call is given back during the call."""
    kept = [hold(80)]

    def give_back() -> None:
        time.sleep(0.6)
        kept.clear()

    def work() -> None:
        time.sleep(0.7)
        hold(50)

    thread = threading.Thread(target=give_back)
    thread.start()
    rise = peak_memory(work)
    thread.join()
    if rise is None:
        pytest.skip("this system does not tell the peak")
    assert 45 < rise < 150


def test_bad_data_ends_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)  # it is for processes

    def program(arguments: object) -> None:
        raise DataError("x.csv: wrong")

    with pytest.raises(SystemExit) as stop:
        run_program(program)
    assert stop.value.code == 2
    assert capsys.readouterr().err == "x.csv: wrong\n"


def test_the_record_of_the_machine_names_versions_and_no_folder() -> None:
    record = machine()
    assert record["packages"]["torch"]
    assert record["processor"]
    assert record["sparse_backend"]
    told = json.dumps(record)
    for folder in (REPOSITORY, Path.home(), Path(sys.prefix), Path.cwd(), Path(np.__file__).parent):
        assert str(folder) not in told


def test_a_program_that_is_told_to_end_cleans_up() -> None:
    program = """
import time
from benchmarks.harness import run_program

def work(arguments):
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("cleaned", flush=True)

run_program(work)
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.communicate(timeout=30)[0] == "cleaned\n"
    assert process.returncode == 128 + signal.SIGTERM
