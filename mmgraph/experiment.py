"""The whole way as one short flow: dataset -> graph -> model -> train -> evaluate -> save."""

import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from mmgraph.config import Recipe, resolve_recipe
from mmgraph.data import MultimodalDataset
from mmgraph.errors import ConfigError
from mmgraph.evaluation import EvaluationConfig, EvaluationResult, Evaluator
from mmgraph.export import EpochLog, RunFolder, write_inputs, write_outputs
from mmgraph.export import run_folder as names
from mmgraph.graph import BuildRecord, build_graph
from mmgraph.models.base import Recommender, score_function
from mmgraph.run import Run, build_model, check_place, load_data, load_run, usable_device
from mmgraph.sizes import parse_size
from mmgraph.sparse import choose_backend, use_backend
from mmgraph.training import (
    CheckpointStore,
    EpochReport,
    MemoryReport,
    PairwiseSampler,
    Sampler,
    build_within,
    fit,
    measure_memory,
)
from mmgraph.training.neighbors import NeighborhoodSampler
from mmgraph.training.random_state import own_random

__all__ = ["Observer", "Run", "evaluate", "load_run", "resume", "train"]

Folder = str | Path

# Keys whose value decides what the untrained rows of cold items do, and the harmless value.
_COLD_GUARDS: dict[str, dict[str, Any]] = {
    "training": {"negatives": "train_items"},
    "graph": {"include_self": False},
    "model": {"exclude_self": True, "cold_id_scale": 0.0},
}


class Observer:
    """Is told what an experiment does; this one stays silent. The command line shows bars and lines."""

    def phase(self, text: str) -> None:
        """Be told what begins."""

    def note(self, text: str) -> None:
        """Be told what a reader of the results should know, such as how the split can leak time."""

    def progress(self, done: int, total: int) -> None:
        """Be told how far the present phase is."""

    def memory(self, report: MemoryReport) -> None:
        """Be told what training will need; it has not begun."""

    def started(self, folder: Path) -> None:
        """Be told where the run is: from now on it can be resumed."""

    def epoch(self, report: EpochReport, recipe: Recipe) -> None:
        """Be told how an epoch went."""


class _Parts(NamedTuple):
    """What training needs, all checked."""

    model: Recommender
    sampler: Sampler
    validator: Evaluator | None
    tester: Evaluator
    memory: MemoryReport
    build_s: float


def train(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    dataset: str | Path | MultimodalDataset | None = None,
    *,
    overrides: Iterable[str] = (),
    seed: int | None = None,
    out: str | Path | None = None,
    device: str = "cpu",
    cache: Folder | None = None,
    max_memory: str | None = None,
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
        max_memory: Refuse to train what would need more, such as ``"4GB"``; see :func:`measure_memory`.
        observer: Is told what happens.

    Returns:
        The run, with ``metrics``, ``recommend`` and more.

    Raises:
        ConfigError: the recipe, an override or the folder is not usable, or training would need more than
            ``max_memory``; nothing was written.
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
    limit = _limit(max_memory)
    usable_device(device)
    if out is not None:
        RunFolder.check_free(Path(out))
    check_place(_default_folder("data", resolved) if out is None else out)
    with use_backend(resolved.training.sparse_backend):
        observer.phase("reading the data")
        data = dataset if isinstance(dataset, MultimodalDataset) else load_data(resolved)
        resolved = resolved.fitted_to(data.num_items)
        parts = _prepare(resolved, data, observer, device, cache, limit)
        folder = RunFolder.create(
            _default_folder(data.name, resolved) if out is None else out,
            lambda new: write_inputs(
                new,
                data,
                parts.model,
                recipe=resolved.to_toml(),
                model_name=resolved.model.name,
                seed=resolved.seed,
                device=device,
                memory=parts.memory.record(),
            ),
            numbered=out is None,
        )
        with folder.training():
            return _train_and_save(Run(folder, resolved, device=device), data, parts, observer)


def resume(
    run: str | Path,
    *,
    dataset: str | Path | None = None,
    cache: Folder | None = None,
    max_memory: str | None = None,
    observer: Observer | None = None,
) -> Run:
    """Continue an interrupted run, on its device, with its number of threads and its sparse kernel.

    On a CPU its files end byte for byte as if it had never been interrupted. A complete run is returned as it is.

    Args:
        run: The run folder.
        dataset: Where the data set is now, if it has moved.
        cache: As for :func:`train`.
        max_memory: As for :func:`train`.
        observer: Is told what happens.

    Raises:
        ConfigError: it is no run folder, another process trains it, its data set has changed, or it would need more
            than ``max_memory``.
    """
    observer = observer or Observer()
    limit = _limit(max_memory)
    device = str(RunFolder.open(run).facts().get("device", "cpu"))
    loaded = load_run(run, dataset=dataset, device=device)
    if loaded.folder.is_complete:
        return loaded
    with loaded.folder.training():
        begun_in = loaded.folder.read_json(names.ENVIRONMENT)
        before = torch.get_num_threads()
        torch.set_num_threads(begun_in.get("threads") or before)
        try:
            observer.phase("reading the data")
            with use_backend(_backend_to_keep(loaded, begun_in.get("sparse_backend"), observer)):
                parts = _prepare(loaded.recipe, loaded.dataset, observer, device, cache, limit)
                return _train_and_save(loaded, loaded.dataset, parts, observer)
        finally:
            torch.set_num_threads(before)


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
    loaded.check_complete("an evaluation")
    observer.phase("loading the run")
    evaluator = tester_of(loaded.dataset, config or loaded.recipe.evaluation, loaded.device)
    with use_backend(loaded.recipe.training.sparse_backend):
        score = score_function(loaded.model)
        observer.phase("ranking all items")
        return evaluator.evaluate(score, observer.progress)


def _limit(max_memory: str | None) -> int | None:
    try:
        return None if max_memory is None else parse_size(max_memory)
    except ConfigError as error:
        raise ConfigError(f"--max-memory {error}") from None


def _backend_to_keep(run: Run, begun_with: str | None, observer: Observer) -> str | None:
    """Return the backend to name so that a run goes on with the one it was begun with."""
    named = run.recipe.training.sparse_backend
    if named is not None or begun_with in (None, choose_backend(run.device)):
        return named
    observer.note(
        f"the run was begun with the sparse backend {begun_with!r} and goes on with it, "
        f"though {choose_backend(run.device)!r} would be chosen now"
    )
    return begun_with


def _prepare(
    recipe: Recipe,
    data: MultimodalDataset,
    observer: Observer,
    where: str,
    cache: Folder | None,
    limit: int | None,
) -> _Parts:
    """Build everything that can refuse the recipe or the data, before a byte is written."""
    for note in data.notes:
        observer.note(note)
    device = usable_device(where)
    begin = time.perf_counter()
    record = BuildRecord()
    graph = build_graph(data, recipe.graph, cache=cache, record=record, progress=observer.phase)
    for note in record.notes():
        observer.note(note)
    model = build_within(limit, partial(build_model, recipe, graph), device).to(device)
    build_s = time.perf_counter() - begin
    if data.split_config.method == "cold_start":
        observer.note(cold_start_note(recipe, draws_negatives=bool(model.stages)))
    pairs = PairwiseSampler(
        torch.from_numpy(data.train.user).to(device),
        torch.from_numpy(data.train.item).to(device),
        num_items=data.num_items,
        order=recipe.training.order,
        pool=recipe.training.negatives,
        num_negatives=model.num_negatives,
    )
    sampler: Sampler = pairs
    if recipe.training.num_neighbors is not None:
        hops = recipe.training.num_neighbors
        sampler = NeighborhoodSampler(pairs, graph, hops, model=model)
    del graph  # model and sampler have taken what they need
    validator = validator_of(data, recipe.evaluation, device) if len(data.valid) else None
    tester = tester_of(data, recipe.evaluation, device)
    observer.phase("measuring memory")
    memory = measure_memory(
        model,
        sampler,
        config=recipe.training,
        block_size=recipe.evaluation.block_size,
        limit=limit,
    )
    observer.memory(memory)
    return _Parts(model, sampler, validator, tester, memory, build_s)


def cold_start_note(recipe: Recipe, *, draws_negatives: bool = True) -> str:
    """Say which keys keep the untrained rows of held-out items from doing harm, and which let them.

    Args:
        recipe: Of the run.
        draws_negatives: Whether the model is trained.

    Example:
        >>> cold_start_note(resolve_recipe("mm_gef", overrides=["model.exclude_self=true"]))
        "Cold start: guarded by training.negatives = 'train_items', model.exclude_self = True; not by
        model.cold_id_scale = 1.0; cold items are ranked among all items."
    """
    model = recipe.model.model_dump()
    tables = {
        "training": recipe.training.model_dump() if draws_negatives else {},
        "graph": recipe.graph.model_dump() if "knn" in recipe.graph.edges else {},
        "model": model,
        "model.backbone": model.get("backbone", {}),
    }
    said: dict[bool, list[str]] = {True: [], False: []}
    for name, table in tables.items():
        for key, safe in _COLD_GUARDS[name.split(".")[0]].items():
            if key in table:
                said[table[key] == safe].append(f"{name}.{key} = {table[key]!r}")
    words = {True: "guarded by", False: "not by"}
    parts = [f"{words[safe]} {', '.join(keys)}" for safe, keys in said.items() if keys]
    among = {"all": "all items", "cold": "cold items only"}[recipe.evaluation.candidates]
    return f"Cold start: {'; '.join([*parts, f'cold items are ranked among {among}'])}."


def _train_and_save(run: Run, data: MultimodalDataset, parts: _Parts, observer: Observer) -> Run:
    if run.folder.is_complete:  # another process has finished it just now
        return run
    begin = time.perf_counter()
    recipe, folder = run.recipe, run.folder
    model, sampler, validator, tester, _, build_s = parts
    observer.started(folder.path)
    checkpoints = CheckpointStore(folder / names.CHECKPOINTS)
    restored = checkpoints.latest()
    before = restored.state["progress"] if restored else {}
    log = EpochLog(folder, before.get("history", ()))

    def on_epoch(report: EpochReport) -> None:
        log.add(report.record(), epoch_s=report.epoch_s, eval_s=report.eval_s)
        observer.epoch(report, recipe)

    observer.phase(f"{'training' if model.stages else 'validating'} {recipe.model.name}")
    with own_random(sampler.device, seed=recipe.seed):
        result = fit(
            model,
            sampler,
            config=recipe.training,
            seed=recipe.seed,
            validate=partial(validate_with, validator) if validator else None,
            select_by=recipe.evaluation.select_by,
            checkpoints=checkpoints,
            on_epoch=on_epoch,
        )
    observer.phase("ranking the test part")
    # The one place where the test part is opened, after the last decision has been made.
    test = tester.evaluate(score_function(model), observer.progress)
    # What an interrupted process did before its last checkpoint counts too.
    total_s = build_s + before.get("seconds", 0.0) + time.perf_counter() - begin
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


def validator_of(
    data: MultimodalDataset, config: EvaluationConfig, device: torch.device
) -> Evaluator:
    """Return what ranks the validation part of a data set, which must have one."""
    parts = [(part.user, part.item) for part in (data.train, data.valid)]
    return Evaluator.for_validation(
        *parts, num_users=data.num_users, num_items=data.num_items, config=config, device=device
    )


def validate_with(evaluator: Evaluator, model: Recommender) -> Mapping[str, float]:
    """Return the mean metrics of a model."""
    return evaluator.evaluate(score_function(model)).mean


def tester_of(
    data: MultimodalDataset, config: EvaluationConfig, device: torch.device | str
) -> Evaluator:
    """Return what ranks the test part of a data set."""
    parts = [(part.user, part.item) for part in (data.train, data.valid, data.test)]
    return Evaluator.for_test(
        *parts, num_users=data.num_users, num_items=data.num_items, config=config, device=device
    )


def _default_folder(dataset: str, recipe: Recipe) -> Path:
    return Path("runs") / dataset / f"{recipe.model.name}-seed{recipe.seed}"
