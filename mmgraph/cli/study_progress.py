"""What a study shows while it runs: a bar for the whole and one for each present run, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from mmgraph.cli.console import messages
from mmgraph.study import Event, StudyObserver, Trial

_SECONDS_BETWEEN_LINES = 30.0


class StudyLines(StudyObserver):
    """A line for each run that begins, ends or fails, and one about a long run now and then."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.console, self.clock = console, clock
        self.ended, self.total = 0, 0
        self.notes: set[str] = set()
        self.shown_at = float("-inf")

    def begins(self, total: int, complete: int) -> None:
        """Say how much there is to do."""
        self.total, self.ended = total, complete
        done = f", {complete} of them complete" if complete else ""
        self.show(f"{total} run{'s' if total > 1 else ''}{done}")

    def told(self, trial: Trial, event: Event) -> None:
        """Show an event, if it is due."""
        if event.kind == "note" and event.text not in self.notes:
            self.notes.add(event.text)
            self.show(f"Note: {event.text}")
        elif event.kind == "started":
            self.started(trial)
        elif event.kind in ("phase", "epoch"):
            self.progress(trial, event)
        elif event.kind in ("done", "failed"):
            self.ended += 1
            mark = "failed: " if event.kind == "failed" else ""
            self.show(f"  {self.ended}/{self.total}  {trial.name}: {mark}{event.text}")
            if event.details:
                self.show(event.details)
            self.finished(trial)

    def show(self, text: str) -> None:
        """Print a line."""
        self.console.print(text, markup=False, soft_wrap=True)

    def started(self, trial: Trial) -> None:
        """A run begins."""
        self.shown_at = self.clock()

    def progress(self, trial: Trial, event: Event) -> None:
        """A run is at this epoch or in this phase."""
        if event.kind == "epoch" and self.clock() - self.shown_at >= _SECONDS_BETWEEN_LINES:
            self.show(f"  {trial.name}: {epoch_text(event)}")
            self.shown_at = self.clock()

    def finished(self, trial: Trial) -> None:
        """A run has ended."""


class StudyBars(StudyLines):
    """A bar for the study and a line that changes in place for each present run; what has ended stays above."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self.tasks: dict[str, TaskID] = {}

    def begins(self, total: int, complete: int) -> None:
        """Show the bar of the study."""
        self.total, self.ended = total, complete
        self.tasks[""] = self.bars.add_task("runs", total=total, completed=complete, note="")

    def show(self, text: str) -> None:
        """Print a line above the bars."""
        self.bars.console.print(text, markup=False, soft_wrap=True)

    def started(self, trial: Trial) -> None:
        """Add the line of a run."""
        name = escape(trial.name)
        self.tasks[trial.name] = self.bars.add_task(f"  {name}", total=None, note="")

    def progress(self, trial: Trial, event: Event) -> None:
        """Change the line of a run."""
        task = self.tasks[trial.name]
        if event.kind == "phase":
            self.bars.update(task, note=escape(event.text))
        else:
            self.bars.update(
                task, total=event.limit, completed=event.epoch, note=escape(event.text)
            )

    def finished(self, trial: Trial) -> None:
        """Take the line of a run away."""
        self.bars.remove_task(self.tasks.pop(trial.name))
        self.bars.update(self.tasks[""], completed=self.ended)


def epoch_text(event: Event) -> str:
    """Return where a run is.

    Example:
        >>> epoch_text(Event("epoch", "best recall@20 0.2500 at 8", epoch=9, limit=100))
        'epoch 9/100, best recall@20 0.2500 at 8'
    """
    return ", ".join([f"epoch {event.epoch}/{event.limit}", *([event.text] if event.text else [])])


@contextmanager
def observing_study(*, quiet: bool = False) -> Iterator[StudyObserver]:
    """Give an observer that fits standard error: bars on a terminal, lines elsewhere, or silence."""
    console = messages()
    if quiet:
        yield StudyObserver()
    elif console.is_terminal:
        bars = StudyBars(console)
        with bars.bars:
            yield bars
    else:
        yield StudyLines(console)
