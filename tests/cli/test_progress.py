"""What is shown while an experiment runs."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from mmgraph.cli.progress import EpochLine, PlainObserver, TerminalObserver, observing
from mmgraph.config import Recipe
from mmgraph.training import EpochReport, MemoryReport

RECIPE = Recipe.build({"model": {"name": "bpr_mf"}, "training": {"max_epochs": 9, "patience": 4}})


def report(
    epoch: int, value: float | None, *, best: bool = False, stage: str = "main"
) -> EpochReport:
    valid = None if value is None else {"recall@20": value}
    return EpochReport(epoch, 9, stage, {"bpr": 0.5, "reg": 2.0}, valid, best, 0.25, None)


def test_the_line_counts_validations_without_improvement() -> None:
    line = EpochLine()
    assert "best 0.1000 at 1  patience 0/4" in line.update(report(1, 0.1, best=True), RECIPE)
    assert "patience 0/4" in line.update(report(2, None), RECIPE)
    assert "patience 1/4" in line.update(report(3, 0.05), RECIPE)
    text = line.update(report(4, 0.2, best=True), RECIPE)
    assert text == "bpr 0.5000  valid recall@20 0.2000  best 0.2000 at 4  patience 0/4"


def test_a_new_stage_has_its_own_best() -> None:
    line = EpochLine()
    line.update(report(1, 0.1, best=True), RECIPE)
    assert "best" not in line.update(report(2, 0.05, stage="second"), RECIPE)


def test_nothing_is_claimed_about_epochs_before_a_resume() -> None:
    assert "patience" not in EpochLine().update(report(7, 0.1), RECIPE)


def test_plain_lines_are_at_most_one_in_two_seconds_and_the_last_is_shown() -> None:
    stream, now = io.StringIO(), [0.0]
    observer = PlainObserver(Console(file=stream, width=200), clock=lambda: now[0])
    observer.phase("training [x]")
    for epoch in range(1, 8):
        observer.epoch(report(epoch, 0.1 * epoch, best=True), RECIPE)
        now[0] += 0.5
    observer.phase("ranking")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "training [x]"
    assert [line.split()[1] for line in lines[1:-1]] == ["1", "5", "7"]
    assert lines[-1] == "ranking"


def test_bars_stay_on_their_lines() -> None:
    stream = io.StringIO()
    observer = TerminalObserver(Console(file=stream, force_terminal=True, width=160))
    observer.bars.disable = True  # no thread: only the state is looked at
    observer.phase("reading")
    observer.phase("training [x]")
    for epoch in range(1, 6):
        observer.epoch(report(epoch, 0.1 * epoch, best=True), RECIPE)
    assert len(observer.bars.tasks) == 2
    task = observer.bars.tasks[1]
    assert (task.completed, task.total) == (5, 9)
    assert task.fields["note"].startswith("epoch 5/9")
    observer.finish()
    assert all(task.finished for task in observer.bars.tasks)
    rendered = Console(width=160)
    with rendered.capture() as capture:
        rendered.print(observer.bars.get_renderable())
    assert "training [x]" in capture.get()


def test_what_training_needs_is_one_line() -> None:
    need = MemoryReport(parameters=2_000_000, evaluation=8_000_000)
    for make in (PlainObserver, TerminalObserver):
        stream = io.StringIO()
        make(Console(file=stream, width=200)).memory(need)
        assert stream.getvalue() == "memory 10.0 MB: evaluation 8.00 MB, parameters 2.00 MB\n"


def test_progress_without_a_phase_is_ignored() -> None:
    observer = TerminalObserver(Console(file=io.StringIO()))
    observer.progress(1, 2)
    assert observer.bars.tasks == []


def test_quiet_says_nothing_but_knows_the_folder(capsys: pytest.CaptureFixture[str]) -> None:
    with observing(quiet=True) as observer:
        observer.phase("reading")
        observer.epoch(report(1, 0.1), RECIPE)
        observer.started(Path("runs/x"))
    assert observer.folder == Path("runs/x")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")


def test_where_there_is_no_terminal_lines_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    with observing() as observer:
        observer.phase("reading")
        observer.epoch(report(1, 0.1), RECIPE)
        observer.epoch(report(2, 0.1), RECIPE)
    said = capsys.readouterr()
    assert said.out == ""
    assert [line.split()[0] for line in said.err.splitlines()] == ["reading", "epoch", "epoch"]
