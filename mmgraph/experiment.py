"""The whole way as one short flow: dataset -> graph -> model -> train -> evaluate -> save."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

import torch

from mmgraph.config import Recipe, read_recipe, resolve_recipe
from mmgraph.data import MultimodalDataset, load_dataset
from mmgraph.errors import ConfigError
from mmgraph.evaluation import EvaluationConfig, EvaluationResult, Evaluator
from mmgraph.export import (
    EpochLog,
    Recommendation,
    RunFolder,
    recommend,
    write_inputs,
    write_outputs,
)
from mmgraph.export import run_folder as names
from mmgraph.graph import BuildRecord, build_graph
from mmgraph.models import get_model
from mmgraph.models.base import Recommender, score_function
from mmgraph.training import CheckpointStore, EpochReport, PairwiseSampler, fit

Folder = str | Path


class Observer:
    """Is told what an experiment does; this one stays silent. The command line shows bars and lines."""

    def phase(self, text: str) -> None:
        """Be told what begins."""

    def note(self, text: str) -> None:
        """Be told what a reader of the results should know, such as how the split can leak time."""

    def progress(self, done: int, total: int) -> None:
        """Be told how far the present phase is."""

    def started(self, folder: Path) -> None:
        """Be told where the run is: from now on it can be resumed."""

    def epoch(self, report: EpochReport, recipe: Recipe) -> None:
        """Be told how an epoch went."""


class _Parts(NamedTuple):
    """What training needs, all checked."""

    model: Recommender
    sampler: PairwiseSampler
    validator: Evaluator | None
    tester: Evaluator
    build_s: float


@dataclass(frozen=True)
class Run:
    """A trained model on disk. The data set, graph and model are loaded when they are asked for.

    Attributes:
        folder: Where everything is.
        recipe: The resolved recipe.
        data_folder: Where the data set is now, if it has moved since.
        device: Where the model computes.
    """

    folder: RunFolder
    recipe: Recipe
    data_folder: str | Path | None = None
    device: str = "cpu"

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    @property
    def metrics(self) -> dict[str, Any]:
        """Validation and test metrics of the best epoch, as in ``metrics.json``."""
        return self.folder.read_json(names.METRICS)

    @property
    def summary(self) -> dict[str, Any]:
        """The figures of the run in one flat object, as ``mmgraph train --json`` prints them."""
        facts, metrics = self.folder.facts(), self.metrics
        return {
            "model": facts["model"],
            "dataset": facts["dataset"],
            "seed": facts["seed"],
            "epochs": metrics["epochs"],
            "best_epoch": metrics["best_epoch"],
            "valid": metrics["valid"],
            "test": metrics["test"],
            "timings": self.folder.read_json(names.TIMINGS),
            "num_parameters": facts["num_parameters"],
            "run": str(self.path),
        }

    @cached_property
    def dataset(self) -> MultimodalDataset:
        """The data set of the run, checked to be the one it was trained on."""
        facts = self.folder.facts()
        dataset = _load(self.recipe, self.data_folder)
        if dataset.content_hash != facts["dataset_hash"]:
            found, expected = dataset.content_hash[:12], facts["dataset_hash"][:12]
            raise ConfigError(
                f"{self.path}: the data set {dataset.source!r} must be the one of the run (its content "
                f"hash is {found}, the run's {expected}); give the folder it was trained on with --dataset"
            )
        return dataset

    @cached_property
    def model(self) -> Recommender:
        """The trained model, in eval mode."""
        model = _build_model(self.recipe, self.dataset, Observer()).to(_device(self.device))
        weights = self.folder.read_tensors(names.WEIGHTS)
        expected = {k: v.shape for k, v in model.state_dict().items()}
        if {k: v.shape for k, v in weights.items()} != expected:
            raise ConfigError(
                f"{self.folder / names.WEIGHTS}: must hold the weights of this run's {self.recipe.model.name} "
                "(names or shapes differ); restore the file or train anew"
            )
        model.load_state_dict(weights)
        return model.eval()

    def recommend(self, users: str | list[str], *, k: int = 20) -> list[Recommendation]:
        """Return the ``k`` best items of users by external id; see ``mmgraph.recommend``."""
        has_vectors = (self.folder / names.EMBEDDINGS).is_file()
        score = None if has_vectors else score_function(self.model)
        return recommend(self.folder, users, k=k, score=score)


def train(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    dataset: str | Path | MultimodalDataset | None = None,
    *,
    overrides: Iterable[str] = (),
    seed: int | None = None,
    out: str | Path | None = None,
    device: str = "cpu",
    cache: Folder | None = None,
    observer: Observer | None = None,
) -> Run:
    """Train a recipe on a data set, evaluate it once on test, and save everything in a run folder.

    Args:
        recipe: A model's name, a shipped recipe such as ``movielens-small/mm_gef``, a TOML file, or plain values.
        dataset: Bundled name, folder, or loaded data set; by default the one the recipe names.
        overrides: ``"a.b=c"`` assignments, as for ``--set``.
        seed: Replaces the recipe's seed.
        out: The run folder, new or empty; by default ``runs/<dataset>/<model>-seed<seed>``, numbered if taken.
        device: Where to train and rank: ``cpu``, ``cuda``, ``cuda:1``.
        cache: Folder to keep built graphs in and find them again, see :func:`mmgraph.build_graph`.
        observer: Is told what happens.

    Returns:
        The run, with ``metrics``, ``recommend`` and more.

    Raises:
        ConfigError: the recipe, an override or the folder is not usable; nothing was written.
        DataError: the data set is not usable; nothing was written.
        FitError: training went wrong.

    Example:
        >>> import tempfile
        >>> out = Path(tempfile.mkdtemp()) / "run"
        >>> run = train("bpr_mf", "movielens-small", overrides=["training.max_epochs=1"], out=out)
        >>> sorted(run.metrics)
        ['best_epoch', 'epochs', 'test', 'valid']
    """
    observer = observer or Observer()
    resolved = resolve_recipe(recipe, dataset, overrides=overrides, seed=seed)
    if out is not None:
        RunFolder.check_free(Path(out))
    observer.phase("reading the data")
    data = dataset if isinstance(dataset, MultimodalDataset) else _load(resolved)
    resolved = resolved.fitted_to(data.num_items)
    parts = _prepare(resolved, data, observer, device, cache)
    target = Path(out) if out is not None else _free_folder(data.name, resolved)
    folder = RunFolder.create(
        target,
        lambda new: write_inputs(
            new,
            data,
            parts.model,
            recipe=resolved.to_toml(),
            model_name=resolved.model.name,
            seed=resolved.seed,
            device=device,
        ),
    )
    return _train_and_save(Run(folder, resolved, device=device), data, parts, observer)


def resume(
    run: str | Path,
    *,
    dataset: str | Path | None = None,
    cache: Folder | None = None,
    observer: Observer | None = None,
) -> Run:
    """Continue an interrupted run, on its device and with its number of threads.

    On a CPU its files end byte for byte as if it had never been interrupted. A complete run is returned as it is.

    Args:
        run: The run folder.
        dataset: Where the data set is now, if it has moved.
        cache: As for :func:`train`.
        observer: Is told what happens.

    Raises:
        ConfigError: it is no run folder, or its data set has changed.
    """
    observer = observer or Observer()
    device = str(RunFolder.open(run).facts().get("device", "cpu"))
    loaded = load_run(run, dataset=dataset, device=device)
    if loaded.folder.is_complete:
        return loaded
    before = torch.get_num_threads()
    torch.set_num_threads(loaded.folder.read_json(names.ENVIRONMENT).get("threads") or before)
    try:
        observer.phase("reading the data")
        parts = _prepare(loaded.recipe, loaded.dataset, observer, device, cache)
        return _train_and_save(loaded, loaded.dataset, parts, observer)
    finally:
        torch.set_num_threads(before)


def load_run(run: str | Path, *, dataset: str | Path | None = None, device: str = "cpu") -> Run:
    """Return a run by its folder; ``dataset`` says where its data set is now, if it has moved.

    Raises:
        ConfigError: it is no run folder, one of a newer format, or its recipe is damaged.
    """
    folder = RunFolder.open(run)
    if not (folder / names.RECIPE).is_file():
        raise ConfigError(
            f"{folder / names.RECIPE}: the run lacks its recipe; restore it or train anew"
        )
    folder.verify(names.RECIPE)
    return Run(
        folder,
        Recipe.build(read_recipe(folder / names.RECIPE), origin=str(folder / names.RECIPE)),
        dataset,
        device,
    )


def evaluate(
    run: str | Path | Run,
    *,
    config: EvaluationConfig | None = None,
    observer: Observer | None = None,
) -> EvaluationResult:
    """Rank the test part again with a trained model: the recipe's metrics, or those of another config.

    Raises:
        ConfigError: the run is not complete, or the config asks for the impossible.
    """
    observer = observer or Observer()
    loaded = run if isinstance(run, Run) else load_run(run)
    observer.phase("loading the run")
    evaluator = _tester(loaded.dataset, config or loaded.recipe.evaluation, loaded.device)
    score = score_function(loaded.model)
    observer.phase("ranking all items")
    return evaluator.evaluate(score, observer.progress)


def _load(recipe: Recipe, folder: str | Path | None = None) -> MultimodalDataset:
    data = recipe.data
    source = folder if folder is not None else data.dataset
    if source is None:
        raise ConfigError(
            "a data set is needed (got none); give --dataset NAME_OR_FOLDER or set data.dataset"
        )
    return load_dataset(source, split=data.split, modalities=data.modalities)


def _build_model(
    recipe: Recipe, data: MultimodalDataset, observer: Observer, cache: Folder | None = None
) -> Recommender:
    record = BuildRecord()
    graph = build_graph(data, recipe.graph, cache=cache, record=record, progress=observer.phase)
    for note in record.notes():
        observer.note(note)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return get_model(recipe.model.name)(graph, recipe.model)


def _device(name: str) -> torch.device:
    """Return the device of a name, or say in one line why it cannot be used."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"--device must be usable here (got {name!r}: {reason}); try cpu"
        ) from None
    return device


def _prepare(
    recipe: Recipe, data: MultimodalDataset, observer: Observer, where: str, cache: Folder | None
) -> _Parts:
    """Build everything that can refuse the recipe or the data, before a byte is written."""
    for note in data.notes:
        observer.note(note)
    device = _device(where)
    begin = time.perf_counter()
    model = _build_model(recipe, data, observer, cache).to(device)
    build_s = time.perf_counter() - begin
    sampler = PairwiseSampler(
        torch.from_numpy(data.train.user).to(device),
        torch.from_numpy(data.train.item).to(device),
        num_items=data.num_items,
        order=recipe.training.order,
        pool=recipe.training.negatives,
    )
    validator = _validator(data, recipe.evaluation, device) if len(data.valid) else None
    tester = _tester(data, recipe.evaluation, device)
    return _Parts(model, sampler, validator, tester, build_s)


def _train_and_save(run: Run, data: MultimodalDataset, parts: _Parts, observer: Observer) -> Run:
    begin = time.perf_counter()
    recipe, folder, (model, sampler, validator, tester, build_s) = run.recipe, run.folder, parts
    observer.started(folder.path)
    checkpoints = CheckpointStore(folder / names.CHECKPOINTS)
    restored = checkpoints.latest()
    log = EpochLog(folder, restored.state["progress"]["history"] if restored else ())

    def on_epoch(report: EpochReport) -> None:
        log.add(report.record(), epoch_s=report.epoch_s, eval_s=report.eval_s)
        observer.epoch(report, recipe)

    observer.phase(f"training {recipe.model.name}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        result = fit(
            model,
            sampler,
            config=recipe.training,
            seed=recipe.seed,
            validate=partial(_validate, validator) if validator else None,
            select_by=recipe.evaluation.select_by,
            checkpoints=checkpoints,
            on_epoch=on_epoch,
        )
    observer.phase("ranking the test part")
    # The one place where the test part is opened, after the last decision has been made.
    test = tester.evaluate(score_function(model), observer.progress)
    total_s = build_s + time.perf_counter() - begin
    timings = {"build_s": build_s, **log.timings(), "total_s": total_s}
    metrics = {
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "valid": result.valid,
        "test": test.mean,
    }
    write_outputs(folder, data, model, metrics=metrics, test=test, timings=timings)
    checkpoints.clear()
    return run


def _validator(
    data: MultimodalDataset, config: EvaluationConfig, device: torch.device
) -> Evaluator:
    parts = [(part.user, part.item) for part in (data.train, data.valid)]
    return Evaluator.for_validation(
        *parts, num_users=data.num_users, num_items=data.num_items, config=config, device=device
    )


def _validate(evaluator: Evaluator, model: Recommender) -> Mapping[str, float]:
    return evaluator.evaluate(score_function(model)).mean


def _tester(
    data: MultimodalDataset, config: EvaluationConfig, device: torch.device | str
) -> Evaluator:
    parts = [(part.user, part.item) for part in (data.train, data.valid, data.test)]
    return Evaluator.for_test(
        *parts, num_users=data.num_users, num_items=data.num_items, config=config, device=device
    )


def _free_folder(dataset: str, recipe: Recipe) -> Path:
    base = Path("runs") / dataset / f"{recipe.model.name}-seed{recipe.seed}"
    numbered = (base.with_name(f"{base.name}-{number}") for number in count(2))
    return next(path for path in chain([base], numbered) if not path.exists())
