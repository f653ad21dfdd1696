"""How commands speak, and the command line as a whole: help, version, exit codes."""

import errno
import io
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import typer
from rich.console import Console

from mmgraph.cli import app, main
from mmgraph.cli.console import format_cell, print_json, print_table, results, run_app
from mmgraph.errors import ConfigError, DataError, FitError, MissingDependency

COMMANDS = [
    ["data", "list"],
    ["data", "describe"],
    ["graph", "build"],
    ["graph", "inspect"],
    ["train"],
    ["evaluate"],
    ["recommend"],
    ["demo"],
    ["doctor"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_an_example_and_json(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--help"]) == 0
    said = capsys.readouterr()
    assert "--json" in said.out
    assert f"Example: mmgraph {' '.join(words)}" in said.out
    assert said.err == ""


def test_help_loads_neither_torch_nor_numpy() -> None:
    program = (
        "import sys; from mmgraph.cli import main; main(['--help']); "
        "print([m for m in ('torch', 'numpy', 'polars', 'pydantic', 'faiss') if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout.splitlines()[-1] == "[]"
    assert "demo" in answer.stdout


def test_version_and_bare_call(capsys: pytest.CaptureFixture[str]) -> None:
    from mmgraph import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mmgraph {__version__}\n"
    assert main([]) == 0
    assert "Usage" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["trian"], "no such command 'trian'"),
        (["data"], "missing command"),
        (["data", "describe"], "missing argument"),
        (["graph", "build", "--dataset", "x"], "'--out'"),
        (["train", "lightgcn", "--seed", "x"], "'--seed'"),
        (["train"], "a recipe or model is needed"),
        (["train", "lightgcn", "--threads", "0"], "--threads must be at least 1 (got 0)"),
        (["train", "lightgcn", "--threads", "10000"], "--threads must be at most 1024 (got 10000)"),
        (["doctor", "--bogus"], "--bogus"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_usage_is_one_line_and_exit_code_2(
    words: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert part in said.err


def raising(error: BaseException) -> typer.Typer:
    application = typer.Typer()

    @application.command()
    def fail() -> None:
        raise error

    return application


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("two\nlines"), 2),
        (DataError("two\nlines"), 2),
        (MissingDependency("two\nlines"), 2),
        (FitError("two\nlines"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_our_errors_become_one_line(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(raising(error), []) == code
    assert capsys.readouterr().err == "error: two lines\n"


def test_letters_that_the_terminal_lacks_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    application = typer.Typer()

    @application.command()
    def show() -> None:
        results().print("Amélie")

    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    assert run_app(application, []) == 0
    stream.flush()
    assert buffer.getvalue() == b"Am?lie\n"


@pytest.mark.parametrize("group", ["data", "graph", "analyze"])
def test_every_group_has_an_example(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([group, "--help"]) == 0
    assert f"Example: mmgraph {group} " in capsys.readouterr().out


def _allocate(make: Callable[[int], object]) -> Exception:
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        make(10**15)
    return caught.value


@pytest.mark.parametrize(
    "make", [torch.empty, np.empty, bytearray], ids=["torch", "numpy", "python"]
)
def test_too_little_memory_is_a_failure_in_one_line(
    make: Callable[[int], object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(raising(_allocate(make)), []) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: there is not enough memory (")
    assert said.count("\n") == 1
    assert "lower model.embedding_dim" in said


def test_other_runtime_errors_stay_defects() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        run_app(raising(RuntimeError("shapes do not match")), [])


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "/x"),
            2,
            "/x: Permission denied; choose another place",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "/x"),
            2,
            "/x: Read-only file system; choose another place",
        ),
        (
            OSError(errno.ENAMETOOLONG, "File name too long", "/x"),
            2,
            "/x: File name too long; choose another place",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "/x"),
            1,
            "/x: No space left on device; make room there and try again",
        ),
        (
            OSError(errno.EIO, "Input/output error"),
            1,
            "Input/output error; see to it and try again",
        ),
        (OSError("two\nlines"), 1, "two lines; see to it and try again"),
    ],
    ids=["mode", "file system", "name", "full", "broken", "words alone"],
)
def test_what_the_system_refuses_is_one_line_and_bad_input_where_the_place_is_at_fault(
    error: OSError, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(raising(error), []) == code
    assert capsys.readouterr().err == f"error: {line}\n"


def test_defects_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_app(raising(ZeroDivisionError()), [])


def test_interruption_is_130() -> None:
    assert run_app(raising(KeyboardInterrupt()), []) == 130


def test_tables_show_markup_as_it_is() -> None:
    stream = io.StringIO()
    title = "[red]Title[/red] of [/oops]"
    print_table(Console(file=stream, width=80), title, ["[b]name", "n"], [["[bold]x[/bold]", 1234]])
    lines = stream.getvalue().splitlines()
    assert lines[0] == title
    assert lines[1].split() == ["[b]name", "n"]
    assert lines[3].split() == ["[bold]x[/bold]", "1,234"]


def test_numbers_in_cells() -> None:
    values = (None, False, 12, 0.5, "[x]")
    assert [format_cell(v) for v in values] == ["-", "no", "12", "0.5000", "[x]"]


def test_json_is_one_line_in_any_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    value: dict[str, Any] = {"title": "Amélie 電影"}
    for encoding in ("utf-8", "ascii"):
        buffer = io.BytesIO()
        stream = io.TextIOWrapper(buffer, encoding=encoding)
        monkeypatch.setattr(sys, "stdout", stream)
        print_json(value)
        stream.flush()
        text = buffer.getvalue().decode(encoding)
        assert text.count("\n") == 1
        assert json.loads(text) == value


def test_the_application_is_public() -> None:
    assert isinstance(app, typer.Typer)
