"""How every command speaks: results, messages, tables, one JSON object, one line for each error."""

import errno
import io
import json
import os
import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mmgraph.errors import ConfigError, FitError, MmgraphError

JsonFlag = Annotated[
    bool, typer.Option("--json", help="Print exactly one JSON object on standard output.")
]

QuietFlag = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

_PLAIN_WIDTH = 110

# Far more than any machine has cores for; with many thousands torch ends the process without a word.
_MOST_THREADS = 1024

# What the system answers where the place is at fault, beside what Python has an exception of its own for.
_OTHER_PLACE = (errno.EROFS, errno.ENAMETOOLONG)

_LESS_MEMORY = (
    "lower model.embedding_dim, training.batch_size or evaluation.block_size, "
    "or leave out a modality with data.modalities"
)

# What typer raises for wrong options and arguments; its name has moved between versions, its place has not.
_UsageError: type[Exception] = typer.BadParameter.__mro__[2]


def results() -> Console:
    """Return the console for results, on standard output."""
    return _console(stderr=False)


def messages() -> Console:
    """Return the console for everything else, on standard error."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    # Files and pipes have no width; rich would cut tables at 80 columns.
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PLAIN_WIDTH
    return console


def say(text: str) -> None:
    """Print a line for the reader on standard error; markup in it is shown as it is."""
    messages().print(text, markup=False, soft_wrap=True)


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on one line of standard output."""
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(value, ensure_ascii=not utf8, allow_nan=False))


def print_table(
    console: Console,
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    left: int = 1,
) -> None:
    """Print a title, a table under it and an empty line; the first ``left`` columns are text, the others numbers.

    The first column is never broken. Names and titles may hold what rich takes for markup; every cell is escaped.
    None is shown as ``-``.
    """
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(
            escape(column),
            justify="left" if place < left else "right",
            overflow="fold",
            no_wrap=place == 0 or place >= left,
        )
    for row in rows:
        table.add_row(*(escape(format_cell(cell)) for cell in row))
    console.print(Text(title, style="bold"), soft_wrap=True)
    console.print(table)
    console.print()


def format_cell(value: object) -> str:
    """Return a value as a table shows it.

    Example:
        >>> [format_cell(value) for value in (None, True, 1234567, 0.12345, "x")]
        ['-', 'yes', '1,234,567', '0.1235', 'x']
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}"
    return str(value)


def format_seconds(seconds: float) -> str:
    """Return a duration for people.

    Example:
        >>> [format_seconds(s) for s in (0.0123, 2.5, 59.97, 75, 7260)]
        ['0.01 s', '2.5 s', '1 min 0 s', '1 min 15 s', '2 h 1 min']
    """
    # Rounded before it is compared, or there would be 60.0 s.
    if round(seconds, 2) < 1:
        return f"{seconds:.2f} s"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds) // 60
    if minutes < 60:
        return f"{minutes} min {round(seconds) % 60} s"
    return f"{minutes // 60} h {minutes % 60} min"


def command_line(*words: object) -> str:
    """Return a command that can be pasted into a shell.

    Example:
        >>> command_line("mmgraph", "evaluate", "my runs/first")
        "mmgraph evaluate 'my runs/first'"
    """
    return shlex.join(str(word) for word in words)


def print_next(console: Console, commands: Sequence[str]) -> None:
    """Show what to type next."""
    console.print("Next:", style="bold")
    for command in commands:
        console.print(f"  {command}", markup=False, soft_wrap=True)


def check_threads(threads: int | None) -> None:
    """Refuse a number of threads below one or beyond any use, before anything is loaded.

    Raises:
        ConfigError: the number is too small or too large.
    """
    if threads is not None and threads < 1:
        raise ConfigError(
            f"--threads must be at least 1 (got {threads}); leave it out for all cores"
        )
    if threads is not None and threads > _MOST_THREADS:
        raise ConfigError(
            f"--threads must be at most {_MOST_THREADS} (got {threads}); leave it out for all cores"
        )


def run_app(app: typer.Typer, arguments: Sequence[str] | None = None) -> int:
    """Run an application and turn what it raises into a line on standard error and an exit code.

    Errors made on purpose become one line without a traceback; anything else is a defect and shows one.

    Args:
        app: The application.
        arguments: Words of the command line; by default those of this process.

    Returns:
        The exit code.
    """
    # A terminal that lacks a letter of a title shows another sign for it.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        code = app(
            args=None if arguments is None else list(arguments),
            prog_name="mmgraph",
            standalone_mode=False,
        )
    except FitError as error:
        return report_error(error, FAILED)
    except MmgraphError as error:
        return report_error(error, BAD_INPUT)
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has seen enough. Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError) as error:
        return report_error(f"{_told(error)}; choose another place", BAD_INPUT)
    except OSError as error:
        if error.errno in _OTHER_PLACE:
            return report_error(f"{_told(error)}; choose another place", BAD_INPUT)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "make room there" if full else "see to it"
        return report_error(f"{_told(error)}; {remedy} and try again", FAILED)
    except (MemoryError, RuntimeError) as error:
        if not _is_lack_of_memory(error):
            raise
        return report_error(f"there is not enough memory ({_allocation(error)}); {_LESS_MEMORY}")
    except typer.Abort:
        return INTERRUPTED
    except _UsageError as error:
        return _report_usage(error)
    return code if isinstance(code, int) else DONE


def _is_lack_of_memory(error: Exception) -> bool:
    # Torch has a class of its own for devices alone.
    text = str(error)
    return isinstance(error, MemoryError) or "allocate memory" in text or "out of memory" in text


def _allocation(error: Exception) -> str:
    """Return which allocation failed, if the error tells."""
    found = re.search(r"allocate [\d.]+ ?\w+", str(error))
    return f"could not {found[0]}" if found else "an allocation failed"


def _told(error: OSError) -> str:
    """Return what the system said, and of which file."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def report_error(error: object, code: int = FAILED) -> int:
    """Print an error as one line on standard error and return the exit code."""
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return code


def _report_usage(error: Any) -> int:
    message = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    place = context.command_path if context is not None else "mmgraph"
    return report_error(f"{message[:1].lower()}{message[1:]}; see `{place} --help`", BAD_INPUT)
