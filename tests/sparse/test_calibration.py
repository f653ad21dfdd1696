"""The trial product, the timing, and the file that keeps it."""

import json
import logging
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mmgraph.sparse import calibration
from mmgraph.sparse.backends import csr, embedding_bag, gather
from mmgraph.sparse.calibration import Case, Timing, cache_file, measure, timings, trial

CPU = torch.device("cpu")
CASES = [
    Case(CPU, dtype, reduce)
    for dtype in (torch.float32, torch.float64, torch.bfloat16)
    for reduce in ("sum", "max")
]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMGRAPH_CACHE", str(tmp_path))
    return tmp_path / "sparse"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "NUM_NODES", 50)
    monkeypatch.setattr(calibration, "NUM_EDGES", 200)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Case]:
    """Count the measurements and give each backend a time of its own."""
    cases: list[Case] = []

    def pretend(backends, case):
        cases.append(case)
        return {name: Timing(0.25 * number, 0.5) for number, name in enumerate(backends, 1)}

    monkeypatch.setattr(calibration, "measure", pretend)
    return cases


def backend_with(multiply) -> SimpleNamespace:
    return SimpleNamespace(multiply=multiply, maximum=multiply)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_good_backend_passes_its_trial(case: Case) -> None:
    assert trial(csr, case) is None
    assert trial(gather, case) is None


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_wrong_or_failing_backend_does_not(case: Case) -> None:
    def wrong(rowptr, col, value, x, num_rows):
        kernel = gather.multiply if case.reduce == "sum" else gather.maximum
        return kernel(rowptr, col, value, x, num_rows) * 1.1

    def failing(*args):
        raise NotImplementedError("no kernel for this\nand a long story")

    said = re.fullmatch(
        r"a trial product was (\S+) off, relatively", trial(backend_with(wrong), case)
    )
    assert float(said.group(1)) == pytest.approx(0.1, rel=0.02)
    assert trial(backend_with(failing), case) == "a trial product failed: no kernel for this"


def test_a_sum_kept_in_bfloat16_is_not_good_enough() -> None:
    def rough(rowptr, col, value, x, num_rows):
        result = x.new_zeros(num_rows, x.size(1))
        for row in range(num_rows):
            for edge in range(int(rowptr[row]), int(rowptr[row + 1])):
                result[row] += value[edge] * x[col[edge]]
        return result

    assert trial(backend_with(rough), Case(CPU)) is None
    assert "off, relatively" in trial(backend_with(rough), Case(CPU, torch.bfloat16))


def test_surroundings_neither_disturb_nor_are_disturbed(small: None) -> None:
    kept = []
    before = torch.get_rng_state()
    hooks = torch.autograd.graph.saved_tensors_hooks(kept.append, lambda tensor: tensor)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16), hooks:
        assert trial(csr, Case(CPU)) is None
        times = measure({"csr": csr, "gather": gather}, Case(CPU, learned=True))
    assert all(seconds > 0 for timing in times.values() for seconds in timing)
    assert kept == []
    assert torch.equal(torch.get_rng_state(), before)


def test_the_best_of_the_rounds_is_taken_and_slow_ones_are_left_out(
    small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = {
        "good": iter([Timing(9, 9), Timing(2, 1), Timing(1, 2), *[Timing(3, 3)] * 3]),
        "slow": iter([Timing(50, 50), Timing(20, 20)]),  # a third time would end the script
        "hopeless": iter([Timing(99, 99)]),
    }
    monkeypatch.setattr(calibration, "_time", lambda name, *rest: next(script[name]))
    assert measure({name: name for name in script}, Case(CPU)) == {
        "good": Timing(1, 1),
        "slow": Timing(20, 20),
        "hopeless": Timing(99, 99),
    }


def test_the_time_is_limited(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    monkeypatch.setattr(calibration, "_SECONDS", 0.0)
    monkeypatch.setattr(calibration, "_time", lambda *args: runs.append(1) or Timing(1.0, 1.0))
    assert set(measure({"a": csr, "b": gather}, Case(CPU))) == {"a", "b"}
    assert len(runs) == 2  # once each


def test_times_are_kept(cache: Path, measured: list[Case]) -> None:
    first = timings({"csr": csr, "gather": gather}, Case(CPU))
    assert timings({"csr": csr, "gather": gather}, Case(CPU)) == first
    assert len(measured) == 1
    (path,) = cache.iterdir()
    assert path == cache_file(CPU)
    kept = json.loads(path.read_text())
    assert kept["threads"] == torch.get_num_threads()
    assert kept["packages"]["torch"] == torch.__version__
    assert kept["seconds"] == {"float32 sum": {"csr": [0.25, 0.5], "gather": [0.5, 0.5]}}


def test_other_cases_are_kept_beside_it(cache: Path, measured: list[Case]) -> None:
    for case in (Case(CPU), Case(CPU, torch.float64), Case(CPU), Case(CPU, learned=True)):
        timings({"csr": csr, "gather": gather}, case)
    assert len(measured) == 3
    assert len(json.loads(cache_file(CPU).read_text())["seconds"]) == 3


def test_new_measurements_replace_old_ones(measured: list[Case]) -> None:
    timings({"csr": csr, "gather": gather}, Case(CPU))
    timings({"gather": gather, "csr": csr}, Case(CPU), fresh=True)
    assert len(measured) == 2
    assert timings({"csr": csr, "gather": gather}, Case(CPU))["csr"] == Timing(0.5, 0.5)


def test_other_backends_are_measured_again(measured: list[Case]) -> None:
    timings({"csr": csr, "gather": gather}, Case(CPU))
    timings({"csr": csr, "gather": gather, "embedding_bag": embedding_bag}, Case(CPU))
    assert len(measured) == 2


def test_threads_and_packages_have_files_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    one = cache_file(CPU)
    torch.set_num_threads(2)
    two = cache_file(CPU)
    monkeypatch.setattr(
        calibration, "installed_versions", lambda packages: dict.fromkeys(packages, "0.0.1")
    )
    assert len({one, two, cache_file(CPU)}) == 3


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"seconds": []}',
        '{"seconds": {"float32 sum": {"csr": 3}}}',
        '{"seconds": {"float32 sum": {"csr": [0.1], "gather": [0.1, 0.1]}}}',
        '{"seconds": {"float32 sum": {"csr": ["x", 1], "gather": [0.1, 0.1]}}}',
        '{"seconds": {"float32 sum": {"csr": [NaN, 0.1], "gather": [0.1, 0.1]}}}',
        '{"seconds": {"float32 sum": {"csr": [-1, 0.1], "gather": [0.1, 0.1]}}}',
        "\xff",
    ],
)
def test_a_damaged_file_is_measured_again_and_replaced(
    content: str, measured: list[Case], caplog: pytest.LogCaptureFixture
) -> None:
    path = cache_file(CPU)
    path.parent.mkdir(parents=True)
    path.write_bytes(content.encode("latin-1"))
    timings({"csr": csr, "gather": gather}, Case(CPU))
    assert "timed again" in caplog.text
    caplog.clear()
    timings({"csr": csr, "gather": gather}, Case(CPU))
    assert caplog.text == ""
    assert len(measured) == 1


def test_a_cache_that_cannot_be_written_harms_nobody(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    measured: list[Case],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger=calibration.__name__)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MMGRAPH_CACHE", str(tmp_path / "file"))
    assert timings({"csr": csr, "gather": gather}, Case(CPU))["csr"].total == 0.75
    assert "cannot be kept" in caplog.text


def test_the_processor_has_a_name() -> None:
    assert calibration.device_name(CPU).strip()
