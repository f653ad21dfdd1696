"""What a command shows while an experiment runs: bars that stay in place on a terminal, plain lines elsewhere.

Apart from ``console`` because it needs the experiment, and with it torch, which ``mmgraph --help`` does not.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from mmgraph.cli.console import messages
from mmgraph.config import Recipe
from mmgraph.experiment import Observer
from mmgraph.training import EpochReport, MemoryReport

_SECONDS_BETWEEN_LINES = 2.0


class EpochLine:
    """One line about the present epoch; remembers the best one and how long ago it was.

    Epochs before a resume are not known here, so nothing is said about the best until there is a new one.
    """

    def __init__(self) -> None:
        self.stage: str | None = None
        self.best: tuple[float, int] | None = None
        self.waited = 0

    def update(self, report: EpochReport, recipe: Recipe) -> str:
        """Take in an epoch and return the line about it."""
        if report.stage != self.stage:
            self.stage, self.best, self.waited = report.stage, None, 0
        parts = [f"{name} {value:.4f}" for name, value in list(report.losses.items())[:1]]
        if report.valid is not None:
            metric = recipe.evaluation.select_by
            value = report.valid[metric]
            self.best, self.waited = (
                ((value, report.epoch), 0) if report.is_best else (self.best, self.waited + 1)
            )
            parts.append(f"valid {metric} {value:.4f}")
        if self.best is not None:
            parts.append(f"best {self.best[0]:.4f} at {self.best[1]}")
            parts.append(f"patience {self.waited}/{recipe.training.patience}")
        return "  ".join(parts)


class RunObserver(Observer):
    """Remembers the run folder, so that an interrupted command can say how to go on."""

    def __init__(self) -> None:
        self.folder: Path | None = None

    def started(self, folder: Path) -> None:
        """Be told where the run is."""
        self.folder = folder


class PlainObserver(RunObserver):
    """Plain lines: every phase, and at most one epoch every two seconds, the last one always."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.console, self.clock = console, clock
        self.line = EpochLine()
        self.pending: str | None = None
        self.shown_at = float("-inf")

    def phase(self, text: str) -> None:
        """Show what begins."""
        self.finish()
        self._print(text)

    def note(self, text: str) -> None:
        """Show what a reader of the results should know."""
        self._print(f"Note: {text}")

    def memory(self, report: MemoryReport) -> None:
        """Show what training will need."""
        self._print(f"memory {report}")

    def epoch(self, report: EpochReport, recipe: Recipe) -> None:
        """Show an epoch, or keep it until it is due."""
        text = self.line.update(report, recipe)
        self.pending = f"epoch {report.epoch}  {text}  {report.epoch_s:.2f} s"
        if self.clock() - self.shown_at >= _SECONDS_BETWEEN_LINES:
            self.finish()

    def finish(self) -> None:
        """Show what was kept."""
        if self.pending is not None:
            self._print(f"  {self.pending}")
            self.shown_at = self.clock()
        self.pending = None

    def _print(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)


class _KnownBar(ProgressColumn):
    """A bar for phases of known length, nothing for the others."""

    def __init__(self) -> None:
        super().__init__()
        self.bar = BarColumn(bar_width=24)

    def render(self, task: Task) -> RenderableType:
        return self.bar.render(task) if task.fields["bar"] else Text("")


class TerminalObserver(RunObserver):
    """One line a phase that changes in place, with a bar where the length is known."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.bars = Progress(
            SpinnerColumn(finished_text="[green]·[/green]"),
            TextColumn("{task.description}"),
            _KnownBar(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self.line = EpochLine()
        self.task: TaskID | None = None

    def phase(self, text: str) -> None:
        """End the line before and begin one."""
        self.finish()
        self.task = self.bars.add_task(escape(text), total=None, note="", bar=False)

    def note(self, text: str) -> None:
        """Show what a reader of the results should know, above the bars."""
        self.bars.console.print(f"Note: {text}", markup=False)

    def memory(self, report: MemoryReport) -> None:
        """Show what training will need, above the bars."""
        self.bars.console.print(f"memory {report}", markup=False)

    def progress(self, done: int, total: int) -> None:
        """Move the bar."""
        if self.task is not None:
            self.bars.update(self.task, completed=done, total=total, bar=True)

    def epoch(self, report: EpochReport, recipe: Recipe) -> None:
        """Move the bar and show the figures of the epoch beside it."""
        if self.task is None:
            self.phase("training")
        assert self.task is not None
        note = f"epoch {report.epoch}/{report.limit}  {self.line.update(report, recipe)}"
        self.bars.update(
            self.task, completed=report.epoch, total=report.limit, note=escape(note), bar=True
        )

    def finish(self) -> None:
        """Mark the line as done, also where training stopped before its limit."""
        if self.task is not None:
            total = self.bars.tasks[self.bars.task_ids.index(self.task)].completed or 1
            self.bars.update(self.task, total=total, completed=total)
        self.task = None


@contextmanager
def observing(*, quiet: bool = False) -> Iterator[RunObserver]:
    """Give an observer that fits standard error: bars on a terminal, lines elsewhere, or silence."""
    console = messages()
    if quiet:
        yield RunObserver()
    elif console.is_terminal:
        bars = TerminalObserver(console)
        with bars.bars:
            yield bars
            bars.finish()
    else:
        lines = PlainObserver(console)
        try:
            yield lines
        finally:
            lines.finish()
