"""The folder of one run: what is in it, in which format, and how it is read back without running any code."""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import chain, count
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from mmgraph.errors import ConfigError
from mmgraph.files import locked, new_folder, sha256_of, write_file

FORMAT_VERSION = 1

RECIPE = "recipe.toml"
RUN = "run.json"
VOCABULARY = "vocabulary.json"
ENVIRONMENT = "environment.json"
SPLIT = "split"
WEIGHTS = "model.safetensors"
EMBEDDINGS = "embeddings.safetensors"
EPOCHS = "metrics.jsonl"
METRICS = "metrics.json"
PER_USER = "per_user.parquet"
TIMINGS = "timings.json"
CHECKPOINTS = "checkpoints"
LOCK = ".lock"
"""There while a process trains the run, and after one was killed; its name keeps it out of the sealed files."""


class RunFolder:
    """Reads and writes the files of a run; every file appears whole or not at all.

    - ``recipe.toml``: the resolved recipe; ``run.json``: format version, hashes, completeness;
    - ``vocabulary.json``: external ids and titles; ``split/``: the interactions of each part;
    - ``environment.json``: versions; ``metrics.jsonl``: one line per epoch;
    - ``model.safetensors``: the best weights; ``embeddings.safetensors``: final vectors, if the score is
      their inner product;
    - ``metrics.json``: validation and test; ``per_user.parquet``: test metrics per user; ``timings.json``.

    Args:
        path: The folder; not touched until something is written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __truediv__(self, name: str) -> Path:
        """Return the path of one of the files."""
        return self.path / name

    @staticmethod
    def check_free(path: Path) -> None:
        """Refuse a path that is taken, so that no run ever writes over another.

        Raises:
            ConfigError: the path is a file, or a folder that is not empty.
        """
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ConfigError(
                f"{path}: a run needs a new or empty folder (this one has files); "
                "choose another --out, or continue it with --resume"
            )

    @staticmethod
    def next_free(base: Path) -> Path:
        """Return a path that does not exist: ``base``, or else ``base-2``, ``base-3`` and so on."""
        numbered = (base.with_name(f"{base.name}-{number}") for number in count(2))
        return next(path for path in chain([base], numbered) if not path.exists())

    @classmethod
    def create(
        cls, path: str | Path, fill: Callable[["RunFolder"], None], *, numbered: bool = False
    ) -> "RunFolder":
        """Make a new run folder whose first files ``fill`` writes; it appears only when they are all there.

        A run that another process makes at the same place meanwhile is left alone.

        Args:
            path: Where.
            fill: Writes the first files; is called again for the next number.
            numbered: Take the path of :meth:`next_free`, also where another process is faster.

        Raises:
            ConfigError: the folder exists and is not empty, or cannot be written.
        """
        while True:
            place = cls.next_free(Path(path)) if numbered else Path(path)
            cls.check_free(place)
            try:
                with new_folder(place, replace=False) as fresh:
                    fill(cls(fresh))
            except OSError as error:
                if numbered and place.exists():
                    continue
                cls.check_free(place)
                raise ConfigError(
                    f"{place}: cannot be written ({error}); choose another --out"
                ) from None
            return cls(place)

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """Return an existing run folder of a format this version reads.

        Raises:
            ConfigError: it is no run folder, or one of a newer format.
        """
        folder = cls(path)
        if not (folder / RUN).is_file():
            raise ConfigError(
                f"{path}: not a run folder (it has no {RUN}); give the folder that `mmgraph train` printed"
            )
        version = folder.facts().get("format_version")
        if not isinstance(version, int) or version > FORMAT_VERSION:
            raise ConfigError(
                f"{folder / RUN}: format_version must be at most {FORMAT_VERSION} (got {version!r}); "
                "this run was made by a newer mmgraph, upgrade to read it"
            )
        return folder

    @contextmanager
    def training(self) -> Iterator[None]:
        """Keep everybody else from training this run for as long as the block.

        Raises:
            ConfigError: another process trains it.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(self / LOCK))
            except BlockingIOError:
                raise ConfigError(
                    f"{self.path}: a run is trained by one process at a time (another one is at it); "
                    "wait until that has ended, or end it"
                ) from None
            yield

    @property
    def how_to_finish(self) -> str:
        """The command that goes on with an interrupted run, for the end of a message."""
        return f"finish it with `mmgraph train --resume {shlex.quote(str(self.path))}`"

    def lacking(self, name: str) -> ConfigError:
        """Return the error for a file that is not there."""
        if name == RUN or self.is_complete:
            remedy = "restore it, or train the run again"
        else:
            remedy = f"the run was interrupted; {self.how_to_finish}"
        return ConfigError(f"{self / name}: the run lacks this file; {remedy}")

    def facts(self) -> dict[str, Any]:
        """Return ``run.json``."""
        return self.read_json(RUN)

    @property
    def is_complete(self) -> bool:
        """Whether training has ended and everything is written."""
        return bool(self.facts().get("complete"))

    def read_json(self, name: str) -> dict[str, Any]:
        """Return one of the JSON files.

        Raises:
            ConfigError: it is missing or no JSON object.
        """
        path = self / name
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise self.lacking(name) from None
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{path}: must be readable JSON ({error}); restore the file"
            ) from None
        if not isinstance(value, dict):
            raise ConfigError(
                f"{path}: must hold one JSON object (got {type(value).__name__}); restore the file"
            )
        return value

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write one of the JSON files, indented and in the order given."""
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
        self.write_bytes(name, f"{text}\n".encode())

    def read_tensors(self, name: str) -> dict[str, Tensor]:
        """Return one of the tensor files.

        Raises:
            ConfigError: it is missing, truncated, not safetensors, or changed since the run was completed.
        """
        path = self / name
        if not path.is_file():
            raise self.lacking(name)
        try:
            tensors = load_file(path)
        except (OSError, SafetensorError) as error:
            raise ConfigError(
                f"{path}: must be a whole safetensors file ({error}); train the run again"
            ) from None
        self.verify(name)
        return tensors

    def verify(self, name: str) -> None:
        """Check a file of a complete run against the hash that was noted when it was completed.

        Raises:
            ConfigError: the file has changed since.
        """
        noted = self.facts().get("files", {}).get(name)
        if noted is not None and sha256_of(self / name) != noted:
            raise ConfigError(
                f"{self / name}: must be as the run left it (its sha256 has changed); restore the file or train anew"
            )

    def write_tensors(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Write one of the tensor files."""
        self.write_bytes(name, save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}))

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a file beside its place, flush it, then rename it."""
        write_file(self / name, content)

    def seal(self, facts: Mapping[str, Any]) -> None:
        """Mark the run as complete, with the sha256 of every file."""
        files = (p for p in self.path.rglob("*") if p.is_file() and not p.name.startswith("."))
        names = sorted(p.relative_to(self.path).as_posix() for p in files)
        names = [n for n in names if n != RUN and not n.startswith(CHECKPOINTS)]
        hashes = {name: sha256_of(self / name) for name in names}
        self.write_json(RUN, {**facts, "complete": True, "files": hashes})
