"""The documentation says what is true: its Python runs, its commands parse, its links lead somewhere.

The Python of one page runs in order in one folder and one namespace. A fenced block whose first line is
``# a/path.ext`` is a file of that name instead. A ``text`` block right after Python is its output; an ``output``
block is too, but of training, whose last digits differ between machines, and is not compared.
"""

import contextlib
import importlib
import io
import json
import math
import re
import shlex
import sys
import tomllib
import types
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import mmgraph
from mmgraph.cli import app
from mmgraph.models import get_model
from mmgraph.models.base import EmbeddingConfig

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", *sorted(DOCS.rglob("*.md"))]
PAGES = [page for page in PAGES if "_build" not in page.parts]

_FENCE = re.compile(r"^```([\w-]*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"# ([\w./-]+\.(?:toml|py))\n")
_NUMBER = re.compile(r"(?<![\w.])-?\d+\.\d+(?:e-?\d+)?")
_LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)")

_ROW_KEYS = ("name", "embedding_dim", "reg_kind", "init")  # those of all models with rows
_SHARED_KEYS = ("name", "embedding_dim", "reg_kind")  # in the tables that the models share
# Tables of keys that a reader may trust: page, class, keys whose default is said in words.
KEY_TABLES = [
    ("guide/data.md", "mmgraph.data:SplitConfig", ()),
    ("guide/graph.md", "mmgraph.graph:GraphConfig", ()),
    ("guide/training.md", "mmgraph.training:TrainingConfig", ()),
    ("guide/evaluation.md", "mmgraph.evaluation:EvaluationConfig", ()),
    ("howto/unlearn.md", "mmgraph.unlearning:UnlearningConfig", ()),
    ("guide/models.md", "mmgraph.models.bpr_mf:BPRMFConfig", _SHARED_KEYS),
    ("guide/models.md", "mmgraph.models.cb:CBConfig", ("name", "shares")),
    ("guide/models.md", "mmgraph.models.dragon:DRAGONConfig", ("name", "shares")),
    ("guide/models.md", "mmgraph.models.freedom:FREEDOMConfig", (*_SHARED_KEYS, "shares")),
    ("guide/models.md", "mmgraph.models.lattice:LATTICEConfig", _SHARED_KEYS),
    ("guide/models.md", "mmgraph.models.lightgcn:LightGCNConfig", _SHARED_KEYS),
    ("guide/models.md", "mmgraph.models.ngcf:NGCFConfig", _SHARED_KEYS),
    ("guide/models.md", "mmgraph.models.vbpr:VBPRConfig", _SHARED_KEYS),
    ("guide/models/mm_gef.md", "mmgraph.models.mm_gef:MMGEFConfig", ("name", "init")),
    ("guide/models/contrastive.md", "mmgraph.models.micro:MICROConfig", _ROW_KEYS),
    ("guide/models/contrastive.md", "mmgraph.models.mgcn:MGCNConfig", _ROW_KEYS),
    ("guide/models/contrastive.md", "mmgraph.models.lgmrec:LGMRecConfig", _ROW_KEYS),
    ("guide/models/contrastive.md", "mmgraph.models.slmrec:SLMRecConfig", _ROW_KEYS),
    ("guide/models/no_negatives.md", "mmgraph.models.bm3:BM3Config", ("name",)),
    ("guide/models/no_negatives.md", "mmgraph.models.cm3:CM3Config", ("name", "shares")),
    ("guide/models/no_negatives.md", "mmgraph.models.lirdrec:LIRDRecConfig", ("name", "shares")),
    ("guide/models/maml_nbpo.md", "mmgraph.models.maml:MAMLConfig", ("name",)),
    ("guide/models/maml_nbpo.md", "mmgraph.models.nbpo:NBPOConfig", ("name", "backbone")),
    ("guide/models/margo.md", "mmgraph.models.margo:MARGOConfig", ("name", "backbone")),
    ("guide/models/preference_graphs.md", "mmgraph.models.mmgcn:MMGCNConfig", ("name",)),
    ("guide/models/preference_graphs.md", "mmgraph.models.grcn:GRCNConfig", ("name",)),
    ("guide/models/preference_graphs.md", "mmgraph.models.dualgnn:DualGNNConfig", ("name",)),
    ("guide/models/mario.md", "mmgraph.models.mario:MARIOConfig", ("name", "backbone")),
]


class Block(NamedTuple):
    """A fenced block: its language and its text."""

    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    return [Block(*match.groups()) for match in _FENCE.finditer(page.read_text(encoding="utf-8"))]


def name(page: Path) -> str:
    """Return a page as a test id."""
    return str(page.relative_to(REPOSITORY))


def with_python() -> list[Path]:
    """Return the pages that hold Python."""
    return [page for page in PAGES if any(block.language == "python" for block in blocks(page))]


def same_output(said: str, printed: str) -> bool:
    """Compare words exactly and numbers with a point to about six digits."""
    pairs = list(zip(_NUMBER.findall(said), _NUMBER.findall(printed), strict=False))
    close = all(math.isclose(float(a), float(b), rel_tol=1e-5) for a, b in pairs)
    return close and _NUMBER.sub("#", said.strip()) == _NUMBER.sub("#", printed.strip())


@pytest.mark.parametrize("page", with_python(), ids=name)
def test_python_runs_and_prints_what_the_page_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for model, place in mmgraph.MODELS.items():  # a page may add one; it goes with the test
        monkeypatch.setitem(mmgraph.MODELS, model, place)
    known_models, known_modules = set(mmgraph.MODELS), set(sys.modules)
    namespace = types.ModuleType("page").__dict__
    printed: str | None = None
    try:
        for block in blocks(page):
            file = _FILE.match(block.text)
            if file:
                path = tmp_path / file.group(1)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text, encoding="utf-8")
            elif block.language == "python":
                output = io.StringIO()
                with contextlib.redirect_stdout(output):
                    exec(compile(block.text, name(page), "exec"), namespace)
                printed = output.getvalue()
                continue
            elif block.language == "text" and printed:
                assert same_output(block.text, printed), f"the page says:\n{block.text}\n{printed}"
            printed = None
    finally:
        for added in set(mmgraph.MODELS) - known_models:
            del mmgraph.MODELS[added]
        for module in set(sys.modules) - known_modules:
            if str(getattr(sys.modules[module], "__file__", "")).startswith(str(tmp_path)):
                del sys.modules[module]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Pages train for a few epochs on small data, where more threads only wait for each other."""
    torch.set_num_threads(1)


def commands() -> list[tuple[str, str]]:
    """Return (page, command) of every `mmgraph` command in a bash block; a backslash joins lines."""
    return [
        (name(page), line.strip())
        for page in PAGES
        for block in blocks(page)
        if block.language in ("bash", "sh", "console")
        for line in block.text.replace("\\\n", " ").splitlines()
        if line.strip().removeprefix("$ ").startswith("mmgraph ")
    ]


def parse(line: str) -> None:
    """Parse a command to its last option without running it; raise what typer raises for a wrong one."""
    words = shlex.split(line.removeprefix("$ "), comments=True)[1:]
    command = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    is_group = hasattr(command, "commands")
    assert not is_group or not words or words[0].startswith("-"), f"no such command: {line}"
    command.make_context(line, words)


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_parse(page: str, line: str) -> None:
    parse(line)


@pytest.mark.parametrize(
    "line",
    [
        "mmgraph trian lightgcn",
        "mmgraph graph look DIR",
        "mmgraph train lightgcn --max-epochs 3",
        "mmgraph recommend RUN -k ten --user 1",
        "mmgraph recommend RUN",
    ],
)
def test_a_wrong_command_does_not_parse(line: str) -> None:
    with pytest.raises((typer.BadParameter.__mro__[2], typer.Exit, AssertionError)):
        parse(line)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_files(page: Path) -> None:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    missing = []
    for target in _LINK.findall(text):
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            continue
        if not (page.parent / target.partition("#")[0]).exists():
            missing.append(target)
    assert missing == []


def test_every_page_is_in_one_toctree() -> None:
    listed: list[Path] = []
    for page in DOCS.rglob("*.md"):
        for tree in re.findall(r"^```\{toctree\}\n(.*?)^```$", page.read_text(), re.DOTALL | re.M):
            entries = [line for line in tree.splitlines() if line and not line.startswith(":")]
            listed += [(page.parent / f"{entry}.md").resolve() for entry in entries]
    pages = {
        page.resolve()
        for page in DOCS.rglob("*.md")
        if "_build" not in page.parts and "\norphan: true\n" not in page.read_text()
    }
    assert sorted(listed) == sorted(pages - {(DOCS / "index.md").resolve()})


def test_every_package_has_a_reference_page() -> None:
    reference = "".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    packages = [path.parent.name for path in (REPOSITORY / "mmgraph").glob("*/__init__.py")]
    missing = [p for p in packages if f"automodule:: mmgraph.{p}\n" not in reference]
    assert set(missing) <= {"cli"}


@pytest.mark.parametrize(("page", "place", "in_words"), KEY_TABLES)
def test_tables_name_every_key_and_its_default(
    page: str, place: str, in_words: tuple[str, ...]
) -> None:
    module, _, class_name = place.partition(":")
    model: type[BaseModel] = getattr(importlib.import_module(module), class_name)
    text = (DOCS / page).read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", text, re.MULTILINE))
    for key, field in model.model_fields.items():
        if key in in_words:
            continue
        assert field.default is not PydanticUndefined
        default = "none" if field.default is None else json.dumps(field.default)
        assert (key, default) in rows, f"{page}: no row | `{key}` | `{default}` |"


def test_the_guide_has_the_shared_defaults_of_every_model() -> None:
    keys = ("reg_weight", "reg_kind", "reg_rows", "init")
    expected = {}
    for model in mmgraph.MODELS:
        fields = get_model(model).Config.model_fields
        if issubclass(get_model(model).Config, EmbeddingConfig):
            assert fields["embedding_dim"].default == 64
            expected[model] = tuple(json.dumps(fields[key].default) for key in keys)
    text = (DOCS / "guide/models.md").read_text(encoding="utf-8")
    row = re.compile(r"^\| `(\w+)` \|" + r" `([^`]+)` \|" * len(keys) + "$", re.MULTILINE)
    assert {name: tuple(cells) for name, *cells in row.findall(text)} == expected


def test_every_module_of_the_models_has_a_reference_section() -> None:
    text = (DOCS / "reference/models.md").read_text(encoding="utf-8")
    modules = [path.stem for path in (REPOSITORY / "mmgraph/models").glob("[!_]*.py")]
    missing = [m for m in modules if f"automodule:: mmgraph.models.{m}\n" not in text]
    assert missing == []


def test_the_reference_lists_the_keys_of_every_model(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sphinx", reason="needs the extra docs")
    monkeypatch.syspath_prepend(str(DOCS / "_extensions"))
    extension = importlib.import_module("config_keys")
    page = (DOCS / "reference/config.md").read_text(encoding="utf-8")
    assert "```{model-keys}\n" in page
    listed = [extension.model_section(model) for model in mmgraph.MODELS]
    assert [str(section["names"][0]) for section in listed] == [
        f"model-{m}" for m in mmgraph.MODELS
    ]
    for model, section in zip(mmgraph.MODELS, listed, strict=True):
        missing = [
            key
            for key in get_model(model).Config.model_fields
            if f"model.{key}" not in section.astext()
        ]
        assert missing == [], model


def test_the_design_page_has_the_layers_that_are_checked() -> None:
    tools = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    contract = tools["importlinter"]["contracts"][0]
    layers = [re.findall(r"\w+", layer) for layer in contract["layers"]]
    package = REPOSITORY / "mmgraph"
    there = [
        [part for part in layer if (package / part).is_dir() or (package / f"{part}.py").is_file()]
        for layer in layers
    ]
    drawn = next(block for block in blocks(DOCS / "design/index.md") if block.language == "text")
    assert [re.findall(r"\w+", line) for line in drawn.text.splitlines()] == there
