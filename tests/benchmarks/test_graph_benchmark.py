"""The graph benchmark on tiny sizes: cells apart, failures reported, resume, tables, page."""

import json
from itertools import combinations
from pathlib import Path

import pytest

from benchmarks import __main__ as program
from benchmarks import report, spawn
from benchmarks.cells import FAILED, MISSING, OK, SKIPPED, TIMEOUT, Cell, identity
from benchmarks.drawing import name_beside, plot, spread_labels
from benchmarks.figures import fitted_exponent, growth, section
from benchmarks.graph import methods
from benchmarks.graph.benchmark import BENCHMARK
from benchmarks.graph.cells import GraphCell
from benchmarks.graph.figures import LEAST_ROWS, frontier, ratios_to
from benchmarks.graph.profiles import PROFILES, GraphChoice
from benchmarks.graph.tasks import BuildTask, KnnTask
from benchmarks.lines import finished, read_lines
from benchmarks.methods import Method
from benchmarks.process import CellRun
from benchmarks.program import choose_cells, run
from benchmarks.table import row
from mmgraph.errors import ConfigError

TINY = GraphCell("duel", "knn", ("faiss-flat", "torch-dense"), "clustered", 200, 8, k=3, threads=1)
QUICK = ["--only", "knn", "--shape", "200x8", "--methods", "faiss-flat", "torch-dense"]


def main(arguments: list[str]) -> list[dict]:
    return run(BENCHMARK, arguments)


def chosen(profile: str, choice: GraphChoice) -> list[Cell]:
    return choose_cells(BENCHMARK, profile, choice)


def measured(cell: GraphCell, folder: Path) -> dict[str, dict]:
    lines = CellRun(BENCHMARK, cell, KnnTask(cell, folder), lambda event: None)()
    assert [line["method"] for line in lines] == list(cell.methods)
    return {line["method"]: json.loads(json.dumps(line, allow_nan=False)) for line in lines}


def with_method(monkeypatch: pytest.MonkeyPatch, name: str, method: Method) -> None:
    monkeypatch.setitem(methods.METHODS["knn"], name, method)


def broken(*arguments: object, **options: object) -> None:
    raise ValueError("two\nlines")


def test_methods_of_a_duel_are_divided_by_each_other(tmp_path: Path) -> None:
    cell = GraphCell(**{**TINY.to_json(), "methods": TINY.methods, "repeats": 3})
    lines = measured(cell, tmp_path)
    dense = lines["torch-dense"]
    assert len(dense["seconds"]) == 3
    assert dense["q25_s"] <= dense["median_s"] <= dense["q75_s"]
    assert dense["ratios"]["faiss-flat"] * lines["faiss-flat"]["ratios"][
        "torch-dense"
    ] == pytest.approx(1, rel=2)
    assert dense["recall"] == lines["faiss-flat"]["recall"] == 1
    assert set(dense["gemm_gflops"]) == {"float32", "bfloat16"}
    share = 2 * 200**2 * 8 / dense["median_s"] / 1e9 / dense["gemm_gflops"]["float32"]
    assert dense["share_of_peak"] == pytest.approx(share)
    assert "peak_mib" not in dense
    assert set(lines["faiss-flat"]["phases"]) == {"prepare", "add", "search", "remove_self"}


def test_a_baseline_does_not_pay_for_unit_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = CellRun(BENCHMARK, TINY, KnnTask(TINY, tmp_path), lambda event: None)
    run()
    flat = run.taken["faiss-flat"]
    assert flat.compared[0] == pytest.approx(flat.seconds[0] - flat.phases["prepare"][0])


def test_a_method_alone_has_its_memory_measured() -> None:
    cell = GraphCell("alone", "knn", ("torch-dense",), "isotropic", 3000, 4, repeats=2, threads=1)
    # Here the heap may hold what earlier tests have freed, and the call would need less.
    (line,) = spawn.measure_cell("graph", cell)
    if line["peak_mib"] is None:
        pytest.skip("this system does not tell the peak")
    assert line["peak_mib"] > 3000**2 * 4 / 2**20 * 0.9
    assert line["process_mib"] > line["peak_mib"]
    assert len(line["seconds"]) == 2
    assert line["gemm_gflops"] == {}


def test_one_failing_method_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_method(monkeypatch, "faiss-ivf", Method(f"{__name__}:broken"))
    monkeypatch.setattr(
        Method, "load", lambda self: broken if "broken" in self.place else LOAD(self)
    )
    with_method(monkeypatch, "pyg", Method("nowhere:search", needs="no_such_module"))
    cell = GraphCell(
        "rivals", "knn", ("faiss-ivf", "pyg", "faiss-flat"), "clustered", 200, 8, k=3, threads=1
    )
    lines = measured(cell, tmp_path)
    assert (lines["faiss-ivf"]["status"], lines["faiss-ivf"]["reason"]) == (
        FAILED,
        "ValueError: two lines",
    )
    assert lines["pyg"]["status"] == MISSING
    assert lines["pyg"]["reason"] == "not installed: pip install mmgraph[bench]"
    assert lines["faiss-flat"]["status"] == OK
    assert row(lines["pyg"], BENCHMARK.columns)[-1] == "not installed: pip install mmgraph[bench]"
    assert row(lines["faiss-ivf"], BENCHMARK.columns)[-1] == "failed: ValueError: two lines"


LOAD = Method.load


def test_a_matrix_that_does_not_fit_is_skipped_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.graph.tasks.free_bytes", lambda device: 1000)
    lines = measured(TINY, tmp_path)
    assert lines["torch-dense"]["status"] == SKIPPED
    assert "are free" in lines["torch-dense"]["reason"]
    assert lines["faiss-flat"]["status"] == OK
    assert lines["faiss-flat"]["ratios"] == {}


def test_a_cell_is_measured_in_a_process_of_its_own() -> None:
    heard: list[dict] = []
    lines = spawn.measure_cell("graph", TINY, heard=heard.append)
    assert [line["status"] for line in lines] == [OK, OK]
    assert lines[0]["cell"] == TINY.to_json()
    assert lines[0]["environment"]["packages"]["torch"]
    assert "usearch" in lines[0]["environment"]["rival_packages"]
    assert [event["method"] for event in heard][:3] == ["data", *TINY.methods]


def test_time_that_runs_out_is_reported() -> None:
    cell = GraphCell(**{**TINY.to_json(), "methods": TINY.methods, "time_limit": 0.05})
    lines = spawn.measure_cell("graph", cell)
    assert [line["status"] for line in lines] == [TIMEOUT, TIMEOUT]
    assert lines[0]["reason"] == "not done after 0 s; it ended during start"


def test_a_process_that_dies_is_reported() -> None:
    cell = GraphCell("duel", "cointeraction", ("scipy",), "nowhere", threads=1)
    (line,) = spawn.measure_cell("graph", cell, "no-such-folder")
    assert line["status"] == FAILED
    assert "no-such-folder: no such folder" in line["reason"]


def test_a_build_gets_one_modality_more(tmp_path: Path) -> None:
    cell = GraphCell("duel", "build", ("mmgraph", "plain"), "movielens-small", dim=12, threads=1)
    task = BuildTask(cell, "movielens-small", tmp_path)
    outcomes = {name: task.run(BENCHMARK.find_method("build", name), name) for name in cell.methods}
    assert set(outcomes["mmgraph"].phases) >= {"read", "knn_made", "knn_text", "co_user"}
    assert outcomes["mmgraph"].value["item"].x_made.shape[1] == 12
    judged = task.judge(outcomes)
    assert judged["mmgraph"]["shared"] == judged["plain"]["shared"] > 0.99


def test_cells_survive_json_and_the_time_limit_is_not_their_identity() -> None:
    again = GraphCell.from_json(json.loads(json.dumps(TINY.to_json())))
    assert again == TINY
    longer = {**TINY.to_json(), "time_limit": 5.0}
    assert identity(longer) == identity(TINY.to_json())
    assert identity({**TINY.to_json(), "k": 4}) != identity(TINY.to_json())


@pytest.mark.parametrize("profile", list(PROFILES))
def test_profiles_name_methods_that_exist(profile: str) -> None:
    cells = chosen(profile, GraphChoice({"movielens-small": "movielens-small"}))
    assert len(cells) == len(set(cells)) > 5
    for cell in cells:
        assert set(cell.methods) <= set(methods.METHODS[cell.what])
        assert cell.time_limit > 0


def test_options_restrict_a_profile() -> None:
    choice = GraphChoice({}, only=["knn"], rows=[7050], data=["clustered"], methods=["mmgraph"])
    cells = chosen("regular", choice)
    assert {(cell.rows, cell.dim, cell.methods) for cell in cells} == {(7050, 4096, ("mmgraph",))}
    assert chosen("regular", GraphChoice({}, only=["knn"], rows=[7])) == []
    sized = chosen("fast", GraphChoice({}, only=["knn"], shapes=[(50, 4)], repeats=9, threads=1))
    assert {(cell.rows, cell.dim, cell.repeats, cell.threads) for cell in sized} == {(50, 4, 9, 1)}


def test_a_device_brings_its_peer() -> None:
    cells = chosen("fast", GraphChoice({}, only=["knn"], device="cuda", sections=["duel"]))
    assert all("torch-blocks" in cell.methods for cell in cells)


def test_the_program_measures_resumes_and_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results" / "graph" / "tiny.jsonl"
    arguments = [*QUICK, "--section", "duel", "--data", "clustered", "--repeats", "1"]
    arguments += ["--threads", "1", "--json", str(out)]
    lines = main(arguments)
    assert [line["method"] for line in lines] == ["faiss-flat", "torch-dense"]
    assert read_lines(out) == lines
    assert str(tmp_path) not in out.read_text()
    shown = capsys.readouterr()
    assert "faiss-flat" in shown.out
    assert "1/1 knn clustered 200 x 8" in shown.err
    with pytest.raises(ConfigError, match="add --resume"):
        main(arguments)
    assert main([*arguments, "--resume"]) == []
    assert len(read_lines(out)) == 2
    report.main(["--results", str(tmp_path / "results"), "--out", str(tmp_path / "docs")])
    text = (tmp_path / "docs" / "graph.md").read_text()
    assert "| clustered | 200 × 8 |" in text
    assert "k = 10, 1 threads; medians of 1 (quartiles)." in text


def test_what_failed_is_measured_again(tmp_path: Path) -> None:
    line = {"benchmark": "graph", "cell": TINY.to_json(), "method": "a", "status": FAILED}
    good = {**line, "method": "b", "status": OK}
    assert finished([line, good]) == set()
    assert finished([line, good, {**line, "status": OK}]) == {identity(TINY.to_json())}
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(x) + "\n" for x in (line, good, {**line, "status": OK})))
    assert [(x["method"], x["status"]) for x in read_lines(path)] == [("b", OK), ("a", OK)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["graph", "--rows", "none"], "invalid positive value: 'none'"),
        (["graph", "--methods", "fais-flat"], "did you mean 'faiss-flat'?"),
        (["graph", "--shape", "20"], "must be ROWSxDIM"),
        (["graph", "--profile", "huge"], "invalid choice: 'huge'"),
        (["grap"], "name a command: graph, training, evaluation (got 'grap')"),
        ([], "name a command: graph, training, evaluation"),
    ],
)
def test_wrong_usage_ends_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        program.main(arguments)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume"], "--resume needs the file"),
        (["--only", "knn", "--rows", "7"], "no cell of profile fast"),
        (["--device", "tpu", "--only", "knn"], "--device must be one of"),
    ],
)
def test_options_that_do_not_fit(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        main(arguments)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"benchmark": "graph"}\n')
    with pytest.raises(ConfigError, match=r"x.jsonl, line 1: not a line of this benchmark"):
        read_lines(path)


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        program.main(["graph", "--help"])
    assert stop.value.code == 0
    assert "--profile regular --json out.jsonl --resume" in capsys.readouterr().out


def made_lines() -> list[dict]:
    lines = []
    for method, power in (("mmgraph", 1.5), ("faiss-flat", 2.0)):
        for rows in (1000, 10_000, 100_000):
            cell = GraphCell("scaling", "knn", (method,), "clustered", rows, 128)
            lines.append(made_line(cell, method, median_s=rows**power / 1e8, peak_mib=rows / 100))
    for method, recall in (("mmgraph-ivf", 0.97), ("usearch", 0.9), ("faiss-hnsw", 0.96)):
        cell = GraphCell("catalogue", "knn", (method,), "clustered", 1_000_000, 128)
        lines.append(made_line(cell, method, median_s=100 * recall, recall=recall))
    cell = GraphCell("duel", "knn", ("mmgraph", "faiss-flat"), "isotropic", 7050, 4096)
    lines.append(made_line(cell, "mmgraph", ratios={"faiss-flat": 2.5}, median_s=1.0))
    dead = GraphCell("scaling", "knn", ("torch-dense",), "clustered", 100_000, 128)
    lines.append(
        {**made_line(dead, "torch-dense"), "status": SKIPPED, "reason": "N x N needs 40 GB"}
    )
    return lines


def made_line(cell: GraphCell, method: str, **facts: object) -> dict:
    return {
        "benchmark": "graph",
        "cell": cell.to_json(),
        "method": method,
        "status": OK,
        "reason": "",
        "seconds": [1.0],
        "q25_s": 1.0,
        "q75_s": 1.0,
        "ratios": {},
        "settings": {},
        "phases": {},
        "gpu": None,
        "measured_at": "2026-01-02T00:00:00",
        "environment": {
            "processor": "Some CPU @ 3",
            "cores": 2,
            "memory_gb": 16,
            "python": "3.11",
            "packages": {"torch": "2"},
            "rival_packages": {"usearch": "1"},
            "commit": "abc",
        },
        **facts,
    }


def test_figures_are_taken_from_the_right_cells() -> None:
    lines = made_lines()
    scaling = section(lines, "scaling", what="knn")
    series = growth(scaling, "median_s", "rows")
    assert list(series) == ["mmgraph", "faiss-flat"]
    assert fitted_exponent(series["mmgraph"], LEAST_ROWS) == pytest.approx(1.5)
    assert fitted_exponent(series["mmgraph"][:2], LEAST_ROWS) is None
    assert [line["method"] for line in frontier(lines)] == ["usearch", "faiss-hnsw", "mmgraph-ivf"]
    assert ratios_to(lines, "faiss-flat") == [("isotropic", "7,050 × 4,096", 2.5)]
    # A peak that cannot be told from the noise of the process may come out as nothing or less.
    unseen = [{**line, "peak_mib": -0.5 * place} for place, line in enumerate(scaling)]
    assert growth(unseen, "peak_mib", "rows") == {}


def test_the_page_has_every_section_and_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    results = tmp_path / "graph"
    results.mkdir()
    (results / "made.jsonl").write_text("".join(json.dumps(x) + "\n" for x in made_lines()))
    report.main(["--results", str(tmp_path), "--out", str(tmp_path)])
    text = (tmp_path / "graph.md").read_text()
    for name in ("ratio", "time", "memory", "recall"):
        picture = f"graph_some_cpu_3_{name}.png"
        assert f"({picture})" in text
        assert (tmp_path / picture).read_bytes()[:4] == b"\x89PNG"
    assert "| isotropic | 7,050 × 4,096 |  | 1 |  |  | **2.50** |  |  |  |" in text
    assert "torch-dense, 100,000 items: skipped, N x N needs 40 GB." in text
    assert "| mmgraph | 0.000316 | 0.01 | 0.316 | 1.50 |" in text
    assert "usearch 1; commit abc; 2026-01-02." in text


def test_labels_keep_their_order_and_distance() -> None:
    moved = spread_labels([1.0, 0.0, 0.05, 0.9], 0.3)
    assert moved[1] < moved[2] < moved[3] < moved[0]
    assert min(b - a for a, b in zip(sorted(moved), sorted(moved)[1:], strict=False)) >= 0.3 - 1e-9


def test_names_beside_points_cover_neither_points_nor_names() -> None:
    pytest.importorskip("matplotlib")
    _, axes = plot(7.5, 4.6)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    points = [(0.3, 0.5), (0.35, 0.5), (0.3, 0.55), (0.95, 0.1)]
    name_beside(axes, [(f"method-{n}, 12 s", point, "black") for n, point in enumerate(points)])
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    marks = axes.transData.transform(points)
    assert not any(box.contains(*mark) for box in boxes for mark in marks)
    assert max(box.x1 for box in boxes) <= axes.bbox.x1
