"""What all programs measure with: quartiles, peak memory, errors in one line."""

import numpy as np
import pytest

from benchmarks.harness import machine, peak_memory, quartiles, run_program
from mmgraph.errors import DataError


def test_quartiles_of_one_value() -> None:
    assert quartiles([3.0]) == (3.0, 3.0, 3.0)


def test_peak_memory_sees_what_was_freed_again() -> None:
    rise = peak_memory(lambda: np.ones(50 << 17).sum())  # 50 MiB of float64
    if rise is None:
        pytest.skip("this system does not tell the peak")
    assert 45 < rise < 150


def test_bad_data_ends_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
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
