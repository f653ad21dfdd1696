"""Rules about the repository itself: where things live, how large they get, what never appears."""

import ast
import importlib
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "mmgraph"

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60  # without its docstring
UNSAFE_MODULES = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
UNSAFE_CALLS = {"eval", "exec", "torch.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}
TEXT_SUFFIXES = {".py", ".md", ".toml", ".yml", ".yaml", ".cff", ".cfg", ".txt", ".sh", ""}
NOT_MODELS = {
    "__init__",
    "backbone",
    "base",
    "batch",
    "catalogue",
    "contrastive",
    "inputs",
    "latent_structure",
    "modality_blocks",
    "per_modality",
    "preferences",
    "terms",
}  # what models are made from
# Put together here, or this file would be the one that breaks the rule.
FOREIGN_WORDS = ("/" + "work/", "/" + "root/", "issue" + " #", "issue" + "s show")


def python_files(*folders: str) -> list[Path]:
    """Return the Python files of these folders of the repository, sorted."""
    found = [path for folder in folders for path in (REPOSITORY / folder).rglob("*.py")]
    return sorted(path for path in found if "__pycache__" not in path.parts)


def dotted_name(node: ast.expr) -> str:
    """Return ``"a.b.c"`` for a chain of names, ``""`` for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        start = dotted_name(node.value)
        return f"{start}.{node.attr}" if start else ""
    return ""


def imported_names(tree: ast.AST) -> Iterator[tuple[str, str, int]]:
    """Yield (local name, full name, line) of every import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                local = alias.asname or alias.name.partition(".")[0]
                full = alias.name if alias.asname else local
                yield local, full, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}", node.lineno


def unsafe_lines(source: str) -> list[str]:
    """Return what in a module could run code that a file brought along, with line numbers."""
    tree = ast.parse(source)
    names = {local: full for local, full, _ in imported_names(tree)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for module in modules:
            if module.partition(".")[0] in UNSAFE_MODULES:
                found.append(f"{node.lineno}: import {module}")
        if not isinstance(node, ast.Call):
            continue
        first, dot, rest = dotted_name(node.func).partition(".")
        call = names.get(first, first) + dot + rest
        if call in UNSAFE_CALLS:
            found.append(f"{node.lineno}: {call}")
        for keyword in node.keywords:
            refused = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            if keyword.arg == "allow_pickle" and not refused:
                found.append(f"{node.lineno}: {call} with allow_pickle")
    return found


def function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function, not counting its docstring."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def committed_files() -> list[Path]:
    """Return the files that git keeps or would keep."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        answer = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not a git checkout ({error})")
    return [
        REPOSITORY / line for line in answer.stdout.splitlines() if (REPOSITORY / line).exists()
    ]


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import torch\ntorch.load('x')",
        "import torch as t\nt.load('x')",
        "from torch import load\nload('x')",
        "eval('1')",
        "exec('1')",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import numpy as np\nnp.load('x', allow_pickle=flag)",
        "import yaml\nyaml.load('x')",
    ],
)
def test_the_scan_sees_unsafe_calls(source: str) -> None:
    assert unsafe_lines(source)


def test_the_scan_lets_safe_calls_pass() -> None:
    source = (
        "import yaml, numpy as np, json\nmodel.eval()\nyaml.safe_load('x')\njson.load(f)\n"
        "np.load('x')\nnp.load('x', allow_pickle=False)\nmodel.load('x')\n"
    )
    assert unsafe_lines(source) == []


def test_nothing_we_read_can_run_code() -> None:
    found = {
        str(path.relative_to(REPOSITORY)): lines
        for path in python_files("mmgraph", "benchmarks")
        if (lines := unsafe_lines(path.read_text(encoding="utf-8")))
    }
    assert found == {}


def test_files_stay_short() -> None:
    lengths = {
        str(path.relative_to(REPOSITORY)): len(path.read_text(encoding="utf-8").splitlines())
        for path in python_files("mmgraph", "benchmarks", "tests")
    }
    assert {path: n for path, n in lengths.items() if n > MAX_FILE_LINES} == {}


def test_functions_stay_short() -> None:
    long = {}
    for path in python_files("mmgraph", "benchmarks"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = function_lines(node)
                if lines > MAX_FUNCTION_LINES:
                    long[f"{path.relative_to(REPOSITORY)}:{node.name}"] = lines
    assert long == {}


def test_docstrings_do_not_count_as_function_lines() -> None:
    node = ast.parse('def f():\n    """One.\n\n    Two.\n    """\n    return 1\n').body[0]
    assert isinstance(node, ast.FunctionDef)
    assert function_lines(node) == 2


def test_every_module_has_its_test() -> None:
    missing = []
    for path in python_files("mmgraph"):
        inside = path.relative_to(PACKAGE)
        if path.name.startswith("__") or inside.parts[0] == "testing":
            continue
        test = REPOSITORY / "tests" / inside.parent / f"test_{path.name}"
        if not test.is_file():
            missing.append(str(test.relative_to(REPOSITORY)))
    assert not missing, "\n".join(missing)


def test_the_table_of_models_equals_the_files() -> None:
    models = importlib.import_module("mmgraph.models").MODELS
    files = {path.stem for path in (PACKAGE / "models").glob("*.py")} - NOT_MODELS
    assert set(models) == files
    assert list(models) == sorted(models)
    for name, place in models.items():
        module, _, class_name = place.partition(":")
        assert module == f"mmgraph.models.{name}"
        assert isinstance(getattr(importlib.import_module(module), class_name), type)


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    vague = []
    for path in python_files("mmgraph", "benchmarks", "tests"):
        parts = [part.removeprefix("test_") for part in path.relative_to(REPOSITORY).parts]
        if VAGUE_NAMES & {part.removesuffix(".py") for part in parts}:
            vague.append(str(path))
    assert vague == []


def public_names(tree: ast.Module) -> list[str]:
    """Return the literal strings in the ``__all__`` of a module."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets):
            assert isinstance(node, ast.Assign)
            values = [n.value for n in ast.walk(node.value) if isinstance(n, ast.Constant)]
            return [value for value in values if isinstance(value, str)]
    return []


def test_public_names_exist_and_are_documented() -> None:
    wrong = []
    for path in python_files("mmgraph"):
        names = public_names(ast.parse(path.read_text(encoding="utf-8")))
        dotted = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        module = importlib.import_module(dotted.removesuffix(".__init__")) if names else None
        for name in names:
            value = getattr(module, name, None)
            if value is None:
                wrong.append(f"{dotted}.{name} does not exist")
            elif isinstance(value, type | FunctionType) and not (value.__doc__ or "").strip():
                wrong.append(f"{dotted}.{name} has no docstring")
    assert not wrong, "\n".join(wrong)


def test_modules_do_not_import_the_top_module() -> None:
    """The top module points at everything; a name taken from it goes round the layers."""
    found = []
    for path in python_files("mmgraph"):
        if path == PACKAGE / "__init__.py" or path.is_relative_to(PACKAGE / "cli"):
            continue
        for _, full, line in imported_names(ast.parse(path.read_text(encoding="utf-8"))):
            head, _, name = full.rpartition(".")
            if full == "mmgraph" or (head == "mmgraph" and not is_module(name)):
                found.append(f"{path.relative_to(REPOSITORY)}:{line} {full}")
    assert [line for line in found if not line.endswith("mmgraph.__version__")] == []


def is_module(name: str) -> bool:
    """Return whether the package has a module or folder of this name."""
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def test_conda_names_the_same_runtime_packages_as_pyproject() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {
        re.split(r"[<>=!~ \[]", line)[0]
        for line in [*project["dependencies"], *project["optional-dependencies"]["sparse"]]
    }
    text = (REPOSITORY / "environment.yml").read_text(encoding="utf-8")
    conda = set(re.findall(r"^  - ([A-Za-z0-9_-]+)", text, flags=re.MULTILINE))
    named = {
        name if not name.startswith("pytorch") else "torch" + name[7:].replace("_", "-")
        for name in conda - {"conda-forge", "pip", "pytest", "python"}
    }
    assert named == wanted


def test_no_machine_and_no_workplace_is_named() -> None:
    found = []
    for path in committed_files():
        if path.suffix not in TEXT_SUFFIXES or path.is_symlink() or not path.is_file():
            continue
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), start=1):
            if any(word in line.lower() for word in FOREIGN_WORDS):
                found.append(f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()[:80]}")
    assert found == []


def test_version_stands_in_one_place() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "version" in project["dynamic"]
    text = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    assert re.findall(r'^__version__ = "(\d+\.\d+\.\d+)"$', text, flags=re.MULTILINE)
    assert (
        "version:"
        not in (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8").split("\n", 1)[1]
    )
