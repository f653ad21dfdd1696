"""The training benchmark on tiny sizes: every kind of work, its lines, its page."""

import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.cells import FAILED, OK, SKIPPED
from benchmarks.lines import read_lines
from benchmarks.process import CellRun
from benchmarks.program import choose_cells, run
from benchmarks.training.benchmark import BENCHMARK
from benchmarks.training.cells import SECTIONS, TrainingCell
from benchmarks.training.kinds import KINDS
from benchmarks.training.methods import METHODS
from benchmarks.training.page import _sections as sections
from benchmarks.training.profiles import PROFILES, TrainingChoice
from benchmarks.training.tasks import TrainingTask, make_task
from benchmarks.training.ways import Inputs, graph_of
from mmgraph.sparse import available_backends
from mmgraph.testing import checkerboard_dataset

BOTH = ("mmgraph", "plain")
EPOCH = TrainingCell("duel", "epoch", BOTH, "small", dim=8, batch=64, repeats=2, threads=1)
MADE = {"users": 70, "items": 30, "edges": 400, "dim": 4, "threads": 1}


def measured(cell: TrainingCell, place: str = "", folder: Path = Path()) -> dict[str, dict]:
    lines = CellRun(BENCHMARK, cell, make_task(cell, place, folder), lambda event: None)()
    assert [line["method"] for line in lines] == list(cell.methods)
    return {line["method"]: json.loads(json.dumps(line, allow_nan=False)) for line in lines}


def test_an_epoch_has_phases_bounds_and_losses(small_folder: Path) -> None:
    lines = measured(EPOCH, str(small_folder))
    assert [line["status"] for line in lines.values()] == [OK, OK]
    ours, plain = lines["mmgraph"], lines["plain"]
    assert len(ours["seconds"]) == 2
    assert ours["ratios"]["plain"] > 0
    assert set(ours["bounds"]) == {"sampler", "forward", "backward", "optimiser"}
    forward = ours["bounds"]["forward"]
    rate = ours["machine"]["gbytes"]
    assert forward["bound_s"] >= forward["gbytes"] / rate * 0.999
    assert forward["share"] == pytest.approx(forward["bound_s"] / ours["phases"]["forward"])
    assert set(plain["phases"]) == set(ours["phases"])
    assert ours["loss"] == pytest.approx(plain["loss"], abs=0.02)
    assert ours["settings"]["backend"] in available_backends()


def test_an_epoch_alone_has_its_memory_measured(small_folder: Path) -> None:
    cell = dataclasses.replace(EPOCH, section="alone", methods=("plain",), repeats=1)
    line = measured(cell, str(small_folder))["plain"]
    assert line["status"] == OK
    assert "bounds" not in line
    if line["peak_mib"] is None:
        pytest.skip("this system does not tell the peak")
    assert line["life_mib"] >= line["process_mib"] > line["peak_mib"]


def test_a_step_of_lightgcn_tells_the_seconds_of_an_epoch() -> None:
    cell = TrainingCell("scaling", "step", ("mmgraph",), "made", steps=3, batch=32, **MADE)
    line = measured(cell)["mmgraph"]
    settings, step = line["settings"], line["median_s"]
    assert settings["steps_of_an_epoch"] == 13
    assert line["epoch_s"] > 13 * step
    assert line["terms"]["bpr"] == pytest.approx(0.69, abs=0.02)


def test_steps_of_freedom_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.training.made.FEATURE_WIDTHS", {"image": 24, "text": 16})
    cell = TrainingCell("step", "step", BOTH, "made", "freedom", steps=3, batch=32, **MADE)
    lines = measured(cell)
    assert lines["plain"]["difference"] < 1e-5
    assert lines["mmgraph"]["terms"].keys() >= {"bpr", "modality"}
    assert lines["mmgraph"]["ratios"]["plain"] > 0
    assert "start of the epoch" in lines["mmgraph"]["phases"]


def test_steps_of_margo_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.training.made.FEATURE_WIDTHS", {"image": 24, "text": 16})
    ways = ("mmgraph", "bfloat16", "plain")
    lines = measured(TrainingCell("step", "step", ways, "made", "margo", steps=3, batch=32, **MADE))
    assert lines["plain"]["difference"] < 1e-5
    assert 0 < lines["bfloat16"]["difference"] < 0.05
    assert set(lines["mmgraph"]["terms"]) == {"bpr", "reg", "calibration"}
    for name in ("mmgraph", "bfloat16"):
        assert lines[name]["ratios"]["plain"] > 0


def test_products_of_all_ways_agree_with_float64() -> None:
    cell = TrainingCell("kernels", "product", tuple(METHODS["product"]), "made", **MADE)
    lines = measured(cell)
    reasons = available_backends()
    for name, line in lines.items():
        if reasons.get(name) is not None:
            assert (line["status"], line["reason"]) == (SKIPPED, reasons[name])
            continue
        assert line["status"] == OK, line["reason"]
        assert line["difference"] < 1e-5
        assert set(line["phases"]) == {"forward", "backward"}
    assert lines["mmgraph"]["settings"]["backend"] in reasons
    assert lines["torch-coo"]["ratios"]["mmgraph"] > 0


def test_a_wrong_product_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "benchmarks.training.products.coo_product", lambda inputs, options: lambda x: 2 * x
    )
    cell = TrainingCell("kernels", "product", ("torch-coo",), "made", **MADE)
    assert measured(cell)["torch-coo"]["difference"] > 0.1


def test_messages_that_do_not_fit_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.training.tasks.free_bytes", lambda device: 1000)
    cell = TrainingCell("kernels", "product", ("mmgraph", "gather"), "made", **MADE)
    lines = measured(cell)
    assert lines["mmgraph"]["status"] == OK
    assert lines["gather"]["status"] == SKIPPED
    assert "are free" in lines["gather"]["reason"]


def test_both_precisions_train_the_same_epochs(small_folder: Path) -> None:
    cell = dataclasses.replace(
        EPOCH,
        section="precision",
        what="fit",
        methods=("float32", "bfloat16"),
        epochs=2,
        repeats=1,
    )
    lines = measured(cell, str(small_folder))
    for line in lines.values():
        assert line["status"] == OK, line["reason"]
        assert 0 <= line["valid_recall"] <= line["best_recall"] <= 1
        assert set(line["phases"]) == {"training", "validation"}
    assert lines["bfloat16"]["ratios"]["float32"] > 0


def test_precisions_need_a_validation_part() -> None:
    cell = dataclasses.replace(EPOCH, what="fit", methods=("float32",), epochs=1)
    board = checkerboard_dataset()  # holds out a test part only
    task = TrainingTask(cell, Inputs(cell, graph_of(board), board))
    (line,) = CellRun(BENCHMARK, cell, task, lambda event: None)()
    assert (line["status"], line["reason"]) == (SKIPPED, "the data set has no validation part")


@pytest.mark.parametrize("profile", list(PROFILES))
def test_profiles_cover_every_section(profile: str) -> None:
    cells = choose_cells(BENCHMARK, profile, TrainingChoice({"small": "small"}))
    assert len(cells) == len(set(cells))
    for cell in cells:
        assert set(cell.methods) <= set(METHODS[cell.what])
    if profile == "regular":
        assert {cell.section for cell in cells} == set(SECTIONS)
        largest = [cell for cell in cells if cell.edges == 10_000_000 and cell.what == "step"]
        assert [cell.users + cell.items for cell in largest] == [1_000_000]
        assert {cell.seed for cell in cells if cell.what == "fit"} == {0, 1, 2}


def test_options_restrict_a_profile() -> None:
    choice = TrainingChoice({"small": "small"}, only=["step"], edges=[10_000_000], dim=[64])
    cells = choose_cells(BENCHMARK, "regular", choice)
    assert [(cell.section, cell.edges) for cell in cells] == [("scaling", 10_000_000)]
    choice = TrainingChoice({"small": "small"}, only=["fit"], epochs=3, batch=16, seed=5)
    cells = choose_cells(BENCHMARK, "regular", choice)
    assert {(cell.epochs, cell.batch) for cell in cells} == {(3, 16)}
    assert {cell.seed for cell in cells} == {5, 6, 7}


def test_the_program_measures_and_the_page_shows_it(
    small_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "training" / "small.jsonl"
    arguments = ["--dataset", str(small_folder), "--only", "epoch", "--section", "duel"]
    arguments += ["--repeats", "1", "--threads", "1", "--json", str(out)]
    lines = run(BENCHMARK, arguments)
    assert [line["status"] for line in lines] == [OK, OK]
    assert read_lines(out) == lines
    assert str(small_folder) not in out.read_text()
    assert "lightgcn on small" in capsys.readouterr().out
    report.main(["--results", str(tmp_path), "--out", str(tmp_path / "docs")])
    text = (tmp_path / "docs" / "training.md").read_text()
    assert "### An epoch of LightGCN, in turn with the plain way" in text
    assert "| optimiser |" in text


def test_a_system_of_two_stages_trains_an_epoch_of_each_and_the_page_says_so(
    small_folder: Path,
) -> None:
    cell = TrainingCell("systems", "system", BOTH, "small", "margo", batch=64, threads=1)
    task = make_task(cell, str(small_folder), Path())
    method, seen = METHODS["system"]["mmgraph"], []
    task.get_ready(method, "mmgraph")
    model = task.models["mmgraph"]
    model.on_stage = lambda stage: seen.append(stage.name)
    model.on_epoch = seen.append
    task.shares = {"sampler": 1.0}  # no profile
    task.run(method, "mmgraph")
    assert seen == ["first", 1, "second", 2]
    facts = {"num_parameters": 9, "shares": dict.fromkeys(KINDS, 0.2), "ratios": {"plain": 2.0}}
    lines = [made_line(cell, name, **facts) for name in BOTH]
    text = "\n".join(sections(lines, []))
    assert "one epoch of each stage" in " ".join(text.split())
    assert "| margo | 9 |" in text


def made_line(cell: TrainingCell, method: str, **facts: object) -> dict:
    return {
        "benchmark": "training",
        "cell": cell.to_json(),
        "method": method,
        "status": OK,
        "reason": "",
        "seconds": [1.0],
        "median_s": 1.0,
        "q25_s": 1.0,
        "q75_s": 1.0,
        "ratios": {},
        "settings": {},
        "phases": {"forward": 0.25, "rest": 0.75},
        "gpu": None,
        "machine": {"gbytes": 10.0, "gflops": 100.0},
        "measured_at": "2026-01-02T00:00:00",
        "environment": {
            "processor": "Some CPU @ 3",
            "cores": 2,
            "memory_gb": 16,
            "python": "3.11",
            "packages": {"torch": "2"},
            "commit": "abc",
        },
        **facts,
    }


def made_lines() -> list[dict]:
    bound = {"gbytes": 1, "gflop": 2, "bound_s": 0.1, "share": 0.4, "gathered_share": 1.5}
    shown = {"ratios": {"plain": 4.0}, "loss": 0.5, "bounds": {"forward": bound}}
    lines = [made_line(EPOCH, "mmgraph", **shown), made_line(EPOCH, "plain", loss=0.5)]
    for entries in (100_000, 1_000_000):
        cell = TrainingCell("kernels", "product", ("mmgraph", "csr"), "made", edges=entries)
        for name in cell.methods:
            lines.append(made_line(cell, name, median_s=entries / 1e6, difference=1e-7))
    for edges, dim in ((10_000, 64), (100_000, 64), (1_000_000, 64), (1_000_000, 128)):
        cell = TrainingCell("scaling", "step", ("mmgraph",), "made", edges=edges, dim=dim, steps=4)
        sizes = {"peak_mib": edges / 1e3, "life_mib": edges / 500, "epoch_s": edges**2 / 1e9}
        lines.append(made_line(cell, "mmgraph", median_s=edges / 1e6 * dim / 64, **sizes))
    for seed, recall in ((0, 0.10), (1, 0.20)):
        cell = TrainingCell(
            "precision", "fit", ("float32", "bfloat16"), "small", epochs=3, seed=seed
        )
        lines.append(made_line(cell, "float32", valid_recall=recall))
        found = {"valid_recall": recall - 0.01, "ratios": {"float32": 1.5}}
        lines.append(made_line(cell, "bfloat16", **found))
    for seed in range(3):
        cell = TrainingCell("precision", "fit", ("float32",), "gowalla", epochs=3, seed=seed)
        lines.append(made_line(cell, "float32", status=FAILED, reason="ValueError: no"))
    return lines


def test_the_page_has_every_section_and_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "training").mkdir()
    lines = "".join(json.dumps(line) + "\n" for line in made_lines())
    (tmp_path / "training" / "made.jsonl").write_text(lines)
    report.main(["--results", str(tmp_path), "--out", str(tmp_path)])
    text = (tmp_path / "training.md").read_text()
    for name in ("epoch", "kernels", "step", "memory"):
        picture = f"training_some_cpu_3_{name}.png"
        assert f"({picture})" in text
        assert (tmp_path / picture).read_bytes()[:4] == b"\x89PNG"
    assert "| small | 1 | 1 | **4.00** | 0.5000, 0.5000 |  |" in text
    assert "| forward | 0.25 | 0.25 | 1.00 | 1 | 2 | 0.1 | 0.40 | 1.50 |" in text
    assert "| seconds of a step | 0.01 | 0.1 | 1 | 1.00 |" in text
    assert "| dimensions | 64 | 128 | exponent |" in text
    assert "| layers |" not in text  # all had two
    assert "| small | 3 | 2 | 1 | 1 | 1.50 | 0.1500 ± 0.0707 | 0.1400 ± 0.0707 | -0.0100 |" in text
    assert text.count("gowalla: failed, ValueError: no.") == 1
