"""One run of an accuracy comparison: trained, continued or, when it is complete, only read.

``python -m benchmarks.accuracy.one REQUEST.json`` does it in a process of its own. The request says
which recipe, data set and seed, and where the run goes; it is kept beside the run, so that a folder
that was made with other settings is never taken for this one.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import run_program, set_threads
from mmgraph.config import resolve_recipe
from mmgraph.errors import ConfigError
from mmgraph.experiment import Run, load_run, resume, train


@dataclass(frozen=True)
class Request:
    """One run that is wanted.

    Attributes:
        label: The model's name in the tables.
        recipe: Model, shipped recipe or TOML file.
        dataset: Bundled name or folder.
        overrides: ``a.b=c`` assignments.
        seed: Of weights, batches and negatives; the split has its own seed and stays.
        folder: Where the runs of all models are.
        threads: Threads of the run.
    """

    label: str
    recipe: str
    dataset: str
    overrides: tuple[str, ...]
    seed: int
    folder: str
    threads: int = 1

    @property
    def run_path(self) -> Path:
        """The run folder."""
        return Path(self.folder) / self.label / f"seed-{self.seed}"

    @property
    def note_path(self) -> Path:
        """The file beside the run folder with the resolved recipe it was started with."""
        return self.run_path.with_name(f"{self.run_path.name}.recipe.json")


def run_request(request: Request) -> Run:
    """Return the complete run: read, continued or trained.

    Raises:
        ConfigError: the folder holds a run with another recipe.
    """
    set_threads(request.threads)
    wanted = check_request(request)
    if request.run_path.exists():
        return resume(request.run_path)
    request.note_path.parent.mkdir(parents=True, exist_ok=True)
    request.note_path.write_text(f"{json.dumps(wanted, indent=1)}\n", encoding="utf-8")
    return train(
        request.recipe,
        request.dataset,
        overrides=request.overrides,
        seed=request.seed,
        out=request.run_path,
    )


def check_request(request: Request) -> dict[str, Any]:
    """Return the resolved recipe; a run that is there must have been started with the same.

    Raises:
        ConfigError: it was not, or there is no such recipe.
    """
    recipe = resolve_recipe(
        request.recipe, request.dataset, overrides=request.overrides, seed=request.seed
    )
    wanted: dict[str, Any] = recipe.model_dump(mode="json")
    if request.run_path.exists():
        note = request.note_path
        kept = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else None
        if kept != wanted:
            raise ConfigError(
                f"{request.run_path}: must have been trained with the recipe that is asked for "
                f"(got one with other {_differences(kept, wanted)}); choose another --out"
            )
    return wanted


def is_complete(request: Request) -> bool:
    """Return whether the run is there and finished."""
    return request.run_path.is_dir() and load_run(request.run_path).folder.is_complete


def _differences(kept: dict[str, Any] | None, wanted: dict[str, Any]) -> str:
    if kept is None:
        return "settings, which were not noted"
    return ", ".join(sorted(key for key in wanted if kept.get(key) != wanted[key])) or "settings"


def write_request(request: Request, path: Path) -> None:
    """Write a request for ``python -m benchmarks.accuracy.one``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(request)), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Do one run and print its summary as JSON."""
    parser = argparse.ArgumentParser(description="One run of an accuracy comparison.")
    parser.add_argument("request", type=Path, help="JSON file written by the comparison")
    options = parser.parse_args(arguments)
    values = json.loads(options.request.read_text(encoding="utf-8"))
    run = run_request(Request(**{**values, "overrides": tuple(values["overrides"])}))
    print(json.dumps(run.summary))


if __name__ == "__main__":
    if "OMP_NUM_THREADS" not in os.environ:
        print("OMP_NUM_THREADS is not set; every core is used", file=sys.stderr)
    run_program(main)
