"""What is shown while a study runs."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from mmgraph.cli.study_progress import StudyBars, StudyLines, observing_study
from mmgraph.study import Event, StudyObserver, Trial

A, B = (Trial(f"[{name}]", 7, {}, Path(name)) for name in ("a", "b"))


def test_lines_tell_what_ends_and_now_and_then_where_a_long_run_is() -> None:
    stream, now = io.StringIO(), [0.0]
    lines = StudyLines(Console(file=stream, width=200), clock=lambda: now[0])
    lines.begins(5, 2)
    for trial in (A, B):
        lines.told(trial, Event("started"))
        lines.told(trial, Event("note", "the data leak"))
        lines.told(trial, Event("phase", "building"))
    for epoch in range(1, 8):
        now[0] += 10
        lines.told(A, Event("epoch", "best 0.5 at 1", epoch=epoch, limit=9))
    lines.told(A, Event("done", "9 epochs"))
    lines.told(B, Event("failed", "no memory", details="Traceback\n  here"))
    assert stream.getvalue().splitlines() == [
        "5 runs, 2 of them complete",
        "Note: the data leak",
        "  [a], seed 7: epoch 3/9, best 0.5 at 1",
        "  [a], seed 7: epoch 6/9, best 0.5 at 1",
        "  3/5  [a], seed 7: 9 epochs",
        "  4/5  [b], seed 7: failed: no memory",
        "Traceback",
        "  here",
    ]


def test_bars_stand_for_the_study_and_its_present_runs() -> None:
    stream = io.StringIO()
    bars = StudyBars(Console(file=stream, force_terminal=True, width=160, color_system=None))
    bars.bars.disable = True  # no thread: only the state is looked at
    bars.begins(3, 1)
    for trial in (A, B):
        bars.told(trial, Event("started"))
    bars.told(A, Event("phase", "building [x]"))
    assert [task.fields["note"] for task in bars.bars.tasks] == ["", "building \\[x]", ""]
    bars.told(B, Event("epoch", "best 0.5 at 2", epoch=3, limit=9))
    study, a, b = bars.bars.tasks
    assert (study.completed, study.total, a.total) == (1, 3, None)
    assert (b.completed, b.total, b.fields["note"]) == (3, 9, "best 0.5 at 2")
    bars.told(A, Event("done", "9 epochs"))
    assert [task.completed for task in bars.bars.tasks] == [2, 3]
    assert "2/3  [a], seed 7: 9 epochs" in stream.getvalue()


def test_what_is_shown_fits_where_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with observing_study(quiet=True) as observer:
        assert type(observer) is StudyObserver
    with observing_study() as observer:
        assert type(observer) is StudyLines
    terminal = Console(file=io.StringIO(), force_terminal=True)
    monkeypatch.setattr("mmgraph.cli.study_progress.messages", lambda: terminal)
    with observing_study() as observer:
        assert type(observer) is StudyBars
