"""One run of a study: what is to be trained, whether it has been, and how to do it."""

import time
import tomllib
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from mmgraph.config import Recipe
from mmgraph.errors import ConfigError, MmgraphError
from mmgraph.experiment import Observer, Run, load_run, resume, train
from mmgraph.export import run_folder as names
from mmgraph.training import EpochReport

_SECONDS_BETWEEN_EPOCHS = 0.5


@dataclass(frozen=True)
class Trial:
    """A run that a study needs.

    Attributes:
        label: The row of the table it belongs to.
        seed: Of weights, batches and negatives; the split has its own seed and stays.
        values: Plain values of its recipe, without the seed.
        path: The run folder.
    """

    label: str
    seed: int
    values: Mapping[str, Any]
    path: Path

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return f"{self.label}, seed {self.seed}"

    @cached_property
    def recipe(self) -> Recipe:
        """Its recipe.

        Raises:
            ConfigError: a key is unknown or a value breaks a rule.
        """
        return Recipe.build({**self.values, "seed": self.seed}, origin=self.label)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values, for another process."""
        return {**asdict(self), "path": str(self.path)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Trial":
        """Return what :meth:`to_json` wrote."""
        return cls(**{**values, "path": Path(values["path"])})


@dataclass(frozen=True)
class Event:
    """How a trial is getting on.

    Attributes:
        kind: ``done`` and ``failed`` are the last of a trial.
        text: For the reader; of a failure its reason, in one line.
        epoch: The present epoch.
        limit: The last one there can be.
        details: Where a defect was met, if it was one.
    """

    kind: Literal["started", "phase", "note", "epoch", "done", "failed"]
    text: str = ""
    epoch: int = 0
    limit: int = 0
    details: str = ""


Tell = Callable[[Event], None]


@dataclass(frozen=True)
class Place:
    """Where and how trials are computed.

    Attributes:
        jobs: Trials at a time; more than one are processes of their own.
        threads: Threads of each; None is one where there are several jobs, else as many as torch has.
        device: Of the models; a run that was begun goes on where it began.
        cache: Folder of built graphs.
    """

    jobs: int = 1
    threads: int | None = None
    device: str = "cpu"
    cache: str | None = None


def stored_run(trial: Trial) -> Run | None:
    """Return the run of a trial, complete or not, if there is one.

    Raises:
        ConfigError: its folder holds something else, such as a run with other settings.
    """
    if not trial.path.exists() or not (trial.path.is_file() or any(trial.path.iterdir())):
        return None
    run = load_run(trial.path, dataset=trial.recipe.data.dataset)
    num_items = len(run.folder.read_json(names.VOCABULARY)["items"])
    asked = Recipe.build(tomllib.loads(trial.recipe.fitted_to(num_items).to_toml()))
    differing = _differences(asked.settings(), run.recipe.settings())
    if differing:
        key, asked_value, kept_value = differing[0]
        raise ConfigError(
            f"{trial.path}: must be a run of the recipe that is asked for ({key} is {kept_value!r} there, "
            f"{asked_value!r} is asked for); choose another --out"
        )
    return run


def run_trial(trial: Trial, tell: Tell, *, place: Place) -> None:
    """Train a trial, or go on with it, and tell how it goes; a failure is told too and is not raised."""
    begin = time.monotonic()
    try:
        run = stored_run(trial)
        observer = _Teller(tell)
        if run is None:
            values = {**trial.values, "seed": trial.seed}
            run = train(
                values, out=trial.path, device=place.device, cache=place.cache, observer=observer
            )
        else:
            run = resume(
                trial.path,
                dataset=trial.recipe.data.dataset,
                cache=place.cache,
                observer=observer,
            )
    except MmgraphError as error:
        tell(Event("failed", " ".join(str(error).split())))
    except Exception as error:
        tell(defect(error))
    else:
        tell(Event("done", _summary(run, time.monotonic() - begin)))


def defect(error: Exception) -> Event:
    """Return the failure of a trial for a reason that nobody foresaw, with the place where it was met."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return Event("failed", text, details="".join(traceback.format_exception(error)))


def _summary(run: Run, seconds: float) -> str:
    metrics, metric = run.metrics, run.recipe.evaluation.select_by
    parts = [f"{metrics['epochs']} epochs, best {metrics['best_epoch']}"]
    if metric in metrics["valid"]:
        parts.append(f"valid {metric} {metrics['valid'][metric]:.4f}")
    return ", ".join([*parts, f"{seconds:.0f} s"])


class _Teller(Observer):
    """Turns what an experiment says into events, epochs at most twice a second."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self.told_at = float("-inf")
        self.best = ""

    def phase(self, text: str) -> None:
        self.tell(Event("phase", text))

    def note(self, text: str) -> None:
        self.tell(Event("note", text))

    def epoch(self, report: EpochReport, recipe: Recipe) -> None:
        metric = recipe.evaluation.select_by
        if report.is_best and report.valid is not None:
            self.best = f"best {metric} {report.valid[metric]:.4f} at {report.epoch}"
        if time.monotonic() - self.told_at >= _SECONDS_BETWEEN_EPOCHS:
            self.tell(Event("epoch", self.best, epoch=report.epoch, limit=report.limit))
            self.told_at = time.monotonic()


def _differences(
    wanted: Mapping[str, Any], kept: Mapping[str, Any], path: str = ""
) -> Sequence[tuple[str, Any, Any]]:
    """Return (key, wanted, kept) of all values that differ, the model's first."""
    found: list[tuple[str, Any, Any]] = []
    for key in sorted({*wanted, *kept}, key=lambda name: (name != "model", name != "name", name)):
        mine, theirs = wanted.get(key), kept.get(key)
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            found += _differences(mine, theirs, f"{path}{key}.")
        elif mine != theirs:
            found.append((path + key, mine, theirs))
    return found
